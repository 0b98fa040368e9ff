"""Intervals of rates, of scores over counts, and of figures over groups of rows.

A rate has a Wilson interval, which says something at 0 and at 100 % too. F1 and its like have a
multinomial bootstrap of their four counts where every row stands alone, and a Poisson bootstrap
over groups where rows share a family or a source conversation. Seeds come from the caller, so that
bytes are stable.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chillguard.release import audit

_LEVEL = 0.95
_TAIL = (1 - _LEVEL) / 2
_Counts = npt.NDArray[np.int64]
_Weights = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95 % interval; all None where nothing was measured."""

    value: float | None
    low: float | None
    high: float | None


UNMEASURED = Interval(None, None, None)


def of_rate(part: int, whole: int) -> Interval:
    """Wilson's interval of `part` among `whole`."""
    return Interval(part / whole, *audit.wilson(part, whole)) if whole else UNMEASURED


def f1(tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike) -> _Weights:
    """F1 of counts, element by element; NaN where there is neither a positive nor an alarm."""
    right, alarms, missed = (np.asarray(counts, dtype=float) for counts in (tp, fp, fn))
    whole = 2 * right + alarms + missed
    found: _Weights = np.divide(2 * right, whole, out=np.full_like(whole, np.nan), where=whole > 0)
    return found


def of_f1(tp: int, fp: int, fn: int, tn: int, seed: int, draws: int = 10_000) -> Interval:
    """F1 of rows that stand alone, with the multinomial bootstrap of its counts."""
    counts = np.array([tp, fp, fn, tn], dtype=np.int64)
    total = int(counts.sum())
    if not tp + fn or not total:
        return UNMEASURED
    drawn = np.random.default_rng(seed).multinomial(total, counts / total, size=draws)
    return _bounded(float(f1(tp, fp, fn)), f1(drawn[:, 0], drawn[:, 1], drawn[:, 2]))


def group_weights(groups: npt.ArrayLike, seed: int, draws: int = 1_000) -> _Counts:
    """Poisson weights, shape (draws, groups): how often each group counts in each draw.

    The same weights for all guardrails of a cohort make their differences paired.
    """
    count = int(np.asarray(groups).max(initial=-1)) + 1
    return np.random.default_rng(seed).poisson(1.0, size=(draws, count)).astype(np.int64)


def summed(rows: npt.ArrayLike, groups: npt.ArrayLike, count: int) -> _Weights:
    """Sums of 0/1 `rows` by group, shape (count,)."""
    flags = np.asarray(rows, dtype=float)
    return np.bincount(np.asarray(groups), weights=flags, minlength=count).astype(float)


def of_groups(figure: Callable[..., _Weights], sums: list[_Weights], weights: _Counts) -> Interval:
    """A figure of sums over groups; `sums` are its arguments by group, shape (groups,) each."""
    value = float(figure(*(part.sum() for part in sums)))
    if np.isnan(value):
        return UNMEASURED
    return _bounded(value, figure(*(weights @ part for part in sums)))


def _bounded(value: float, drawn: _Weights) -> Interval:
    measured = drawn[~np.isnan(drawn)]
    if not measured.size:
        return Interval(value, None, None)
    low, high = np.quantile(measured, [_TAIL, 1 - _TAIL])
    return Interval(value, float(min(low, value)), float(max(high, value)))
