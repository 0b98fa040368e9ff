"""The requests of one `ask`: ledger first, then the engine, then parsing and salvage.

Decides nothing about an answer but whether the stage's parser can read it. How requests travel is
`resources.models.engine`; how calls are paid for and stored is `resources.models.till`.
"""

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from chillguard.calls import attempts, call
from resources import database
from resources.models.desk import Answered, GivenUp, Item
from resources.models.endpoint import Endpoint
from resources.models.engine import Engine
from resources.models.evidence import Evidence
from resources.models.failures import Filtered, Stopped
from resources.models.ledger import Quarantined
from resources.models.till import Till

T = TypeVar("T")
R = TypeVar("R")
_CHUNK = 512
# Salvage attempts get repeat indices of their own, far above those a stage uses.
SALVAGE = 1_000_000
_LOOK_ELSEWHERE_EVERY_S = 0.5
# Ways in which a model declines that are no fault of the answer's form.


class Stream(Generic[T]):
    """The requests of one `ask`; `turn` is waited for before the first of them is sent.

    `turn` says whether other runs may have asked meanwhile.
    """

    def __init__(
        self,
        till: Till,
        endpoints: Sequence[Endpoint],
        parse: call.Parser[T],
        turn: Callable[[], bool],
        runner: asyncio.Runner,
    ) -> None:
        self._till = till
        self._ledger = till.ledger
        self._model = model = till.model
        self._progress = till.account.progress
        self._endpoints = endpoints
        self._parse = parse
        self._turn: Callable[[], bool] | None = turn
        self._runner = runner
        self._expecting: dict[str, list[_Asked]] = {}
        self._queue: list[Item] = []
        self._elsewhere: list[Item] = []
        self._quarantine: list[Quarantined] = []
        self._released: list[str] = []
        self._evidence = Evidence()
        self.engine = Engine(endpoints, model.model, till, model.attempts, model.give_up_after_s)

    def outcomes(self, source: Iterator[call.ChatRequest]) -> Iterator[call.Outcome[T]]:
        """Outcomes of all requests."""
        exhausted = False
        while not exhausted or self._expecting:
            if not exhausted and len(self._expecting) < max(_CHUNK, self.engine.capacity):
                chunk = list(itertools.islice(source, _CHUNK))
                exhausted = len(chunk) < _CHUNK
                yield from self._look_up([_Asked(request) for request in chunk])
            yield from self._send()
            if self._expecting:
                for result in self._runner.run(self.engine.results()):
                    yield from self._read(result)
            self._progress.tick(self.engine.errors)
            self._record(exhausted and not self._expecting)

    def _from_ledger(self, work: Callable[[], R]) -> R:
        """Use the database beside the loop: what is in flight must not wait for a lock."""
        within_s = self._model.give_up_after_s
        return self._runner.run(asyncio.to_thread(database.patiently, within_s, work))

    def _look_up(self, asked: "Sequence[_Asked]") -> Iterator[call.Outcome[T]]:
        """Outcomes that the ledger knows; the others are queued, equal requests once."""
        for one in asked:
            one.keys = [self._key(one, 0)]
        keys = [one.keys[0] for one in asked]
        known = self._from_ledger(lambda: self._ledger.answers(keys))
        lost = [key for key in keys if key not in known]
        self._progress.usage.from_ledger += len(asked) - len(lost)
        held = self._from_ledger(lambda: self._ledger.quarantined(keys))
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
            value = call.read(self._parse, answer)
        except call.Unreadable as error:
            yield from self._unreadable(one, answer, error)
            return
        self._evidence.good += one.is_fresh
        yield self._good(one, value)

    def _unreadable(
        self, one: "_Asked", answer: call.Answer, error: call.Unreadable
    ) -> Iterator[call.Outcome[T]]:
        if isinstance(error, call.Crashed):
            self._progress.note_once(f"a parser is to be mended: {error} at {one.request.template}")
        one.fallback = error.fallback or one.fallback
        drives = one.quarantined.drives if one.quarantined else 0
        if len(one.keys) < attempts.most(answer, self._model.salvage, drives):
            one.request = replace(one.request, sampling=one.request.sampling.varied())
            one.keys.append(self._key(one, len(one.keys)))
            yield from self._salvage(one)
        elif one.fallback is not None:
            yield self._good(one, one.fallback)
        else:
            declined, reason = attempts.is_declined(answer), attempts.reason(answer, error)
            if one.is_fresh and not declined:
                self._evidence.was_unreadable(str(error))
            yield self._failed(one, reason, answer.text, declined=declined)

    def _good(self, one: "_Asked", value: T) -> call.Outcome[T]:
        if one.quarantined:
            self._released.append(one.keys[0])
        self._progress.outcome(None, self._model.model)
        return call.Outcome(one.request.row_id, one.keys[-1], value)

    def _salvage(self, one: "_Asked") -> Iterator[call.Outcome[T]]:
        known = self._from_ledger(lambda: self._ledger.answers([one.keys[-1]]))
        self._progress.usage.from_ledger += len(known)
        held = one.quarantined
        if held and held.held and one.keys[-1] not in known:
            yield self._failed(one, held.reason, held.last_answer)
        else:
            yield from self._answer_or_queue(one, known)

    def _failed(
        self, one: "_Asked", reason: str, answer: str | None, declined: bool = False
    ) -> call.Outcome[T]:
        known = one.quarantined
        if known is None or not known.held:
            self._quarantine.append(
                Quarantined(
                    key=one.keys[0],
                    asset=self._till.account.asset,
                    role=self._model.role,
                    model=self._model.model,
                    row_id=one.request.row_id,
                    reason=reason,
                    attempts=len(one.keys),
                    last_answer=answer,
                    drives=known.drives if known else 0,
                )
            )
        self._progress.outcome(reason, self._model.model, declined)
        return call.Outcome(one.request.row_id, one.keys[-1], None, reason)

    def _send(self) -> Iterator[call.Outcome[T]]:
        """Hand queued items to the engine, no more than the budget still pays for."""
        if self._queue and self._turn:
            turn, self._turn = self._turn, None
            if turn():
                yield from self._asked_meanwhile(self._queue)
        yield from self._claim()
        batch = self._affordable()
        self.engine.put(batch)
        self._queue = self._queue[len(batch) :]
        if self.engine.is_closed or (self._queue and not batch and not self.engine.on_hand):
            self._runner.run(self.engine.drain())
            crossed = self._till.budget.crossed or "no call is left"
            raise Stopped(f"the budget is used up ({crossed}); raise it under `budgets`")

    def _affordable(self) -> list[Item]:
        """Queued items for which the budget has room; all of them where there is no cap."""
        if not self._queue or not self._till.budget.is_capped:
            return self._queue
        binds = self._queue[0].request.answer_schema is not None
        if binds and any(endpoint.binding is None for endpoint in self._endpoints):
            # Probes are paid for first; one item sets them going, and is paid for when they are in.
            first = [] if self.engine.on_hand else self._queue[:1]
            for item in first:
                item.reserved = False
            return first
        batch = self._queue[: max(0, self.engine.capacity - self.engine.on_hand)]
        return batch[: self._from_ledger(lambda: self._till.reserve(batch))] if batch else batch

    def _claim(self) -> Iterator[call.Outcome[T]]:
        """In a shared ledger: leave in the queue what is this ask's to send, and read the rest."""
        claims = self._till.claims
        if claims is None:
            return
        if self._elsewhere and not self._queue and not self.engine.on_hand:
            self._runner.run(asyncio.sleep(_LOOK_ELSEWHERE_EVERY_S))
        wanted = [*self._queue, *self._elsewhere]
        new = [item.key for item in wanted if item.key not in self._till.claimed]
        if not new:
            return
        self._till.claimed |= self._from_ledger(lambda: claims.take(new))
        self._queue = [item for item in wanted if item.key in self._till.claimed]
        self._elsewhere = [item for item in wanted if item.key not in self._till.claimed]
        # What was answered between the look into the ledger and the claim is there by now.
        fresh = set(new)
        yield from self._asked_meanwhile([item for item in wanted if item.key in fresh])

    def _asked_meanwhile(self, items: Sequence[Item]) -> Iterator[call.Outcome[T]]:
        """Outcomes of items that others have had answered since they were queued."""
        keys = [item.key for item in items]
        known = self._from_ledger(lambda: self._ledger.answers(keys))
        self._queue = [item for item in self._queue if item.key not in known]
        self._elsewhere = [item for item in self._elsewhere if item.key not in known]
        self._progress.usage.from_ledger += len(known)
        self._from_ledger(lambda: self._till.unclaim(known))
        for key, answer in known.items():
            for one in self._expecting.pop(key):
                yield from self._outcome(one, answer)

    def _read(self, result: Answered | GivenUp) -> Iterator[call.Outcome[T]]:
        if isinstance(result, GivenUp):
            self._till.given_up(result.item)
            if result.rejected and not isinstance(result.rejected, Filtered):
                self._evidence.was_rejected(result.reason, result.rejected.message)
        for one in self._expecting.pop(result.item.key):
            one.is_fresh = True
            if isinstance(result, GivenUp):
                declined = isinstance(result.rejected, Filtered)
                yield self._failed(one, result.reason, None, declined)
            else:
                yield from self._outcome(one, result.reply.answer)
        if verdict := self._evidence.verdict():
            self._quarantine.clear()
            self._runner.run(self.engine.drain())
            raise Stopped(verdict)

    def _record(self, ended: bool) -> None:
        """Write down what became of rows, once it is known that the endpoint is not to blame."""
        if self._evidence.is_enough or ended:
            records, self._quarantine = self._quarantine, []
            released, self._released = self._released, []
            if records or released:
                self._from_ledger(lambda: self._ledger.quarantine(records))
                self._from_ledger(lambda: self._ledger.release(released))
        for endpoint in self._endpoints:
            if endpoint.probed:
                endpoint.probed = False
                found = (endpoint.shown, self._model.model, str(endpoint.binding))
                self._from_ledger(functools.partial(self._ledger.save_binding, *found))

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
    is_fresh: bool = False

    @property
    def repeat(self) -> int:
        """Repeat index of the latest attempt."""
        return self.request.repeat + (len(self.keys) - 1) * SALVAGE
