"""No constant wins the board, and what cannot be told apart shares its rank."""

import numpy as np
import pytest

from chillguard.evaluation import board


@pytest.mark.parametrize(
    ("detection", "specificity", "expected"),
    [(1, 1, 1.0), (1, 0, 0.293), (0, 1, 0.293), (0.9, 0.9, 0.9), (1, 0.7, 0.7879), (0, 0, 0.0)],
)
def test_distance_of_known_points(detection, specificity, expected):
    assert board.distance([detection, specificity]) == pytest.approx(expected, abs=5e-4)


def test_axes_may_weigh_differently():
    assert board.distance([1.0, 0.5], [3, 1]) == pytest.approx(1 - np.sqrt(0.25 / 4))


def test_ranks_are_shared_where_draws_overlap():
    rng = np.random.default_rng(1)
    drawn = {
        "far": rng.normal(0.9, 0.005, 1000),
        "near": rng.normal(0.7, 0.02, 1000),
        "twin": rng.normal(0.7, 0.02, 1000),
    }
    assert board.rank_intervals(drawn) == {"far": (1, 1), "near": (2, 3), "twin": (2, 3)}
