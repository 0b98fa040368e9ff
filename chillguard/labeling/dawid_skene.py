"""Dawid-Skene estimate of binary labels from votes (Dawid and Skene 1979), beside the majority.

A jury of k has at most 3^k patterns of votes, so EM runs over patterns with their counts: the same
estimate as over rows, in a time that does not grow with them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ABSTAIN = -1
_FLOOR = 1e-10
_ITERATIONS, _CONVERGED = 500, 1e-9


@dataclass(frozen=True)
class Estimate:
    """`p_unsafe` by row (nan without a valid vote), `sensitivity` and `specificity` by juror."""

    p_unsafe: Floats
    sensitivity: Floats
    specificity: Floats


def fit(votes: npt.NDArray[np.int8]) -> Estimate:
    """Estimate from votes, one row per prompt, one column per juror: 0 safe, 1 unsafe, -1 abstain.

    EM starts from the share of votes, so that `unsafe` keeps its meaning.
    """
    jurors = votes.shape[1]
    codes = (votes.astype(np.int64) + 1) @ 3 ** np.arange(jurors)
    distinct, of_row, counts = np.unique(codes, return_inverse=True, return_counts=True)
    patterns = distinct[:, None] // 3 ** np.arange(jurors) % 3 - 1
    valid = (patterns != ABSTAIN).any(axis=1)
    said = np.stack([patterns == label for label in (0, 1)], axis=2).astype(np.float64)
    weights = np.where(valid, counts, 0).astype(np.float64)
    shares = said.sum(axis=1) / np.maximum(said.sum(axis=(1, 2)), 1)[:, None]
    errors = _errors(said, shares, weights)
    for _ in range(_ITERATIONS):
        before = shares
        shares = _posterior(said, errors, _prior(shares, weights))
        errors = _errors(said, shares, weights)
        if np.abs(shares - before).max(initial=0.0) < _CONVERGED:
            break
    p_unsafe = np.where(valid, shares[:, 1], np.nan)[of_row]
    return Estimate(p_unsafe, errors[:, 1, 1], errors[:, 0, 0])


def _prior(shares: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ shares / max(weights.sum(), 1.0))


def _errors(said: Floats, shares: Floats, weights: Floats) -> Floats:
    """Probability of a verdict given the true label: jurors × verdicts × labels."""
    counts = np.einsum("pjv,pc,p->jvc", said, shares, weights)
    counts = np.maximum(counts, _FLOOR)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _posterior(said: Floats, errors: Floats, prior: Floats) -> Floats:
    logs = np.einsum("pjv,jvc->pc", said, np.log(errors)) + np.log(np.maximum(prior, _FLOOR))
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(likelihood / likelihood.sum(axis=1, keepdims=True))
