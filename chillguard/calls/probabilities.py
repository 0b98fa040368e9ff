"""Probability of a label from the log-probabilities of its tokens.

A label may be spelled in several tokens, and two labels may share their first ones: at each
position the alternatives that only one label can still begin with count for that label, the shared
ones are followed. Some engines report probabilities before their constraint is applied, some after
it, so the result is normalised over the labels.
"""

import math
from collections.abc import Sequence

from chillguard.calls.answer import Position


def of_labels(
    logprobs: Sequence[Position] | None, labels: Sequence[str]
) -> dict[str, float] | None:
    """Probability by label, adding up to 1; None when the tokens spell none of the labels.

    `logprobs` has one entry per token of the answer, with `token`, `logprob` and `top_logprobs`.
    """
    mass = dict.fromkeys(labels, 0.0)
    spelled, path = "", 1.0
    for position in logprobs or ():
        for token, probability in _alternatives(position).items():
            fitting = [label for label in labels if _fits(label, spelled + token)]
            if len(fitting) == 1:
                mass[fitting[0]] += path * probability
        spelled += position["token"]
        path *= math.exp(position["logprob"])
        if sum(_fits(label, spelled) for label in labels) < 2:
            break
    total = sum(mass.values())
    return {label: value / total for label, value in mass.items()} if total > 0 else None


def _alternatives(position: Position) -> dict[str, float]:
    found = {entry["token"]: math.exp(entry["logprob"]) for entry in position["top_logprobs"]}
    return {**found, position["token"]: math.exp(position["logprob"])}


def _fits(label: str, text: str) -> bool:
    """Whether `text` is a beginning of the label, or the label and what follows it."""
    bare = text.lstrip(" \"'").lower()
    return bool(bare) and (label.lower().startswith(bare) or bare.startswith(label.lower()))
