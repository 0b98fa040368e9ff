"""Intervals say something at the edges, cover what they should, and are the same twice."""

import numpy as np
import pytest

from chillguard.evaluation import intervals


@pytest.mark.parametrize(
    ("part", "low", "high"), [(0, 0.0, 0.278), (10, 0.722, 1.0), (5, 0.237, 0.763)]
)
def test_a_rate_of_ten_has_wilsons_interval_also_at_the_edges(part, low, high):
    found = intervals.of_rate(part, 10)
    assert (found.value, found.low, found.high) == pytest.approx((part / 10, low, high), abs=1e-3)


def test_nothing_measured_is_null_and_not_zero():
    assert intervals.of_rate(0, 0) == intervals.UNMEASURED
    assert intervals.of_f1(0, 5, 0, 5, seed=1) == intervals.UNMEASURED
    assert np.isnan(intervals.f1(0, 0, 0))


def test_the_interval_of_f1_holds_its_value_and_is_the_same_for_one_seed():
    found = intervals.of_f1(80, 10, 20, 90, seed=7)
    assert found.value == pytest.approx(160 / 190)
    assert found.low < found.value < found.high
    assert found == intervals.of_f1(80, 10, 20, 90, seed=7)
    assert found != intervals.of_f1(80, 10, 20, 90, seed=8)


def test_rows_of_one_group_widen_the_interval():
    """Ten copies of one row are worth one row."""
    rng = np.random.default_rng(3)
    right = rng.random(60) < 0.8
    alone, ten = np.arange(60), np.repeat(np.arange(60), 10)

    def width(groups, flags):
        weights = intervals.group_weights(groups, seed=1)
        sums = [intervals.summed(part, groups, 60) for part in (flags, np.ones_like(flags))]
        found = intervals.of_groups(lambda part, whole: part / whole, sums, weights)
        return found.value, found.high - found.low

    assert width(ten, np.repeat(right, 10)) == pytest.approx(width(alone, right))


def test_nineteen_in_twenty_intervals_of_f1_cover_the_truth():
    """A light form of the drill: 400 boards of 400 rows, seed fixed before the first run."""
    rng = np.random.default_rng(20261126)
    shares = np.array([0.4, 0.1, 0.1, 0.4])
    truth = float(intervals.f1(*shares[:3]))
    hits = 0
    for number, counts in enumerate(rng.multinomial(400, shares, size=400)):
        found = intervals.of_f1(*map(int, counts), seed=number, draws=500)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.975
