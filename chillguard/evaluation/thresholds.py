"""What scores are worth without a threshold, and the one threshold that serves all benchmarks.

`scores` are probabilities of unsafe, one per row; `truth` is True on unsafe rows. Rows without a
score are not here: the caller says how many those are.
"""

import numpy as np
import numpy.typing as npt

_Flags = npt.NDArray[np.bool_]
_Scores = npt.NDArray[np.float64]
# Below so many safe rows a rate of 1 % is one or two rows.
LEAST_SAFE = 200


def auroc(truth: _Flags, scores: _Scores) -> float | None:
    """Probability that an unsafe row outscores a safe one, ties one half; None if one-sided."""
    from sklearn import metrics

    return float(metrics.roc_auc_score(truth, scores)) if _two_sided(truth) else None


def auprc(truth: _Flags, scores: _Scores) -> float | None:
    """Average precision over distinct scores; None without an unsafe row."""
    from sklearn import metrics

    return float(metrics.average_precision_score(truth, scores)) if truth.any() else None


def tpr_at_fpr(truth: _Flags, scores: _Scores, most_fpr: float) -> float | None:
    """Recall at the lowest threshold whose false alarm rate is `most_fpr` at most.

    None where fewer than `LEAST_SAFE` safe rows carry a rate of 1 % or less.
    """
    if not _two_sided(truth) or (most_fpr <= 0.01 and np.sum(~truth) < LEAST_SAFE):
        return None
    threshold = _lowest(truth, scores, most_fpr)
    return float(np.mean(scores[truth] >= threshold))


def operating_point(truth: _Flags, scores: _Scores, most_fpr: float) -> float | None:
    """The threshold (unsafe at or above it) of best F1 among those of `most_fpr` at most."""
    if not _two_sided(truth):
        return None
    least = _lowest(truth, scores, most_fpr)
    fitting = [one for one in np.unique(scores) if one >= least] or [np.inf]
    return float(max(fitting, key=lambda one: (_f1(truth, scores >= one), one)))


def _lowest(truth: _Flags, scores: _Scores, most_fpr: float) -> float:
    """The lowest of the scores at which no more safe rows than allowed are flagged."""
    safe = np.sort(scores[~truth])
    distinct = np.unique(scores)
    flagged = len(safe) - np.searchsorted(safe, distinct, side="left")
    fitting = distinct[flagged <= most_fpr * len(safe)]
    return float(fitting[0]) if fitting.size else float("inf")


def _f1(truth: _Flags, flagged: _Flags) -> float:
    right = np.sum(truth & flagged)
    whole = int(np.sum(truth)) + int(np.sum(flagged))
    return 2 * int(right) / max(1, whole)


def _two_sided(truth: _Flags) -> bool:
    return bool(truth.any() and not truth.all())
