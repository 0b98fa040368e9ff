import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.tables import training
from chillguard.training import pairs


@pytest.mark.parametrize(
    ("predicted", "score", "level"),
    [
        ("safe", 5, "L1"), ("safe", 3, "L1"), ("safe", 2, "L2"), ("safe", 1, "L2"),
        ("unsafe", 2, "L3"), ("unsafe", 1, "L3"), ("unsafe", 3, "L4"), ("unsafe", 5, "L4"),
        (None, 5, None), ("safe", None, None), (None, None, None),
    ],
)  # fmt: skip
def test_a_level_follows_from_prediction_and_score(predicted, score, level):
    assert pairs.level("unsafe", predicted, score) == level
    mirrored = {"safe": "unsafe", "unsafe": "safe", None: None}[predicted]
    assert pairs.level("safe", mirrored, score) == level


def _graded(rows):
    """A graded table of (seed, candidate, predicted, score, length); labels are unsafe."""
    return training.GRADED_PROMPTS.build(
        {
            "prompt_id": f"{seed}-{candidate}",
            "seed_id": seed,
            "candidate": candidate,
            "length": length,
            "label": "unsafe",
            "predicted_label": predicted,
            "score": score,
            "level": pairs.level("unsafe", predicted, score),
        }
        for seed, candidate, predicted, score, length in rows
    )


def _pairs(rows, most=1):
    found = pairs.pairs(_graded(rows), pairs.PairsConfig(max_per_seed=most)).to_pylist()
    return sorted((p["chosen_id"], p["rejected_id"]) for p in found)


WRONG, RIGHT = "safe", "unsafe"


@pytest.mark.parametrize(
    ("rows", "pair"),
    [
        # L1 with L4 before L1 with L3.
        ([("s", 0, WRONG, 4, 9), ("s", 1, RIGHT, 1, 9), ("s", 2, RIGHT, 3, 50)], ("s-0", "s-2")),
        # L1 with L3 before L2 with L4.
        ([("s", 0, WRONG, 4, 9), ("s", 1, RIGHT, 1, 9), ("s", 2, WRONG, 1, 9)], ("s-0", "s-1")),
        ([("s", 0, WRONG, 2, 9), ("s", 1, RIGHT, 4, 9)], ("s-0", "s-1")),
        # Within a level: the highest score is chosen, then the nearest length, then the index.
        ([("s", 0, WRONG, 3, 9), ("s", 1, WRONG, 5, 70), ("s", 2, RIGHT, 4, 9)], ("s-1", "s-2")),
        ([("s", 0, WRONG, 4, 30), ("s", 1, WRONG, 4, 11), ("s", 2, RIGHT, 4, 9)], ("s-1", "s-2")),
        ([("s", 0, RIGHT, 4, 30), ("s", 1, WRONG, 4, 29), ("s", 2, RIGHT, 5, 9)], ("s-1", "s-0")),
        ([("s", 0, WRONG, 4, 9), ("s", 1, WRONG, 4, 9), ("s", 2, RIGHT, 4, 9)], ("s-0", "s-2")),
    ],
)
def test_the_pair_of_a_seed_is_the_first_by_rule_score_length_and_index(rows, pair):
    assert _pairs(rows) == [pair]


@pytest.mark.parametrize(
    "rows",
    [
        [("s", 0, WRONG, 1, 9), ("s", 1, RIGHT, 1, 9)],
        [("s", 0, WRONG, 4, 9), ("s", 1, WRONG, 2, 9)],
        [("s", 0, RIGHT, 4, 9), ("s", 1, RIGHT, 2, 9)],
        [("s", 0, WRONG, 4, 9), ("t", 1, RIGHT, 4, 9)],
        [("s", 0, WRONG, 4, 9), ("s", 1, RIGHT, None, 9), ("s", 2, None, 5, 9)],
        [],
    ],
    ids=["L2 and L3", "only wrong", "only right", "two seeds", "ungraded", "nothing"],
)
def test_without_a_rule_there_is_no_pair(rows):
    assert _pairs(rows) == []


