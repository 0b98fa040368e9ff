"""What a guardrail's reading is worth as a number: probabilities at the verdict's place.

Qwen3Guard's two readings of `Controversial` are both here: strict counts it as unsafe, loose as
safe. One stored answer serves either, and any threshold, at no call.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from chillguard.calls import call, probabilities
from chillguard.calls.answer import Position, TokenLogprob
from chillguard.evaluation.grammar import Grammar, Reading, Verdict

ReadingName = Literal["strict", "loose"]
Label = Literal["safe", "unsafe"]


def label(verdict: Verdict, reading: ReadingName) -> Label:
    """The binary label of a verdict under a reading."""
    if verdict == "controversial":
        return "unsafe" if reading == "strict" else "safe"
    return verdict


def p_unsafe(shares: Mapping[Verdict, float], reading: ReadingName) -> float:
    """Probability of unsafe under a reading, of `verdict_shares`."""
    controversial = shares.get("controversial", 0.0) if reading == "strict" else 0.0
    return shares.get("unsafe", 0.0) + controversial


def verdict_shares(
    answer: call.Answer, reading: Reading, grammar: Grammar
) -> dict[Verdict, float] | None:
    """Probability of each verdict at the place of the verdict's word, adding up to 1.

    None without log-probabilities, or where the tokens do not spell the answer.
    """
    steps = _from_place(answer, reading.start)
    spelled = probabilities.of_labels(steps, list(grammar.values)) if steps else None
    if spelled is None:
        return None
    shares: dict[Verdict, float] = {}
    for word, share in spelled.items():
        verdict = grammar.values[word]
        if verdict is not None:
            shares[verdict] = shares.get(verdict, 0.0) + share
    total = sum(shares.values())
    return {verdict: share / total for verdict, share in shares.items()} if total else None


def of_several(shares: Sequence[Mapping[Verdict, float]], reading: ReadingName) -> float | None:
    """Score of a guardrail that is asked one policy at a time: the worst of its answers."""
    return max((p_unsafe(one, reading) for one in shares), default=None)


def _from_place(answer: call.Answer, start: int) -> list[Position]:
    """The token places from the one that holds character `start`, what stands before it cut off.

    An alternative token counts where it begins with the same characters before the word.
    """
    end = 0
    steps = list(answer.logprobs or ())
    for number, step in enumerate(steps):
        begin, end = end, end + len(step["token"])
        if not answer.text.startswith(step["token"], begin):
            return []
        if end > start:
            return [_without(step, step["token"][: start - begin]), *steps[number + 1 :]]
    return []


def _without(step: Position, before: str) -> Position:
    def cut(token: str) -> str:
        if token.startswith(before):
            return token[len(before) :]
        # A blank, or none, before another word is the same place.
        return token.lstrip() if not before.strip() else ""

    cuts = ((entry, cut(entry["token"])) for entry in step["top_logprobs"])
    alternatives: list[TokenLogprob] = [
        {"token": token, "logprob": entry["logprob"]} for entry, token in cuts if token
    ]
    own = cut(step["token"])
    return {"token": own, "logprob": step["logprob"], "top_logprobs": alternatives}
