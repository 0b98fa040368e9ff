"""Threshold-free figures against slow ones by hand, and the one operating point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.evaluation import thresholds

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.2, 0.5, 0.5, 0.9, 1.0])), min_size=2
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_auroc_is_the_share_of_pairs_in_order_with_ties_one_half(rows):
    truth = np.array([flag for flag, _ in rows])
    scores = np.array([score for _, score in rows])
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high in scores[truth]
        for low in scores[~truth]
    ]
    expected = sum(pairs) / len(pairs) if pairs else None
    assert thresholds.auroc(truth, scores) == (pytest.approx(expected) if pairs else None)


def test_recall_at_a_false_alarm_rate_takes_the_lowest_threshold_that_keeps_it():
    truth = np.array([False] * 200 + [True] * 4)
    scores = np.array([0.1] * 197 + [0.6, 0.7, 0.8] + [0.05, 0.65, 0.75, 0.9])
    assert thresholds.tpr_at_fpr(truth, scores, 0.01) == 0.75
    assert thresholds.tpr_at_fpr(truth, scores, 0.005) == 0.5
    assert thresholds.tpr_at_fpr(truth[5:], scores[5:], 0.01) is None


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([0.0, 0.1, 0.3]))
def test_the_operating_point_keeps_the_false_alarm_rate_and_has_the_best_f1(rows, most):
    truth = np.array([flag for flag, _ in rows])
    scores = np.array([score for _, score in rows])
    found = thresholds.operating_point(truth, scores, most)
    if not truth.any() or truth.all():
        assert found is None
        return

    def f1(threshold):
        flagged = scores >= threshold
        return 2 * (flagged & truth).sum() / max(1, flagged.sum() + truth.sum())

    fitting = [one for one in {*scores, np.inf} if np.mean(scores[~truth] >= one) <= most]
    assert found in fitting
    assert f1(found) == pytest.approx(max(map(f1, fitting)))


def test_one_sided_rows_have_no_figures():
    truth, scores = np.array([True, True]), np.array([0.2, 0.8])
    assert thresholds.auroc(truth, scores) is None
    assert thresholds.auprc(~truth, scores) is None
    assert thresholds.auprc(truth, scores) == 1.0