_ROWS = st.lists(
    st.tuples(
        st.sampled_from("stu"),
        st.sampled_from([WRONG, RIGHT, None]),
        st.sampled_from([None, 1, 2, 3, 4, 5]),
        st.integers(4, 12),
    ),
    max_size=24,
).map(
    lambda rows: [
        (seed, n, predicted, score, length)
        for n, (seed, predicted, score, length) in enumerate(rows)
    ]
)


@given(_ROWS, st.integers(1, 3), st.randoms(use_true_random=False))
def test_pairs_keep_the_rules_whatever_the_rows(rows, most, shuffle):
    graded = {row["prompt_id"]: row for row in _graded(rows).to_pylist()}
    found = pairs.pairs(_graded(rows), pairs.PairsConfig(max_per_seed=most)).to_pylist()
    for pair in found:
        chosen, rejected = graded[pair["chosen_id"]], graded[pair["rejected_id"]]
        assert chosen["seed_id"] == rejected["seed_id"] == pair["seed_id"]
        assert chosen["predicted_label"] != chosen["label"]
        assert rejected["predicted_label"] == rejected["label"]
        assert (pair["chosen_level"], pair["rejected_level"]) in pairs.PRIORITY
        assert (pair["chosen_level"], pair["rejected_level"]) == (
            chosen["level"],
            rejected["level"],
        )
    used = [pair[name] for pair in found for name in ("chosen_id", "rejected_id")]
    assert len(used) == len(set(used))
    for seed in "stu":
        own = [pair for pair in found if pair["seed_id"] == seed]
        levels = {row["level"] for row in graded.values() if row["seed_id"] == seed}
        possible = [rule for rule in pairs.PRIORITY if set(rule) <= levels]
        assert len(own) <= most
        assert bool(own) is bool(possible)
        if own and most == 1:
            assert (own[0]["chosen_level"], own[0]["rejected_level"]) == possible[0]
    shuffled = shuffle.sample(rows, len(rows))
    assert pairs.pairs(_graded(shuffled), pairs.PairsConfig(max_per_seed=most)).to_pylist() == found


@given(_ROWS)
def test_the_pairs_of_a_seed_do_not_depend_on_the_other_seeds(rows):
    alone = [_pairs([row for row in rows if row[0] == seed]) for seed in "stu"]
    assert _pairs(rows) == sorted(itertools.chain(*alone))


def test_grading_takes_kept_rows_only_and_says_what_is_missing():
    made = [
        {
            "prompt_id": key,
            "family_id": "f",
            "parent_ids": ["s"],
            "text": "今天去哪里散步好",
            "label": "unsafe",
            "candidate": n,
            "drop_reason": "leak" if key == "gone" else None,
        }
        for n, key in enumerate(("a", "b", "c", "gone"))
    ]
    predicted = {
        "a": {"predicted_label": "safe", "reason": None},
        "b": {"predicted_label": None, "reason": "not a label"},
        "gone": {"predicted_label": "safe", "reason": None},
    }
    scored = {
        "a": {"score": 4, "reason": None, "call_key": "k"},
        "b": {"score": 2, "reason": None, "call_key": "k"},
        "c": {"score": None, "reason": "unreadable: not a score from 1 to 5", "call_key": "k"},
    }
    rows = pairs.grade(training.GENERATED_PROMPTS.build(made), predicted, scored)
    assert training.GRADED_PROMPTS.problems(rows) == []
    assert [(r["prompt_id"], r["level"], r["ungraded"]) for r in rows.to_pylist()] == [
        ("a", "L1", None),
        ("b", None, "no prediction: not a label"),
        ("c", None, "no prediction: not given; no score: unreadable: not a score from 1 to 5"),
    ]
    assert pairs.counts(rows) == {
        "L1": 1, "L2": 0, "L3": 0, "L4": 0,
        "without_level": 2, "without_prediction": 2, "without_score": 1,
    }  # fmt: skip
    assert pairs.without_pair(rows, pairs.pairs(rows, pairs.PairsConfig())) == 1


def test_a_pair_is_known_by_its_two_prompts():
    rows = [("s", n, random.Random(n).choice([WRONG, RIGHT]), 4, 9) for n in range(8)]
    first, again = (pairs.pairs(_graded(rows), pairs.PairsConfig()) for _ in range(2))
    assert first.equals(again)
    assert training.PREFERENCE_PAIRS.problems(first) == []
