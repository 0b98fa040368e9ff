"""Counting instead of asking: what of a stage's requests the ledger knows, and what is new.

An unreadable answer is followed to the salvage attempts after it, as a run does. Prices, tokens and
hours come from what calls of the same role really took, by the ledger.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, TypeVar

from chillguard.calls import attempts, call
from chillguard.lineage import plan
from chillguard.lineage.bounds import Foreseen
from chillguard.settings import Settings
from resources.models.chat import PROBES
from resources.models.ledger import Quarantined
from resources.models.llm import LanguageModels
from resources.models.roles import ModelRole
from resources.models.stream import SALVAGE

T = TypeVar("T")
_CHUNK = 512


@dataclass(frozen=True)
class StagePlan:
    """One line of the plan: calls of one role in one stage, at least and at most.

    Tokens, cost and hours are pairs too; `cost` and `hours` are None where nothing tells them.
    """

    asset: str
    role: str
    model: str
    calls: tuple[int, int]
    known: int
    prompt_tokens: tuple[int, int]
    completion_tokens: tuple[int, int]
    cost: tuple[float, float] | None
    hours: tuple[float, float] | None
    unsure: str


@dataclass
class _Tally:
    """Requests of one line: what the ledger knows, and what is new of how many characters.

    `again` counts attempts that redriven requests have left beyond the usual ones.
    """

    new: int = 0
    known: int = 0
    again: int = 0
    characters: int = 0
    max_tokens: int = 0
    binds: bool = False


class Planner:
    """Counts per (asset, role) over one dry run."""

    def __init__(self, models: LanguageModels) -> None:
        self._models = models
        self._tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)

    def plan(self, inputs: plan.Inputs, settings: Settings) -> list[StagePlan]:
        """The lines of a plan, found by a dry run over the lineage."""
        return self.stages(plan.dry_run(inputs, settings, self.ask_for))

    def ask_for(self, asset: str) -> "_Counting":
        """An `ask` that counts for one asset."""
        return _Counting(self._models, asset, self._tallies)

    def stages(self, foreseen: Sequence[Foreseen]) -> list[StagePlan]:
        """The lines of the plan, with what unreadable answers and probes may add."""
        return [self._stage(line) for line in foreseen]

    def _stage(self, line: Foreseen) -> StagePlan:
        bound, tally = self._models.role(line.role), self._tallies[line.asset, line.role]
        history = self._models.ledger.averages(role=line.role, model=bound.model)
        per_call = tally.characters / tally.new if tally.new else 0.0
        prompt = history.prompt_tokens if history else per_call
        completion = history.completion_tokens if history else tally.max_tokens
        calls = (line.least, self._most(line, bound, tally))
        tokens = [(int(count * prompt), int(count * completion)) for count in calls]
        price = self._models.price(bound.model)
        hours = (
            [count * history.latency_s / bound.concurrency / 3600 for count in calls]
            if history
            else None
        )
        return StagePlan(
            asset=line.asset,
            role=line.role,
            model=self._models.identity(line.role),
            calls=calls,
            known=tally.known,
            prompt_tokens=(tokens[0][0], tokens[1][0]),
            completion_tokens=(tokens[0][1], tokens[1][1]),
            cost=(price.cost(*tokens[0]), price.cost(*tokens[1])) if price else None,
            hours=(hours[0], hours[1]) if hours else None,
            unsure=line.unsure,
        )

    def _most(self, line: Foreseen, bound: ModelRole, tally: _Tally) -> int:
        """Calls at most: each answer may be unreadable, and an endpoint be asked what it binds."""
        if not line.most:
            return 0
        probes = PROBES * len(bound.urls) if tally.binds and self._models.wants_probe(bound) else 0
        return line.most * (1 + bound.salvage) + tally.again + probes


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
        stream = iter(requests)
        while chunk := list(islice(stream, _CHUNK)):
            keys = [call.call_key(bound.model, bound.revision, r, r.repeat) for r in chunk]
            known = self._models.ledger.answers(keys)
            held = self._models.ledger.quarantined(keys)
            for key, request in zip(keys, chunk, strict=True):
                followed = _Attempts(self._models, bound, tally, request, held.get(key))
                yield followed.outcome(key, known, parse)


@dataclass
class _Attempts:
    """One request and the attempts at it that the ledger knows, followed as `Stream` makes them."""

    models: LanguageModels
    bound: ModelRole
    tally: _Tally
    request: call.ChatRequest
    quarantined: Quarantined | None
    made: int = 1
    fallback: Any = None

    def outcome(
        self, key: str, known: dict[str, call.Answer | None], parse: call.Parser[T]
    ) -> call.Outcome[T]:
        """What came of it, or that it waits for an answer."""
        if key not in known:
            return self._without_answer(key)
        self.tally.known += 1
        answer = known[key]
        if answer is None:
            return call.Outcome(self.request.row_id, key, None, "taken down")
        try:
            return call.Outcome(self.request.row_id, key, call.read(parse, answer))
        except call.Unreadable as error:
            self.fallback = error.fallback or self.fallback
            if self.made < attempts.most(answer, self.bound.salvage, self._drives):
                return self._next(parse)
            if self.fallback is not None:
                return call.Outcome(self.request.row_id, key, self.fallback)
            told = attempts.reason(answer, error)
            return call.Outcome(self.request.row_id, key, None, told)

    @property
    def _drives(self) -> int:
        return self.quarantined.drives if self.quarantined else 0

    def _next(self, parse: call.Parser[T]) -> call.Outcome[T]:
        self.request = replace(self.request, sampling=self.request.sampling.varied())
        repeat = self.request.repeat + self.made * SALVAGE
        self.made += 1
        key = call.call_key(self.bound.model, self.bound.revision, self.request, repeat)
        return self.outcome(key, self.models.ledger.answers([key]), parse)

    def _without_answer(self, key: str) -> call.Outcome[T]:
        if self.quarantined and self.quarantined.held:
            return call.Outcome(self.request.row_id, key, None, self.quarantined.reason)
        self.tally.new += 1
        self.tally.again += self._drives * (1 + self.bound.salvage)
        self.tally.characters += sum(len(m["content"]) for m in self.request.messages)
        self.tally.max_tokens = self.request.sampling.max_tokens
        self.tally.binds |= self.request.answer_schema is not None
        return call.Outcome(self.request.row_id, key, None, call.UNASKED)
