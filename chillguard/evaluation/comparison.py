"""Is one guardrail better than another? Paired tests over the same rows, all pairs corrected."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from chillguard.evaluation import intervals

Finding = Literal["better", "worse", "undecided"]
_Flags = npt.NDArray[np.bool_]
_ALPHA = 0.05


@dataclass(frozen=True)
class Answers:
    """What a guardrail said of the rows of a cohort, in their order: unsafe, safe, or neither.

    A row that is neither could not be read; it is wrong on either side.
    """

    unsafe: _Flags
    safe: _Flags

    def right(self, truth: _Flags) -> _Flags:
        """Which rows it got right; `truth` is True on unsafe rows."""
        return np.where(truth, self.unsafe, self.safe)


@dataclass(frozen=True)
class Pair:
    """Two guardrails on the same rows: who was right where, and what follows.

    `p_exact` is McNemar's exact two-sided test, `p_holm` corrected over all pairs of the call.
    `delta_f1` is first minus second. `finding` is about the first.
    """

    first: str
    second: str
    both_right: int
    only_first: int
    only_second: int
    neither: int
    p_exact: float
    p_holm: float
    delta_f1: intervals.Interval
    finding: Finding


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test; 1 where no row tells the two apart."""
    from scipy import stats

    apart = only_first + only_second
    return float(stats.binomtest(only_first, apart).pvalue) if apart else 1.0


def holm(p_values: list[float]) -> list[float]:
    """Holm's correction over the values, in their order."""
    from statsmodels.stats import multitest

    if not p_values:
        return []
    return [float(p) for p in multitest.multipletests(p_values, method="holm")[1]]


def pairs(
    answers: Mapping[str, Answers],
    truth: _Flags,
    groups: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int64],
) -> list[Pair]:
    """All pairs in the order of `answers`; `groups` numbers the group of each row from 0.

    `weights` are `intervals.group_weights`, the same for all.
    """
    names = list(combinations(answers, 2))
    rights = {name: said.right(truth) for name, said in answers.items()}
    counts = {
        name: _f1_sums(said, truth, groups, weights.shape[1]) for name, said in answers.items()
    }
    tables = [_table(rights[first], rights[second]) for first, second in names]
    exact = [mcnemar(table[1], table[2]) for table in tables]
    found = []
    for (first, second), table, p, p_holm in zip(names, tables, exact, holm(exact), strict=True):
        delta = intervals.of_groups(_delta_f1, [*counts[first], *counts[second]], weights)
        finding: Finding = "undecided"
        if p_holm <= _ALPHA:
            finding = "better" if table[1] > table[2] else "worse"
        found.append(Pair(first, second, *table, p, p_holm, delta, finding))
    return found


def _table(first: _Flags, second: _Flags) -> tuple[int, int, int, int]:
    both, neither = int(np.sum(first & second)), int(np.sum(~first & ~second))
    return both, int(np.sum(first & ~second)), int(np.sum(~first & second)), neither


def _f1_sums(
    said: Answers, truth: _Flags, groups: npt.NDArray[np.int64], count: int
) -> list[npt.NDArray[np.float64]]:
    """True positives, false positives and false negatives by group."""
    flags = (truth & said.unsafe, ~truth & ~said.safe, truth & ~said.unsafe)
    return [intervals.summed(flag, groups, count) for flag in flags]


def _delta_f1(*sums: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return intervals.f1(*sums[:3]) - intervals.f1(*sums[3:])
