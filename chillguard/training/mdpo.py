"""The controller of MDPO (paper section 4.2, equations 3 to 7): how strong beta is for a batch.

Pure: takes the reward gaps of a whole global batch as a tensor, knows no trainer and no rank.

As printed the equations cannot run: the mean divides itself, and is 0 at the start. `consistent`
compares gaps with the mean in the same unit (no division), starts the mean at 0, and is the
default. `literal` keeps the division, guarded against 0 and against a change of sign, and starts at
1; its mean settles at the square root of the true one, and at nothing for a negative one.
Where the paper is silent: K is a share of the global batch, exactly K gaps are kept (ties by
place), the sigmoid is of the mean (equation 6), all pairs stay in the loss, and beta has a floor.
"""

import math
from dataclasses import dataclass
from typing import Any

from chillguard.training.spec import MdpoConfig

_NEAR_ZERO = 1e-6
_ROUNDING = 1e-9
Tensor = Any  # torch.Tensor; torch itself is not needed here


@dataclass(frozen=True)
class Response:
    """What a batch says: `alpha` of equation 6, `beta` for its loss, the new running mean."""

    alpha: float
    beta: float
    filtered_mean: float
    gap_mean: float
    kept: int
    running_mean: float


def start(config: MdpoConfig) -> float:
    """The running mean before the first step."""
    return 1.0 if config.reading == "literal" else 0.0


def kept(count: int, share: float) -> int:
    """K for a batch of `count` pairs, at least one: 12 of 16 by default."""
    return max(1, math.floor(share * count + _ROUNDING))


def respond(log_ratio_gaps: Tensor, running_mean: float, config: MdpoConfig) -> Response:
    """The response to one global batch.

    `log_ratio_gaps` has one entry per pair: log-ratio of chosen minus that of rejected, without
    beta. No gradient flows through any of it.
    """
    gaps = log_ratio_gaps.detach().double()
    gaps = gaps * config.beta if config.gap_scale == "beta" else gaps
    compared = gaps / _away_from_zero(running_mean) if config.reading == "literal" else gaps
    count = kept(len(gaps), config.keep)
    nearest = (compared - running_mean).square().argsort(stable=True)[:count]
    filtered = float(compared[nearest].mean())
    alpha = _sigmoid(filtered) / _sigmoid(running_mean)
    return Response(
        alpha=alpha,
        beta=max(config.beta * alpha, config.beta_floor),
        filtered_mean=filtered,
        gap_mean=float(gaps.mean()),
        kept=count,
        running_mean=config.momentum * running_mean + (1 - config.momentum) * filtered,
    )


def _away_from_zero(mean: float) -> float:
    return math.copysign(max(abs(mean), _NEAR_ZERO), mean)


def _sigmoid(value: float) -> float:
    # The usual form overflows for very negative values.
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
