"""How far jurors agree, and whether their errors are independent.

Votes are an array of prompts × jurors: 0 safe, 1 unsafe, -1 abstain. A figure that is not defined
(no rows, no variance) is None, never 0.
"""

import itertools

import numpy as np
import numpy.typing as npt

Votes = npt.NDArray[np.int8]
_MIN_PAIR = 2


def alpha(votes: Votes) -> float | None:
    """Krippendorff's alpha (nominal) over all valid votes of rows that have two at least."""
    counts = _counts(votes)
    counts = counts[counts.sum(axis=1) >= _MIN_PAIR]
    if not counts.any(axis=0).all():
        return None
    given, total = counts.sum(axis=1), counts.sum()
    apart = (np.square(given) - np.square(counts).sum(axis=1)) / (given - 1)
    by_chance = (np.square(total) - np.square(counts.sum(axis=0)).sum()) / (total - 1)
    return float(1 - apart.sum() / by_chance)


def fleiss_kappa(votes: Votes) -> tuple[float | None, int]:
    """Fleiss' kappa over the rows on which no juror abstained, and how many they are."""
    counts = _counts(votes[(votes >= 0).all(axis=1)])
    rows, jurors = len(counts), votes.shape[1]
    if not rows or jurors < _MIN_PAIR or not counts.any(axis=0).all():
        return None, rows
    observed = (np.square(counts).sum(axis=1) - jurors).mean() / (jurors * (jurors - 1))
    expected = np.square(counts.sum(axis=0) / (rows * jurors)).sum()
    return float((observed - expected) / (1 - expected)), rows


def error_correlation(
    votes: Votes, truth: Votes
) -> dict[tuple[int, int], tuple[float | None, int]]:
    """Correlation of the errors of two jurors, by pair, and the rows that it rests on.

    `truth` is by row 0, 1 or -1 for unknown. The correlation of two binary variables (phi) over the
    rows on which both voted.
    """
    wrong, comparable = votes != truth[:, None], (votes >= 0) & (truth >= 0)[:, None]
    phi_of = {}
    for one, two in itertools.combinations(range(votes.shape[1]), 2):
        both = comparable[:, one] & comparable[:, two]
        phi_of[one, two] = _phi(wrong[both, one], wrong[both, two]), int(both.sum())
    return phi_of


def effective_size(correlations: list[float | None], jurors: int) -> float | None:
    """How many independent jurors err as this jury does: n / (1 + (n - 1) · ρ̄) (Kish).

    ρ̄ is the mean of the pairwise error correlations that are defined; a negative one counts as 0,
    so a jury is never worth more than its jurors.
    """
    defined = [value for value in correlations if value is not None]
    if not defined:
        return None
    return jurors / (1 + (jurors - 1) * max(sum(defined) / len(defined), 0.0))


def _counts(votes: Votes) -> npt.NDArray[np.int64]:
    return np.stack([(votes == label).sum(axis=1) for label in (0, 1)], axis=1)


def _phi(one: npt.NDArray[np.bool_], two: npt.NDArray[np.bool_]) -> float | None:
    if not one.any() or not two.any() or one.all() or two.all():
        return None
    return float(np.corrcoef(one, two)[0, 1])
