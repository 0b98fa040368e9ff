from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.cleaning import survivors
from chillguard.release import sides, split
from chillguard.tables import lineage
from tests.chillguard import builders

GATE = survivors.CleaningConfig()
SPLIT = split.SplitConfig()
BASE = builders.mixed(1, words=18)


def _prepare(rows, released=(), frozen=None, config=SPLIT, gate=GATE, texts=None, roots=None):
    table = lineage.LABELED_PROMPTS.build(rows)
    earlier = sides.Earlier(set(released), frozen or {}, texts or {})
    parts = sides.prepare(table, earlier, config, gate, roots or {})
    for name, part in zip(("TRAIN_SET", "TEST_SET", "RELEASE_DROPS"), _tables(parts), strict=True):
        assert getattr(lineage, name).problems(part) == []
    return parts


def _tables(parts):
    return parts.train, parts.test, parts.drops


def _drops(parts):
    found = zip(
        *(parts.drops[n].to_pylist() for n in ("prompt_id", "drop_reason", "drop_evidence")),
        strict=True,
    )
    return {key: (reason, evidence) for key, reason, evidence in found}


def _far(count, micro=None, prefix="k"):
    return [
        builders.labeled(f"{prefix}{n:03}", builders.mixed(f"{prefix}{n}"), micro)
        for n in range(count)
    ]


@st.composite
def labeled_rows(draw):
    rows = []
    for number in range(draw(st.integers(0, 20))):
        rows.append(
            builders.labeled(
                f"k{number:02}",
                builders.mixed(draw(st.integers(0, 8)), words=5),
                draw(st.sampled_from([None, "M1a", "M2b"])),
                origin=draw(st.sampled_from(lineage.ORIGINS[1:])),
                family_id=f"f{draw(st.integers(0, 6))}",
                may_train=draw(st.sampled_from([True, True, False])),
                drop_reason=draw(st.sampled_from([None, None, None, "unresolved"])),
            )
        )
    return rows


@settings(max_examples=50)
@given(
    labeled_rows(), st.sampled_from([SPLIT, split.SplitConfig(max_per_category=2, safe_ratio=0.5)])
)
def test_every_kept_prompt_ends_in_exactly_one_table(rows, config):
    gate = GATE.model_copy(update={"leak_threshold": 0.3})
    parts = _prepare(rows, config=config, gate=gate)
    ends = [key for table in _tables(parts) for key in table["prompt_id"].to_pylist()]
    assert Counter(ends) == Counter(r["prompt_id"] for r in rows if r["drop_reason"] is None)
    assert set(parts.train["split"].to_pylist()) <= {"train"}
    assert set(parts.test["split"].to_pylist()) <= {"test"}
    assert None not in parts.drops["drop_reason"].to_pylist()
    assert not {*parts.train["family_id"].to_pylist()} & {*parts.test["family_id"].to_pylist()}


@settings(max_examples=30)
@given(labeled_rows())
def test_a_second_release_of_the_same_rows_is_the_same(rows):
    first = _prepare(rows)
    ids = sides.both(first)["prompt_id"].to_pylist()
    new = sides.new_families(first, {}).to_pylist()
    frozen = {row["family_id"]: row["split"] for row in new}
    second = _prepare(rows, ids, frozen)
    assert second.train.equals(first.train)
    assert second.test.equals(first.test)
    assert sides.version(second.train, second.test) == sides.version(first.train, first.test)
    assert sides.new_families(second, frozen).num_rows == 0


def test_released_rows_keep_their_label_and_votes():
    parts = _prepare(_far(10, "M1a"))
    row = sides.both(parts).to_pylist()[0]
    assert (row["label"], row["macro_category"], row["micro_category"]) == ("unsafe", "M1", "M1a")
    assert row["votes"] == ["juror_1=safe"]
    assert (parts.train.num_rows, parts.test.num_rows) == (7, 3)


def test_rows_whose_terms_bar_training_enter_neither_side():
    rows = _far(10)
    rows[3]["may_train"] = False
    parts = _prepare(rows)
    assert _drops(parts) == {"k003": ("terms", "may_train is false")}


def test_a_barred_row_is_nobodys_twin():
    rows = [builders.labeled("a", BASE, may_train=False), builders.labeled("b", BASE)]
    assert list(_drops(_prepare(rows))) == ["a"]


def test_the_duplicate_gate_stands_before_the_split():
    rows = [builders.labeled("a", BASE, origin="real"), builders.labeled("b", "·".join(BASE))]
    assert _drops(_prepare(rows)) == {"b": ("duplicate", "twin=a jaccard=1.000")}
    assert _drops(_prepare(rows, released={"b"})) == {"a": ("duplicate", "twin=b jaccard=1.000")}


def test_caps_name_their_stratum():
    parts = _prepare(
        _far(10, "M1a") + _far(10, prefix="s"),
        config=split.SplitConfig(max_per_category=4, safe_ratio=0.5),
    )
    assert Counter(_drops(parts).values()) == {
        ("balance", "cap of M1a"): 6,
        ("balance", "cap of safe"): 8,
    }


