"""Calibration: honest scores have no error, overconfident ones a temperature above 1."""

import numpy as np
import pytest

from chillguard.evaluation import calibration


def test_the_error_of_two_bins_by_hand():
    truth = np.array([False, True, True, True])
    scores = np.array([0.1, 0.3, 0.8, 1.0])
    assert calibration.ece(truth, scores, bins=2) == pytest.approx(0.5 * 0.3 + 0.5 * 0.1)
    assert calibration.brier(truth, scores) == pytest.approx((0.01 + 0.49 + 0.04 + 0.0) / 4)
    assert calibration.ece(truth[:0], scores[:0]) is None


def test_a_temperature_undoes_overconfidence():
    rng = np.random.default_rng(5)
    honest = rng.uniform(0.05, 0.95, 4_000)
    truth = rng.random(4_000) < honest
    sharp = calibration.tempered(honest, 1 / 3)
    fitted = calibration.temperature(truth, sharp)
    assert fitted == pytest.approx(3.0, rel=0.15)
    after = calibration.tempered(sharp, fitted)
    assert calibration.ece(truth, after) < 0.03 < calibration.ece(truth, sharp)


def test_scores_of_exactly_0_and_1_stay_finite():
    assert np.isfinite(calibration.tempered(np.array([0.0, 1.0]), 2.0)).all()
