import json

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets import release
from chillguard.tables import lineage
from resources.home.releases import Releases
from resources.home.state import State

PARTS = ("train_set", "test_set", "release_drops")
BESIDE = ("anchor_votes", "jury_quality")
LINEAGE = [dg.AssetKey(name) for name in (*PARTS, "labeled_prompts", *BESIDE)]


def _labelled(prompt, number):
    row = prompt(f"{number * 7919 % 100003}号读者想问{number * 104729 % 999983}号书在哪里")
    unsafe = number % 2
    return {
        **row,
        "match_text": row["text"],
        "label": "unsafe" if unsafe else "safe",
        "macro_category": "A" if unsafe else None,
        "micro_category": "A1" if unsafe else None,
        "votes": [],
        "n_valid_votes": 4,
        "agreement": 1.0,
    }


@pytest.fixture
def labeled(bench, prompt):
    """A function that puts so many labelled prompts on the shelf, from a number on."""

    def put(count, start=0):
        rows = [_labelled(prompt, number) for number in range(start, start + count)]
        bench.put(
            labeled_prompts=lineage.LABELED_PROMPTS.build(rows),
            candidate_prompts=lineage.CANDIDATE_PROMPTS.build([]),
            post_index=lineage.POST_INDEX.build([]),
        )
        bench.set(cleaning={"duplicate_threshold": 0.99, "leak_threshold": 0.99})

    return put


def _ids(table):
    return set(table["prompt_id"].to_pylist())


def test_every_labelled_prompt_is_in_exactly_one_part(bench, labeled):
    labeled(60)
    made = bench.run(release.split_sets)
    ids = [key for name in PARTS for key in made[name]["prompt_id"].to_pylist()]
    assert sorted(ids) == sorted(_ids(bench.tables["labeled_prompts"]))
    share = made["test_set"].num_rows / 60
    assert 0.2 < share < 0.4


@pytest.mark.parametrize("part", PARTS)
def test_one_part_can_be_made_alone(bench, labeled, part):
    labeled(4)
    assert list(bench.run(release.split_sets, select=[part])) == [part]


@pytest.fixture
def released(bench, labeled):
    labeled(40)
    bench.run(release.split_sets)
    return bench.run(release.dataset_card(LINEAGE))["dataset_card"].to_pylist()[0]


def test_a_release_is_written_with_its_documents(bench, released):
    folder = bench.home / "release" / released["version"]
    assert {path.name for path in folder.iterdir()} == {
        "train.parquet",
        "test.parquet",
        "README.md",
        "report.html",
        "public_card.md",
        "funnel.png",
        "categories.png",
        "losses.parquet",
        "changes.parquet",
        "audit_sample.csv",
        "train.jsonl",
        "test.jsonl",
        "schema.json",
        "SHA256SUMS",
        "release.json",
    }
    train, test = (bench.tables[name] for name in PARTS[:2])
    assert pq.read_table(folder / "train.parquet").equals(train)
    assert pq.read_table(folder / "test.parquet").equals(test)
    assert (released["n_train"], released["n_test"]) == (train.num_rows, test.num_rows)
    assert (released["n_added"], released["previous_version"]) == (40, None)
    assert bench.metadata["dataset_card"]["report.html"] == str(folder / "report.html")


def test_the_documents_show_no_raw_text(bench, released):
    folder = bench.home / "release" / released["version"]
    texts = [text for name in PARTS[:2] for text in bench.tables[name]["text"].to_pylist()]
    for name in ("README.md", "report.html", "release.json"):
        content = (folder / name).read_text("utf-8")
        assert not [text for text in texts if text in content]


def test_sides_are_frozen_by_a_release(bench, labeled, released):
    sides = State(folder=str(bench.home / "state"), profile="bench").splits()
    assert len(sides) == 40
    before = {side: _ids(bench.tables[side]) for side in PARTS[:2]}
    labeled(50)
    made = bench.run(release.split_sets)
    for side, ids in before.items():
        assert ids <= _ids(made[side])


def test_the_same_content_is_no_new_release(bench, released):
    again = bench.run(release.dataset_card(LINEAGE))["dataset_card"].to_pylist()[0]
    assert again == released
    assert Releases(folder=str(bench.home / "release")).versions() == [released["version"]]
    assert len(list((bench.home / "state" / "splits").iterdir())) == 1


def test_the_next_release_tells_what_changed(bench, labeled, released):
    labeled(30, start=20)
    bench.run(release.split_sets)
    row = bench.run(release.dataset_card(LINEAGE))["dataset_card"].to_pylist()[0]
    assert row["previous_version"] == released["version"]
    assert (row["n_added"], row["n_removed"]) == (10, 20)
    manifest = bench.home / "release" / row["version"] / "release.json"
    assert json.loads(manifest.read_text())["number"] == 2


@pytest.fixture
def extra(bench):
    """A function that reads how many extra queries each category has."""
    return State(folder=str(bench.home / "state"), profile="bench").extra_queries


@pytest.fixture
def steered(bench, labeled):
    """A function that releases so many prompts, half of them unsafe in A1, under steering."""

    def release_(count):
        labeled(count)
        bench.set(synthesis={"steer_below": 15, "steer_step": 4, "steer_most": 8})
        bench.run(release.split_sets)
        bench.run(release.dataset_card(LINEAGE))

    return release_


def test_without_a_bound_a_release_steers_nothing(extra, released):
    assert extra() == {}


def test_a_release_steers_its_thin_categories_once(bench, extra, steered):
    steered(40)
    first = extra()
    assert "A1" not in first
    assert len(first) == 30
    assert set(first.values()) == {4}
    bench.run(release.dataset_card(LINEAGE))
    assert extra() == first


def test_each_new_release_steers_one_step_further_up_to_the_most(extra, steered):
    seen = []
    for count in (20, 40, 42, 44):
        steered(count)
        seen.append((extra().get("A1"), extra()["B1"]))
    # A category that has filled up keeps what it was given.
    assert seen == [(4, 4), (4, 8), (4, 8), (4, 8)]


def test_another_profile_s_steering_is_refused(bench, steered):
    steered(20)
    theirs = State(folder=str(bench.home / "state"), profile="theirs")
    with pytest.raises(dg.Failure, match="belongs to profile"):
        theirs.extra_queries()
    with pytest.raises(dg.Failure, match="belongs to profile"):
        theirs.save_extra_queries({}, "v9")