def _leaky(train_side="train", test_side="test"):
    """A near-copy pair (Jaccard under the duplicate gate, over the leak gate), other rows far."""
    copy = BASE[:10] + "甲乙丙" + BASE[13:]
    rows = [builders.labeled("a", BASE), builders.labeled("b", copy), *_far(10)]
    gate = GATE.model_copy(update={"duplicate_threshold": 0.95, "leak_threshold": 0.6})
    return _prepare(rows, frozen={"a": train_side, "b": test_side}, gate=gate)


def test_a_near_duplicate_across_sides_costs_train_its_row():
    parts = _leaky()
    reason, evidence = _drops(parts)["a"]
    assert reason == "leak"
    assert evidence.startswith("twin=b jaccard=0.")
    assert "b" in parts.test["prompt_id"].to_pylist()
    assert parts.drops.num_rows == 1
    assert parts.drops["split"].to_pylist() == ["train"]


def test_the_row_of_test_stays_whichever_of_the_two_it_is():
    assert list(_drops(_leaky("test", "train"))) == ["b"]


@pytest.mark.parametrize("side", ["train", "test"])
def test_near_duplicates_on_one_side_stay(side):
    assert _drops(_leaky(side, side)) == {}


def test_a_family_whose_root_has_its_like_in_test_costs_train_all_its_rows():
    near = BASE[:-4] + "甲" + BASE[-3:]
    rows = [*_far(10), builders.labeled("own", builders.mixed(77), family_id="k001")]
    given = {"k001": "train", "k002": "test"}
    parts = _prepare(rows, frozen=given, roots={"k001": BASE, "k002": near, "k003": "别的"})
    assert _drops(parts).keys() == {"k001", "own"}
    assert {reason for reason, _ in _drops(parts).values()} == {"leak"}
    assert _drops(parts)["own"][1].startswith("root is like that of family k002: jaccard=0.")
    assert _drops(_prepare(rows, frozen={**given, "k001": "test"}, roots={"k001": BASE})) == {}


def test_a_text_released_on_the_other_side_enters_neither():
    rows = _far(10)
    texts = {rows[1]["text_hash"]: "train", rows[2]["text_hash"]: "test"}
    parts = _prepare(rows, frozen={"k001": "test", "k002": "test"}, texts=texts)
    assert _drops(parts) == {"k001": ("leak", "text was released in train")}


def test_a_public_copy_of_a_root_in_test_enters_neither_side():
    copy = builders.labeled("p", builders.mixed(77), family_id="k001", origin="public")
    parts = _prepare([*_far(10), copy], frozen={"k001": "test"})
    assert _drops(parts) == {"p": ("leak", "public row of a family in test")}


def test_new_families_are_those_without_a_side_before_and_have_one_now():
    rows = _far(10)
    rows[0]["may_train"] = False
    parts = _prepare(rows, frozen={"k001": "test", "k002": "train"})
    found = sides.new_families(parts, {"k001": "test", "k002": "train"})
    assert found["family_id"].to_pylist() == [f"k{n:03}" for n in range(3, 10)]
    side_of = {row["family_id"]: row["split"] for row in sides.both(parts).to_pylist()}
    assert all(side_of[row["family_id"]] == row["split"] for row in found.to_pylist())


def test_a_family_that_only_leaks_is_frozen_too():
    new = sides.new_families(_leaky(), {"b": "test"}).to_pylist()
    assert {"family_id": "a", "split": "train"} in new


def test_the_version_is_the_content_whatever_its_form():
    parts = _prepare(_far(10))
    version = sides.version(parts.train, parts.test)
    pieces = pa.concat_tables([parts.train.slice(0, 3), parts.train.slice(3)])
    noted = pieces.replace_schema_metadata({"written": "today"})
    assert sides.version(noted, parts.test) == version
    assert len(version) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"text": "换了一句话怎么样？"},
        {"label": "unsafe"},
        {"votes": []},
        {"agreement": 0.75},
        {"may_redistribute": False},
        {"prompt_id": "zzz"},
    ],
)
def test_any_change_of_content_is_another_version(change):
    rows = _far(5)
    test = builders.released("test", [])
    one = sides.version(builders.released("train", rows), test)
    changed = [{**rows[0], **change}, *rows[1:]]
    assert sides.version(builders.released("train", changed), test) != one
    assert sides.version(builders.released("train", rows[1:]), test) != one


def test_a_source_under_another_name_is_the_same_version():
    test = builders.released("test", [])
    one, two = (
        builders.released("train", [builders.labeled("a", origin="real", method=name)])
        for name in ("may", "june")
    )
    assert sides.version(one, test) == sides.version(two, test)
    made = {"parent_ids": ["p"], "origin": "rewrite"}
    one, two = (
        builders.released("train", [builders.labeled("a", method=name, **made)])
        for name in ("role_play", "emoji")
    )
    assert sides.version(one, test) != sides.version(two, test)


def test_a_row_on_the_other_side_is_another_version():
    rows = _far(2)
    train, test = builders.released("train", rows[:1]), builders.released("test", rows[1:])
    other = builders.released("train", rows), builders.released("test", [])
    assert sides.version(train, test) != sides.version(*other)


def test_nothing_labelled_makes_empty_sides():
    parts = _prepare([])
    assert [table.num_rows for table in _tables(parts)] == [0, 0, 0]
    assert sides.new_families(parts, {}).num_rows == 0
