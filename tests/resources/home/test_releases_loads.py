"""A release folder is a data set that the library `datasets` reads without a script."""

import pytest

from chillguard.release import card, changes
from resources.home.releases import Releases
from tests.chillguard import builders

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rows = [
        builders.labeled(f"k{n}", builders.mixed(n), "M1a" if n % 2 else None) for n in range(5)
    ]
    sides = {
        "train": builders.released("train", rows[:3]),
        "test": builders.released("test", rows[3:]),
    }
    tables = {**builders.lineage(), "train_set": sides["train"], "test_set": sides["test"]}
    known = changes.CHANGES.build([])
    row = {"version": "v1", "previous_version": None, "n_train": 3, "n_test": 2}
    row |= dict.fromkeys(("n_added", "n_removed", "n_relabeled"), 0)
    files = card.documents(row, tables, builders.SMALL, card.Provenance("small", {}, False), known)
    releases = Releases(folder=str(tmp_path_factory.mktemp("release")))
    return releases.write("v1", sides, card.sealed(known), files)


def _load(*args, cache, **more):
    import datasets

    return datasets.load_dataset(*args, cache_dir=str(cache), **more)


def test_both_sides_load_as_parquet_and_as_json(folder, tmp_path):
    for kind, end in (("parquet", "parquet"), ("json", "jsonl")):
        files = {side: str(folder / f"{side}.{end}") for side in ("train", "test")}
        found = _load(kind, data_files=files, cache=tmp_path)
        assert {side: found[side].num_rows for side in found} == {"train": 3, "test": 2}
        assert set(found["train"]["label"]) == {"safe", "unsafe"}


def test_the_folder_loads_by_the_front_matter_of_its_card(folder, tmp_path):
    found = _load(str(folder), cache=tmp_path)
    assert {side: found[side].num_rows for side in found} == {"train": 3, "test": 2}
    assert found["test"].column_names[:3] == ["prompt_id", "text", "label"]


def test_the_card_is_one_that_the_hub_reads(folder):
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(folder / "README.md").data
    assert (data.language, data.license, data.size_categories) == (["zh"], "other", ["n<1K"])
