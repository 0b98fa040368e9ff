"""Label probabilities from token log-probabilities."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.calls.probabilities import of_labels

LABELS = ("safe", "unsafe")


def position(chosen, **probabilities):
    tops = [{"token": token, "logprob": math.log(p)} for token, p in probabilities.items()]
    return {"token": chosen, "logprob": math.log(probabilities[chosen]), "top_logprobs": tops}


def test_one_token_per_label():
    found = of_labels([position("safe", safe=0.6, unsafe=0.2, maybe=0.2)], LABELS)
    assert found == pytest.approx({"safe": 0.75, "unsafe": 0.25})


def test_a_label_spelled_letter_by_letter_is_told_by_its_first_letter():
    spelled = [position("s", s=0.3, u=0.1), *(position(c, **{c: 1.0}) for c in "afe")]
    assert of_labels(spelled, LABELS) == pytest.approx({"safe": 0.75, "unsafe": 0.25})


def test_several_tokens_of_one_label_at_the_same_place_add_up():
    found = of_labels([position("unsafe", unsafe=0.3, un=0.2, u=0.1, safe=0.4)], LABELS)
    assert found == pytest.approx({"safe": 0.4, "unsafe": 0.6})


def test_labels_that_share_their_beginning_are_followed_to_where_they_part():
    steps = [position("A", A=0.9, B=0.1), position("2", **{"1": 0.25, "2": 0.75})]
    found = of_labels(steps, ("A1", "A2", "B1"))
    assert found == pytest.approx({"A1": 0.225, "A2": 0.675, "B1": 0.1})


def test_quotes_and_spaces_before_a_label_do_not_count():
    found = of_labels([position('"safe', **{'"safe': 0.8, ' "unsafe': 0.2})], LABELS)
    assert found == pytest.approx({"safe": 0.8, "unsafe": 0.2})


@pytest.mark.parametrize("logprobs", [None, [], [position("maybe", maybe=1.0)]])
def test_without_evidence_there_is_no_probability(logprobs):
    assert of_labels(logprobs, LABELS) is None


@given(st.floats(0.01, 0.99), st.integers(1, 5), st.floats(0.05, 1.0))
def test_shares_add_up_however_the_label_is_cut(p, cut, mass):
    first, rest = "unsafe"[:cut], "unsafe"[cut:]
    steps = [position(first, **{first: p * mass, "safe": (1 - p) * mass})]
    steps += [position(rest, **{rest: 1.0})] if rest else []
    found = of_labels(steps, LABELS)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["unsafe"] == pytest.approx(p)
