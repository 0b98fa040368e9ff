"""Counting instead of asking: what of a stage's requests the ledger knows, and what is new.

Prices, tokens and hours come from what calls of the same role really took, by the ledger.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from chillguard.calls import call
from chillguard.lineage.plan import StagePlan
from resources.models.llm import LanguageModels

T = TypeVar("T")
_CHUNK = 512


@dataclass
class _Tally:
    new: int = 0
    known: int = 0
    characters: int = 0
    max_tokens: int = 0


class Planner:
    """Counts per (asset, role) over one dry run."""

    def __init__(self, models: LanguageModels) -> None:
        self._models = models
        self._tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)

    def ask_for(self, asset: str) -> "_Counting":
        """An `ask` that counts for one asset."""
        return _Counting(self._models, asset, self._tallies)

    def stages(self, prompts_to_come: int) -> list[StagePlan]:
        """One line per asset and role; jurors get a vote for each prompt that is to come."""
        return [
            self._stage(asset, role, tally, prompts_to_come if asset.startswith("jury") else 0)
            for (asset, role), tally in self._tallies.items()
        ]

    def _stage(self, asset: str, role: str, tally: _Tally, follow_up: int) -> StagePlan:
        bound = self._models.role(role)
        history = self._models.ledger.averages(role=role, model=bound.model)
        count = tally.new + follow_up
        per_call = tally.characters / tally.new if tally.new else 0.0
        prompt = int(count * (history.prompt_tokens if history else per_call))
        completion = int(count * (history.completion_tokens if history else tally.max_tokens))
        price = self._models.price(bound.model)
        hours = count * history.latency_s / bound.concurrency / 3600 if history else None
        return StagePlan(
            asset=asset,
            role=role,
            model=self._models.identity(role),
            new=tally.new,
            known=tally.known,
            follow_up=follow_up,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=price.cost(prompt, completion) if price else None,
            hours=hours,
        )


class _Counting(call.Ask):
    """Answers from the ledger; what is not there has the outcome "not asked yet"."""

    def __init__(
        self, models: LanguageModels, asset: str, tallies: dict[tuple[str, str], _Tally]
    ) -> None:
        self._models = models
        self._asset = asset
        self._tallies = tallies

    def __call__(
        self,
        role: str,
        requests: Iterable[call.ChatRequest],
        parse: call.Parser[T],
        total: int | None = None,
    ) -> Iterator[call.Outcome[T]]:
        """One outcome per request, in order."""
        bound, tally = self._models.role(role), self._tallies[self._asset, role]
        stream, planned = iter(requests), set[str]()
        while chunk := list(islice(stream, _CHUNK)):
            keys = [call.call_key(bound.model, bound.revision, r, r.repeat) for r in chunk]
            known = self._models.ledger.answers(keys)
            held = self._models.ledger.quarantined(keys)
            for key, request in zip(keys, chunk, strict=True):
                if key in known:
                    tally.known += 1
                    yield _read(request, key, known[key], parse)
                elif key in held and held[key].held:
                    yield call.Outcome(request.row_id, key, None, held[key].reason)
                else:
                    tally.new += key not in planned
                    planned.add(key)
                    tally.characters += sum(len(m["content"]) for m in request.messages)
                    tally.max_tokens = request.sampling.max_tokens
                    yield call.Outcome(request.row_id, key, None, call.UNASKED)


def _read(
    request: call.ChatRequest, key: str, answer: call.Answer | None, parse: call.Parser[T]
) -> call.Outcome[T]:
    try:
        value = parse(answer) if answer else None
    except call.Unreadable as error:
        reason = None if error.fallback is not None else str(error)
        return call.Outcome(request.row_id, key, error.fallback, reason)
    return call.Outcome(request.row_id, key, value, None if answer else "taken down")
