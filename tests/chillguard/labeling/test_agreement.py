import math

import hypothesis
import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.labeling import agreement


def _votes(*rows):
    return np.array(rows, np.int8)


def test_alpha_is_that_of_krippendorffs_own_binary_example():
    # Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section B: two observers.
    one = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    two = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert agreement.alpha(_votes(*zip(one, two, strict=True))) == pytest.approx(0.095, abs=5e-4)


@given(
    st.integers(2, 5).flatmap(
        lambda jurors: st.lists(
            st.lists(st.integers(-1, 1), min_size=jurors, max_size=jurors), min_size=1, max_size=30
        )
    )
)
def test_alpha_is_that_of_the_reference_implementation(rows):
    votes = _votes(*rows)
    counts = np.stack([(votes == label).sum(axis=1) for label in (0, 1)], axis=1)
    counts = counts[counts.sum(axis=1) >= 2]
    hypothesis.assume(counts.any(axis=0).all())
    wanted = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    assert agreement.alpha(votes) == pytest.approx(wanted)


def test_kappa_of_a_table_worked_out_by_hand():
    # Row agreements 1, 1/3, 1, 1/3 give 2/3; 7 of 12 votes are unsafe: (2/3 - 37/72) / (35/72).
    votes = _votes((1, 1, 1), (1, 1, 0), (0, 0, 0), (0, 1, 1))
    value, rows = agreement.fleiss_kappa(votes)
    assert rows == 4
    assert value == pytest.approx((2 / 3 - 37 / 72) / (35 / 72))


def test_rows_with_an_abstention_count_for_alpha_but_not_for_kappa():
    full = _votes((1, 1, 0), (0, 0, 0), (1, 1, 1))
    more = _votes(*full.tolist(), (0, 0, -1), (-1, -1, 1))
    assert agreement.fleiss_kappa(more) == agreement.fleiss_kappa(full)
    assert agreement.alpha(more) != agreement.alpha(full)
    assert agreement.alpha(more) == agreement.alpha(more[:4])


@pytest.mark.parametrize(
    "votes", [np.empty((0, 3), np.int8), _votes((1, 1, 1)), _votes((-1, -1, 1), (0, -1, -1))]
)
def test_without_variance_or_pairs_there_is_no_figure(votes):
    assert agreement.alpha(votes) is None
    assert agreement.fleiss_kappa(votes)[0] is None


def test_jurors_that_err_on_the_same_rows_are_worth_one():
    truth = np.array([0, 0, 0, 1, 1, 1], np.int8)
    wrong = np.array([1, 0, 0, 1, 1, 0], np.int8)
    votes = np.stack([wrong, wrong, wrong], axis=1)
    pairs = agreement.error_correlation(votes, truth)
    assert {pair: n for pair, (_, n) in pairs.items()} == {(0, 1): 6, (0, 2): 6, (1, 2): 6}
    values = [value for value, _ in pairs.values()]
    assert values == pytest.approx([1, 1, 1])
    assert agreement.effective_size(values, 3) == pytest.approx(1)


def test_unknown_truth_and_abstentions_are_left_out_of_a_pair():
    truth = np.array([0, -1, 1, 1], np.int8)
    votes = _votes((1, 1), (0, 0), (-1, 1), (1, 0))
    assert agreement.error_correlation(votes, truth)[0, 1] == (None, 2)


@pytest.mark.parametrize(
    ("correlations", "jurors", "size"),
    [
        ([0.42] * 15, 6, 6 / (1 + 5 * 0.42)),
        ([0.0], 2, 2),
        ([-0.5, -0.5, None], 3, 3),
        ([None], 2, None),
        ([], 1, None),
    ],
)
def test_the_effective_size_is_kishs_design_effect(correlations, jurors, size):
    found = agreement.effective_size(correlations, jurors)
    assert found == (None if size is None else pytest.approx(size))


_TABLES = st.lists(
    st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4), min_size=1, max_size=15
)


@pytest.mark.filterwarnings("error")
@given(_TABLES, st.permutations(range(4)))
def test_figures_are_in_their_bounds_and_know_no_order_of_jurors(table, order):
    votes = np.array(table, np.int8)
    for figure in (agreement.alpha(votes), agreement.fleiss_kappa(votes)[0]):
        assert figure is None or (-1 <= figure <= 1 and math.isfinite(figure))
    mixed = votes[:, order]
    assert agreement.fleiss_kappa(mixed) == agreement.fleiss_kappa(votes)
    truth = votes[:, 0]
    size = agreement.effective_size(
        [value for value, _ in agreement.error_correlation(votes, truth).values()], 4
    )
    assert size is None or 1 - 1e-9 <= size <= 4
