"""The requests of one `ask`: ledger first, then the engine, then parsing and salvage.

Decides nothing about an answer but whether the stage's parser can read it. How requests travel is
`resources.models.engine`; who asks is `resources.models.llm`.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from chillguard.calls import call, refusals
from resources.models.budget import Budget, Price
from resources.models.endpoint import Endpoint
from resources.models.engine import Answered, Engine, GivenUp, Item, Stopped
from resources.models.ledger import Call, Ledger, Quarantined
from resources.models.progress import Progress
from resources.models.roles import ModelRole

T = TypeVar("T")
_CHUNK = 512
# Salvage attempts get repeat indices of their own, far above those a stage uses.
SALVAGE = 1_000_000
# An endpoint is asked so often at most to find out how it binds a schema.
PROBES = 3


@dataclass(frozen=True)
class Account:
    """On whose behalf is asked: the asset, its run, and where its calls are booked and told."""

    asset: str
    run_id: str
    progress: Progress
    budget: Budget


class Stream(Generic[T]):
    """The requests of one `ask`: ledger first, then the engine, then parsing and salvage."""

    def __init__(
        self,
        account: Account,
        ledger: Ledger,
        model: ModelRole,
        price: Price | None,
        endpoints: Sequence[Endpoint],
        parse: call.Parser[T],
    ) -> None:
        self._account = account
        self._ledger = ledger
        self._model = model
        self._price = price
        self._endpoints = endpoints
        self._parse = parse
        self._expecting: dict[str, list[_Asked]] = {}
        self._queue: list[Item] = []
        self._quarantine: list[Quarantined] = []
        self._fingerprints: set[str | None] = set()
        self.engine = Engine(
            endpoints, model.model, self._book, self._commit, model.attempts, model.give_up_after_s
        )

    def outcomes(
        self, runner: asyncio.Runner, source: Iterator[call.ChatRequest]
    ) -> Iterator[call.Outcome[T]]:
        """Outcomes of all requests."""
        exhausted = False
        while not exhausted or self._expecting:
            if not exhausted and len(self._expecting) < max(_CHUNK, self.engine.capacity):
                chunk = list(itertools.islice(source, _CHUNK))
                exhausted = len(chunk) < _CHUNK
                yield from self._told(self._look_up([_Asked(one) for one in chunk]))
            self._send(runner)
            if self._expecting:
                for result in runner.run(self.engine.results()):
                    yield from self._told(self._read(result))
            self._account.progress.tick(self.engine.errors)
            self._record()

    def _told(self, found: Iterable[call.Outcome[T]]) -> Iterator[call.Outcome[T]]:
        for outcome in found:
            self._account.progress.outcome(outcome.reason, self._model.model)
            yield outcome

    def _look_up(self, asked: "Sequence[_Asked]") -> Iterator[call.Outcome[T]]:
        """Outcomes that the ledger knows; the others are queued, equal requests once."""
        for one in asked:
            one.keys = [self._key(one, 0)]
        known = self._ledger.answers([one.keys[0] for one in asked])
        lost = [one.keys[0] for one in asked if one.keys[0] not in known]
        self._account.progress.usage.from_ledger += len(asked) - len(lost)
        held = self._ledger.quarantined([one.keys[0] for one in asked])
        for one in asked:
            one.quarantined = held.get(one.keys[0])
            yield from self._answer_or_queue(one, known)

    def _answer_or_queue(
        self, one: "_Asked", known: "dict[str, call.Answer | None]"
    ) -> Iterator[call.Outcome[T]]:
        key = one.keys[-1]
        if key in known:
            yield from self._outcome(one, known[key])
        elif one.quarantined and one.quarantined.held:
            yield self._failed(one, one.quarantined.reason, None)
        elif key in self._expecting:
            self._expecting[key].append(one)
        else:
            self._expecting[key] = [one]
            self._queue.append(Item(key, one.request, one.repeat))

    def _outcome(self, one: "_Asked", answer: call.Answer | None) -> Iterator[call.Outcome[T]]:
        """The outcome of an answer; or none yet, when it is unreadable and asked anew."""
        if answer is None:
            yield self._failed(one, "taken down", None)
            return
        try:
            value = self._parse(answer)
        except call.Unreadable as error:
            one.fallback = error.fallback or one.fallback
            drives = one.quarantined.drives if one.quarantined else 0
            if len(one.keys) <= self._model.salvage + drives * (1 + self._model.salvage):
                one.request = replace(one.request, sampling=one.request.sampling.varied())
                one.keys.append(self._key(one, len(one.keys)))
                yield from self._salvage(one)
                return
            if one.fallback is not None:
                if one.quarantined:
                    self._ledger.release([one.keys[0]])
                yield call.Outcome(one.request.row_id, one.keys[-1], one.fallback)
                return
            reason = "refusal" if refusals.is_refusal(answer.text) else f"unreadable: {error}"
            yield self._failed(one, reason, answer.text)
            return
        if one.quarantined:
            self._ledger.release([one.keys[0]])
        yield call.Outcome(one.request.row_id, one.keys[-1], value)

    def _salvage(self, one: "_Asked") -> Iterator[call.Outcome[T]]:
        known = self._ledger.answers([one.keys[-1]])
        self._account.progress.usage.from_ledger += len(known)
        held = one.quarantined
        if held and held.held and one.keys[-1] not in known:
            yield self._failed(one, held.reason, held.last_answer)
        else:
            yield from self._answer_or_queue(one, known)

    def _failed(self, one: "_Asked", reason: str, answer: str | None) -> call.Outcome[T]:
        known = one.quarantined
        if known is None or not known.held:
            self._quarantine.append(
                Quarantined(
                    key=one.keys[0],
                    asset=self._account.asset,
                    role=self._model.role,
                    model=self._model.model,
                    row_id=one.request.row_id,
                    reason=reason,
                    attempts=len(one.keys),
                    last_answer=answer,
                    drives=known.drives if known else 0,
                )
            )
        return call.Outcome(one.request.row_id, one.keys[-1], None, reason)

    def _send(self, runner: asyncio.Runner) -> None:
        """Hand queued items to the engine, no more than the budget still pays for."""
        left = self._account.budget.calls_left
        if left is not None and any(e.binding is None for e in self._endpoints):
            # What probes will take; one request is enough to set them going.
            left = max(left - PROBES * len(self._endpoints), min(left, 1))
        room = len(self._queue) if left is None else max(0, left - self.engine.on_hand)
        if self._expecting and (crossed := self._account.budget.crossed()):
            runner.run(self.engine.drain())
            raise Stopped(f"the budget is used up ({crossed}); raise it under `budgets`")
        self.engine.put(self._queue[:room])
        self._queue = self._queue[room:]

    def _read(self, result: Answered | GivenUp) -> Iterator[call.Outcome[T]]:
        for one in self._expecting.pop(result.item.key):
            if isinstance(result, GivenUp):
                yield self._failed(one, result.reason, None)
            else:
                yield from self._outcome(one, result.reply.answer)

    def _book(self, answered: Answered) -> bool:
        prompt, completion = (
            answered.reply.prompt_tokens or 0,
            answered.reply.completion_tokens or 0,
        )
        cost = self._price.cost(prompt, completion) if self._price else None
        self._account.progress.usage.paid_for(prompt, completion, cost)
        self._account.budget.spent(prompt + completion, cost or 0.0)
        return self._account.budget.crossed() is None

    def _commit(self, answered: list[Answered]) -> None:
        self._ledger.add([self._call(one) for one in answered])
        new = {one.reply.fingerprint for one in answered} - self._fingerprints
        if new:
            self._fingerprints |= new
            model = self._model
            self._ledger.observe(model.model, model.revision, sorted(filter(None, new)))

    def _call(self, answered: Answered) -> Call:
        reply, model = answered.reply, self._model
        tokens = reply.prompt_tokens or 0, reply.completion_tokens or 0
        return Call(
            key=answered.item.key,
            asset=self._account.asset,
            role=model.role,
            run_id=self._account.run_id,
            row_id=answered.item.request.row_id,
            template=answered.item.request.template,
            model=model.model,
            revision=model.revision,
            repeat_index=answered.item.repeat,
            answer=reply.answer.text,
            finish_reason=reply.answer.finish_reason,
            endpoint=answered.endpoint,
            latency_ms=answered.latency_ms,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost=self._price.cost(*tokens) if self._price else None,
            fingerprint=reply.fingerprint,
            logprobs=reply.answer.logprobs,
        )

    def _record(self) -> None:
        records, self._quarantine = self._quarantine, []
        if records:
            self._ledger.quarantine(records)
        for endpoint in self._endpoints:
            if endpoint.probed:
                endpoint.probed = False
                self._ledger.save_binding(endpoint.shown, self._model.model, str(endpoint.binding))

    def _key(self, one: "_Asked", salvage: int) -> str:
        model = self._model
        repeat = one.request.repeat + salvage * SALVAGE
        return call.call_key(model.model, model.revision, one.request, repeat)


@dataclass
class _Asked:
    """A request as last asked, the keys of its attempts, and its quarantine record if any."""

    request: call.ChatRequest
    keys: list[str] = field(default_factory=list)
    quarantined: Quarantined | None = None
    fallback: Any = None

    @property
    def repeat(self) -> int:
        """Repeat index of the latest attempt."""
        return self.request.repeat + (len(self.keys) - 1) * SALVAGE
