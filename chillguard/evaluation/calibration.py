"""Do scores mean what they say? Expected calibration error, Brier score, one temperature."""

import numpy as np
import numpy.typing as npt

_Flags = npt.NDArray[np.bool_]
_Scores = npt.NDArray[np.float64]
_BINS = 15
# Scores of exactly 0 and 1 have no logit.
_EDGE = 1e-6


def ece(truth: _Flags, scores: _Scores, bins: int = _BINS) -> float | None:
    """Mean gap of score and share of unsafe rows over bins of equal mass; None without rows."""
    if not len(scores):
        return None
    order = np.argsort(scores, kind="stable")
    gaps = [
        len(part) * abs(float(scores[part].mean()) - float(truth[part].mean()))
        for part in np.array_split(order, min(bins, len(order)))
    ]
    return sum(gaps) / len(scores)


def brier(truth: _Flags, scores: _Scores) -> float | None:
    """Mean squared distance of score and truth; None without rows."""
    return float(np.mean((scores - truth) ** 2)) if len(scores) else None


def temperature(truth: _Flags, scores: _Scores) -> float:
    """The number to divide logits by that makes the rows likeliest; above 1: overconfident."""
    from scipy import optimize

    logits = _logits(scores)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, np.where(truth, -scaled, scaled))))

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-4.0, 4.0), method="bounded").x))


def tempered(scores: _Scores, by: float) -> _Scores:
    """Scores with their logits divided by a temperature."""
    calibrated: _Scores = 1.0 / (1.0 + np.exp(-_logits(scores) / by))
    return calibrated


def _logits(scores: _Scores) -> _Scores:
    inside = np.clip(scores, _EDGE, 1 - _EDGE)
    logits: _Scores = np.log(inside) - np.log1p(-inside)
    return logits
