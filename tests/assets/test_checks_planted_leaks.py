"""A leak planted in finished tables makes the run fail, names the pair, and leaves no release."""

import dagster as dg
import pyarrow as pa
import pytest

from assets import checks, metadata, release
from chillguard import taxonomy
from chillguard.release import decontamination
from chillguard.release.card import Provenance
from chillguard.settings import Settings
from chillguard.tables import lineage
from resources.home.audit import AuditSheet
from resources.home.releases import Releases
from resources.home.state import State
from tests.chillguard import builders

BASE = builders.mixed(1, words=18)
NEAR = BASE[:-4] + "甲" + BASE[-3:]
OPEN = dict.fromkeys(("min_per_category", "min_safe_share", "max_safe_share", "min_agreement"))
SOUND = [builders.labeled("a", builders.mixed(2)), builders.labeled("b", builders.mixed(3), "M1a")]
BENCHMARK = decontamination.benchmark_rows([builders.record(BASE, source="exam")])
BESIDE = {
    "release_drops": lineage.RELEASE_DROPS.build([]),
    "benchmark_prompts": BENCHMARK,
    "anchor_votes": lineage.ANCHOR_VOTES.build([]),
    "jury_quality": lineage.JURY_QUALITY.build([]),
}
NAMES = ("train_set", "test_set", *BESIDE)
# Where the leak check finds the texts at the roots of families.
ROOTS = {
    "candidate_prompts": lineage.CANDIDATE_PROMPTS.build([]),
    "post_index": lineage.POST_INDEX.build([]),
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that puts these sides where the split would, and runs checks and card."""
    monkeypatch.setattr(metadata.plots, "bars", lambda *_: b"\x89PNG")

    def made(train, test, bounds=None):
        tables = {
            "taxonomy": taxonomy.rows(builders.SMALL),
            "train_set": builders.released("train", train),
            "test_set": builders.released("test", test),
            **BESIDE,
            **ROOTS,
        }
        resources = {
            "io_manager": dg.mem_io_manager,
            "settings": Settings.model_validate({"bounds": bounds or OPEN}),
            "state": State(folder=str(tmp_path / "state"), profile="planted"),
            "releases": Releases(folder=str(tmp_path / "release")),
            "audit_sheet": AuditSheet(),
            "provenance": Provenance("planted", {}, offline=True),
        }
        planted = [_planted(name, table) for name, table in tables.items()]
        done = dg.materialize(
            [
                *planted,
                release.dataset_card([dg.AssetKey(n) for n in NAMES]),
                *checks.RELEASE_CHECKS,
            ],
            resources=resources,
            raise_on_error=False,
        )
        found = {e.check_name: e for e in done.get_asset_check_evaluations() if not e.passed}
        told = {name: found[name].metadata["first_problems"].value for name in found}
        return done.success, told, [*(tmp_path / "release").glob("*/train.parquet")]

    return made


def _planted(name, table):
    @dg.asset(key=name)
    def planted() -> pa.Table:
        return table

    return planted


def test_sound_sides_are_released(run):
    success, told, made = run(SOUND[:1], SOUND[1:])
    assert (success, told, len(made)) == (True, {}, 1)


@pytest.mark.parametrize(
    ("train", "test", "check", "says"),
    [
        (
            {"prompt_id": "source", "text": builders.mixed(8)},
            {"prompt_id": "rewrite", "text": builders.mixed(9), "family_id": "source"},
            "no_leak",
            "same family of Train row source and Test row rewrite",
        ),
        (
            {"prompt_id": "source", "text": builders.mixed(8)},
            {"prompt_id": "rewrite", "text": builders.mixed(9), "parent_ids": ["source"]},
            "no_leak",
            "parent of Test row rewrite is Train row source",
        ),
        (
            {"prompt_id": "rewrite", "text": builders.mixed(9), "parent_ids": ["source"]},
            {"prompt_id": "source", "text": builders.mixed(8)},
            "no_leak",
            "parent of Train row rewrite is Test row source",
        ),
        (
            {"prompt_id": "one", "text": builders.mixed(8), "parent_ids": ["post"]},
            {"prompt_id": "two", "text": builders.mixed(9), "parent_ids": ["post"]},
            "no_leak",
            "same parent of Train row one and Test row two",
        ),
        (
            {"prompt_id": "one", "text": builders.mixed(7, words=18)},
            {"prompt_id": "two", "text": "甲" + builders.mixed(7, words=18)},
            "no_leak",
            "of Train row one and Test row two",
        ),
        (
            {"prompt_id": "copied", "text": NEAR},
            {"prompt_id": "two", "text": builders.mixed(9)},
            "no_benchmark_row",
            f"of Train row copied and row {BENCHMARK['prompt_id'][0].as_py()} of benchmark exam",
        ),
    ],
)
def test_a_planted_leak_fails_the_release_and_names_the_pair(run, train, test, check, says):
    rows = [builders.labeled("x") | {"family_id": row["prompt_id"]} | row for row in (train, test)]
    success, told, made = run([SOUND[0], rows[0]], [SOUND[1], rows[1]])
    assert not success
    assert set(told) == {check}
    assert says in told[check]
    assert made == []


@pytest.mark.parametrize(
    ("bound", "check"),
    [
        ({"min_per_category": 1}, "coverage"),
        ({"max_safe_share": 0.4}, "balance"),
        ({"min_safe_share": 0.6}, "balance"),
        ({"min_agreement": 0.9}, "agreement"),
    ],
)
def test_a_bound_of_the_profile_that_is_missed_leaves_no_release(run, bound, check):
    train, test = ([{**row, "agreement": 0.75}] for row in SOUND)
    success, told, made = run(train, test, OPEN | bound)
    assert (success, set(told), made) == (False, {check}, [])
