import json

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chillguard.tables import lineage
from resources.home.state import State


@pytest.fixture
def kept(tmp_path):
    return State(folder=str(tmp_path / "home" / "state"), profile="mine")


def _pool(*ids):
    return lineage.EXPANDED_KEYWORDS.build(
        {"keyword_id": key, "micro_category": "A1", "zh": key, "en": key, "provenance": "seed"}
        for key in ids
    )


def _families(**sides):
    return pa.table({"family_id": list(sides), "split": list(sides.values())})


def test_a_new_state_is_empty_but_of_the_right_form(kept):
    assert kept.keywords().schema.names == lineage.EXPANDED_KEYWORDS.arrow.names
    assert kept.keywords().num_rows == 0
    assert kept.splits() == {}


def test_the_pool_comes_back_as_it_was_saved(kept):
    pool = _pool("a", "b")
    kept.save_keywords(pool)
    assert kept.keywords().equals(pool)


@pytest.mark.parametrize("larger", [("a", "b"), ("a", "b", "c")])
def test_the_pool_may_stay_or_grow(kept, larger):
    kept.save_keywords(_pool("a", "b"))
    kept.save_keywords(_pool(*larger))
    assert kept.keywords()["keyword_id"].to_pylist() == list(larger)


@pytest.mark.parametrize("smaller", [(), ("a",), ("a", "c", "d")])
def test_the_pool_never_shrinks(kept, smaller):
    kept.save_keywords(_pool("a", "b"))
    lost = 2 - ("a" in smaller)
    with pytest.raises(dg.Failure) as caught:
        kept.save_keywords(_pool(*smaller))
    assert caught.value.description == (
        f"keyword pool: {lost} keywords would be lost; the pool only grows"
    )
    assert kept.keywords()["keyword_id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    "use",
    [
        lambda other: other.keywords(),
        lambda other: other.save_keywords(_pool("a")),
        lambda other: other.splits(),
        lambda other: other.append_splits(_families(f="train"), "v1"),
    ],
)
def test_another_profile_s_state_is_refused_with_the_mend(kept, use):
    kept.save_keywords(_pool("a"))
    with pytest.raises(dg.Failure) as caught:
        use(State(folder=kept.folder, profile="theirs"))
    message = caught.value.description
    assert "belongs to profile 'mine', this run uses 'theirs'" in message
    assert "set CHILLGUARD_HOME to another folder" in message
    assert "\n" not in message
    assert kept.keywords().num_rows == 1


def test_the_same_profile_continues_its_state(kept):
    kept.append_splits(_families(f="train"), "v1")
    assert State(folder=kept.folder, profile="mine").splits() == {"f": "train"}


def test_sides_add_up_over_releases(kept):
    kept.append_splits(_families(f="train", g="test"), "v1")
    kept.append_splits(_families(h="test"), "v2")
    assert kept.splits() == {"f": "train", "g": "test", "h": "test"}


def test_appending_leaves_what_is_there_untouched(kept, tmp_path):
    folder = tmp_path / "home" / "state" / "splits"
    kept.append_splits(_families(f="train"), "v1")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    kept.append_splits(_families(g="test"), "v2")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.items() <= after.items()
    assert sorted(after) == ["00001-v1.parquet", "00002-v2.parquet"]


def test_a_release_without_new_families_writes_nothing(kept, tmp_path):
    kept.append_splits(_families().cast(pa.schema([("family_id", "str"), ("split", "str")])), "v1")
    assert not (tmp_path / "home" / "state" / "splits").exists()


def test_many_releases_are_read_in_their_order(kept):
    for number in range(12):
        kept.append_splits(_families(**{f"f{number}": "train"}), f"v{number}")
    assert list(kept.splits()) == [f"f{number}" for number in range(12)]


def test_a_write_that_fails_leaves_the_pool_as_it_was(kept, monkeypatch):
    kept.save_keywords(_pool("a"))

    def fail(table, path, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", fail)
        with pytest.raises(OSError, match="disk full"):
            kept.save_keywords(_pool("a", "b"))
    assert kept.keywords().equals(_pool("a"))


def test_before_the_first_takedown_nothing_is_taken_down(kept):
    assert kept.taken_down() == frozenset()


def test_takedowns_add_up_and_never_lose_a_mark(kept, tmp_path):
    kept.take_down({"request": "7", "marks": ["p1", "论坛:7"]})
    kept.take_down({"request": "8", "marks": []})
    kept.take_down({"request": "8", "marks": ["p2", "论坛:7"], "posts": 1})
    assert State(folder=kept.folder, profile="mine").taken_down() == {"p1", "p2", "论坛:7"}
    lines = (tmp_path / "home" / "state" / "takedowns.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["request"] for line in found] == ["7", "8", "8"]
    assert {len(line["date"]) for line in found} == {len("2026-01-01")}
