import hashlib
import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.home import releases as module
from resources.home.releases import Releases

DOCUMENTS = {"README.md": b"card", "losses.parquet": pa.table({"row_id": ["x"]})}


@pytest.fixture
def releases(tmp_path):
    return Releases(folder=str(tmp_path / "home" / "release"))


def _sides(train=("a",), test=("b",)):
    return {
        "train": pa.table({"prompt_id": list(train)}),
        "test": pa.table({"prompt_id": list(test)}),
    }


def _manifest(folder):
    return json.loads((folder / "release.json").read_text("utf-8"))


def test_before_the_first_release_there_is_nothing(releases):
    assert releases.versions() == []
    assert releases.released_ids() == set()
    assert releases.before("v1") is None
    assert releases.rows(None) is None


def test_a_release_holds_both_sides_its_documents_and_a_manifest(releases):
    folder = releases.write("v1", _sides(), {}, DOCUMENTS)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "losses.parquet",
        "release.json",
        "test.jsonl",
        "test.parquet",
        "train.jsonl",
        "train.parquet",
    ]
    assert (folder / "README.md").read_bytes() == b"card"
    assert pq.read_table(folder / "losses.parquet").to_pylist() == [{"row_id": "x"}]
    assert pq.read_table(releases.path("v1", "train")).to_pylist() == [{"prompt_id": "a"}]
    digests = {
        side: hashlib.sha256((folder / f"{side}.parquet").read_bytes()).hexdigest()
        for side in ("train", "test")
    }
    assert _manifest(folder) == {
        "version": "v1",
        "number": 1,
        "previous": None,
        "sha256": digests,
    }


def test_versions_come_in_the_order_of_their_making_not_of_their_names(releases):
    for version in ("zz", "mm", "aa"):
        releases.write(version, _sides(), {}, {})
    assert releases.versions() == ["zz", "mm", "aa"]
    assert [_manifest(releases.path(v, "train").parent)["number"] for v in releases.versions()] == [
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("version", "previous"), [("v1", None), ("v2", "v1"), ("v3", "v2"), ("new", "v3")]
)
def test_the_release_before_a_version_is_known_whether_or_not_it_exists(
    releases, version, previous
):
    for name in ("v1", "v2", "v3"):
        releases.write(name, _sides(), {}, {})
    assert releases.before(version) == previous


def test_a_release_names_its_predecessor(releases):
    releases.write("v1", _sides(), {}, {})
    assert _manifest(releases.write("v2", _sides(), {}, {}))["previous"] == "v1"


def test_ids_of_all_releases_and_sides_are_released(releases):
    releases.write("v1", _sides(["a"], ["b"]), {}, {})
    releases.write("v2", _sides(["a", "c"], ["d"]), {}, {})
    assert releases.released_ids() == {"a", "b", "c", "d"}


def test_rows_of_a_release_are_train_and_then_test(releases):
    releases.write("v1", _sides(["a", "c"], ["b"]), {}, {})
    assert releases.rows("v1")["prompt_id"].to_pylist() == ["a", "c", "b"]


def test_the_same_version_keeps_its_data_and_number_and_gets_new_documents(releases):
    folder = releases.write("v1", _sides(), {}, DOCUMENTS)
    names = ("train.parquet", "test.parquet", "release.json")
    before = {name: (folder / name).read_bytes() for name in names}
    releases.write("v2", _sides(), {}, {})
    documents = {"README.md": b"newer", "losses.parquet": pa.table({"row_id": ["y"]})}
    assert releases.write("v1", _sides(["other"], ["rows"]), {}, documents) == folder
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert (folder / "README.md").read_bytes() == b"newer"
    assert pq.read_table(folder / "losses.parquet").to_pylist() == [{"row_id": "y"}]
    assert releases.versions() == ["v1", "v2"]


def _killed(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("after", ["train", "nothing"])
def test_a_run_that_is_killed_while_writing_a_side_leaves_no_version(releases, monkeypatch, after):
    releases.write("v1", _sides(), {}, {})
    real = module.write_parquet

    def write(table, path):
        if after == "train" and path.name == "train.parquet":
            return real(table, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_parquet", write)
        with pytest.raises(KeyboardInterrupt):
            releases.write("v2", _sides(["c"], ["d"]), {}, DOCUMENTS)
    assert releases.versions() == ["v1"]
    assert releases.before("v3") == "v1"
    assert releases.released_ids() == {"a", "b"}
    assert not releases.path("v2", "train").parent.exists()


def test_a_run_that_is_killed_before_the_move_leaves_no_folder_and_the_next_one_is_whole(
    releases, monkeypatch
):
    real = Path.replace

    def replace(path, target):
        if path.is_dir():
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            releases.write("v1", _sides(), {}, DOCUMENTS)
    assert not releases.path("v1", "train").parent.exists()
    folder = releases.write("v1", _sides(), {}, DOCUMENTS)
    assert _manifest(folder)["number"] == 1
    assert [path.name for path in folder.parent.iterdir()] == ["v1"]


def test_a_folder_without_a_manifest_is_no_release_and_is_replaced(releases):
    folder = releases.path("v1", "train").parent
    folder.mkdir()
    (folder / "train.parquet").write_bytes(b"half")
    assert releases.versions() == []
    releases.write("v1", _sides(), {}, {})
    assert releases.rows("v1")["prompt_id"].to_pylist() == ["a", "b"]


def test_a_document_whose_refresh_is_killed_stays_as_it_was(releases, monkeypatch):
    folder = releases.write("v1", _sides(), {}, DOCUMENTS)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _killed)
        with pytest.raises(KeyboardInterrupt):
            releases.write("v1", _sides(), {}, {"README.md": b"newer"})
    assert (folder / "README.md").read_bytes() == b"card"
    assert releases.versions() == ["v1"]


@pytest.mark.parametrize(
    ("ids", "holding"),
    [
        ((), {}),
        (("z",), {}),
        (("a",), {"v1": 1}),
        (("b", "c"), {"v1": 1, "v2": 1}),
        (("a", "b", "c", "d"), {"v1": 2, "v2": 2}),
    ],
)
def test_releases_that_hold_prompts_are_named_with_how_many(releases, ids, holding):
    releases.write("v1", _sides(["a"], ["b"]), {}, {})
    releases.write("v2", _sides(["c"], ["d"]), {}, {})
    assert releases.holding(ids) == holding


def test_without_a_release_none_holds_a_prompt(releases):
    assert releases.holding(["a"]) == {}


def test_a_version_has_its_number_before_and_after_it_is_written(releases):
    assert releases.number("v1") == 1
    releases.write("v1", _sides(), {}, DOCUMENTS)
    assert (releases.number("v1"), releases.number("v2")) == (1, 2)
    releases.write("v2", _sides(("c",)), {}, DOCUMENTS)
    assert (releases.number("v1"), releases.number("v2"), releases.number("v3")) == (1, 2, 3)


@pytest.mark.parametrize("version", ["../out", "/tmp/out", "..", "", "a/b", "a\\b", "v1\0"])
def test_a_version_never_leads_out_of_the_folder(releases, tmp_path, version):
    before = sorted(tmp_path.rglob("*"))
    for use in (
        lambda: releases.path(version, "train"),
        lambda: releases.rows(version),
        lambda: releases.write(version, _sides(), {}, {}),
    ):
        with pytest.raises(dg.Failure, match="letters and digits only"):
            use()
    assert [path for path in tmp_path.rglob("*") if path.name != "release"] == [
        path for path in before if path.name != "release"
    ]
