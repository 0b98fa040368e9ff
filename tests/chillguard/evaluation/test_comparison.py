"""Paired comparison: exact, corrected, and about the first of the two."""

from math import comb

import numpy as np
import pytest

from chillguard.evaluation import comparison, intervals
from chillguard.evaluation.comparison import Answers


def by_hand(b, c):
    n = b + c
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(b, c) + 1)) / 2**n) if n else 1.0


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 0), (7, 2), (10, 10), (1, 20)])
def test_mcnemar_is_the_exact_binomial_test(b, c):
    assert comparison.mcnemar(b, c) == pytest.approx(by_hand(b, c))


def test_holm_by_hand():
    assert comparison.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert comparison.holm([]) == []


def board(truth, **right):
    """Answers that are right on the given rows, wrong on all others."""
    return {name: Answers(truth == flags, truth != flags) for name, flags in right.items()}


def compared(truth, answers):
    groups = np.arange(len(truth))
    return comparison.pairs(answers, truth, groups, intervals.group_weights(groups, seed=1))


def test_a_better_guardrail_is_told_with_its_rows_and_its_difference():
    truth = np.arange(200) % 2 == 0
    good, poor = np.arange(200) < 180, np.arange(200) < 120
    (pair,) = compared(truth, board(truth, good=good, poor=poor))
    assert (pair.both_right, pair.only_first, pair.only_second, pair.neither) == (120, 60, 0, 20)
    assert pair.finding == "better"
    assert 0 < pair.delta_f1.low < pair.delta_f1.value == pytest.approx(0.3)
    (other,) = compared(truth, board(truth, poor=poor, good=good))
    assert other.finding == "worse"


def test_equal_guardrails_are_undecided():
    truth = np.arange(50) % 2 == 0
    (pair,) = compared(truth, board(truth, one=truth | True, two=truth | True))
    assert (pair.p_exact, pair.finding, pair.delta_f1.value) == (1.0, "undecided", 0.0)


def test_a_row_that_was_not_read_is_wrong_on_either_side():
    truth = np.array([True, False])
    unread = Answers(np.array([False, False]), np.array([False, False]))
    assert not unread.right(truth).any()


def test_chance_rarely_makes_a_difference_among_equals():
    """Six equal guardrails, 60 boards, seed fixed before: family-wise error stays near 5 %."""
    rng = np.random.default_rng(20261126)
    wrong = 0
    for _ in range(60):
        rights = {f"g{n}": rng.random(300) < 0.8 for n in range(6)}
        pairs = [(rights[a], rights[b]) for a in rights for b in rights if a < b]
        p = [comparison.mcnemar(int((a & ~b).sum()), int((~a & b).sum())) for a, b in pairs]
        wrong += min(comparison.holm(p)) <= 0.05
    assert wrong <= 8
