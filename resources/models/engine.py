"""The request engine: a stream of requests in, a stream of answers out, bounded in memory.

One event loop over a few endpoints: sends as many requests as the limiters allow, tries again what
may pass, commits answers to the ledger in groups before anybody reads them. What an answer means
and which requests there are is `resources.models.stream`.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from chillguard.calls import call
from resources.models import backpressure, chat
from resources.models.endpoint import Endpoint

_COMMIT_WITHIN_S = 0.04
_POLL_QUEUE_S = 1.0
_TICK_S = 0.25
_PAUSE_S = 0.02
# An endpoint that is up but always says 429 must not hold a row for ever.
_MAX_OVERLOADS = 60


class Stopped(Exception):
    """Stopped in good order; the text says why. Everything answered is committed."""


@dataclass
class Item:
    """One request on its way."""

    key: str
    request: call.ChatRequest
    repeat: int
    attempts: int = 0
    overloads: int = 0


@dataclass(frozen=True)
class Answered:
    """An item that was answered: what came, from where, after how many milliseconds."""

    item: Item
    reply: chat.Reply
    endpoint: str
    latency_ms: float


@dataclass(frozen=True)
class GivenUp:
    """An item that cannot be answered, and why."""

    item: Item
    reason: str


class Engine:
    """Sends items to the endpoints of one model.

    `book` is told of each answer at once and says whether more may be sent; `commit` is called with
    groups of answers before they are handed on, at once when nothing else is on its way.
    `attempts` bounds failures per item; `give_up_after_s` is how long all endpoints may be down.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        model: str,
        book: Callable[[Answered], bool],
        commit: Callable[[list[Answered]], None],
        attempts: int,
        give_up_after_s: float,
    ) -> None:
        self.errors: Counter[str] = Counter()
        self._endpoints = endpoints
        self._model = model
        self._book = book
        self._commit = commit
        self._attempts = attempts
        self._give_up_after_s = give_up_after_s
        self._ready: deque[Item] = deque()
        self._uncommitted: list[Answered] = []
        self._done: list[Answered | GivenUp] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._flush_due = False
        self._wake = asyncio.Event()
        self._failure: BaseException | None = None
        self._closed = False
        self._binds = False
        self._polled_at = 0.0
        self._left_at = self._resumed_at = time.monotonic()

    @property
    def capacity(self) -> int:
        """How many items are worth having on hand."""
        return 2 * sum(max(1, int(e.limiter.limit)) for e in self._endpoints)

    @property
    def on_hand(self) -> int:
        """Items that were put in and have not come out."""
        return len(self._ready) + self._waiting + len(self._tasks) + len(self._uncommitted)

    @property
    def _is_busy(self) -> bool:
        """Whether anything may still come out: once closed, only what is on its way."""
        return bool(self._tasks or self._uncommitted) if self._closed else self.on_hand > 0

    def put(self, items: Sequence[Item]) -> None:
        """Take items; must be called from the loop's thread while the loop is not running."""
        self._ready.extend(items)
        self._binds |= any(item.request.answer_schema is not None for item in items)

    async def results(self) -> list[Answered | GivenUp]:
        """What came out since the last call; waits for at least one unless nothing is on hand.

        Raises `Stopped` when all endpoints are down or a key is not accepted.
        """
        now = time.monotonic()
        if now - self._left_at > _PAUSE_S:
            self._resumed_at = now
        while not self._done and self._is_busy:
            self._pump()
            self._poll_queues()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause())
            self._wake.clear()
            self._raise_if_stopped()
        done, self._done = self._done, []
        self._left_at = time.monotonic()
        return done

    async def close(self) -> None:
        """Abort what is in flight and commit what was answered."""
        self._closed = True
        tasks = [*self._tasks, *(e.poll for e in self._endpoints if e.poll)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flush_now()
        for endpoint in self._endpoints:
            await endpoint.wire.close()

    async def drain(self) -> None:
        """Send nothing more, wait for what is in flight, commit it."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._flush_now()

    def _pump(self) -> None:
        now = time.monotonic()
        for unbound in self._endpoints:
            if self._binds and not self._closed and unbound.wants_probe(now):
                unbound.limiter.in_flight += 1
                self._start(self._probe(unbound))
        while self._ready and not self._closed and (endpoint := self._pick(now)):
            item = self._ready.popleft()
            endpoint.limiter.in_flight += 1
            self._start(self._send(item, endpoint))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _probe(self, endpoint: Endpoint) -> None:
        def answered(number: int, reply: chat.Reply, latency_ms: float) -> bool:
            # A probe asks about the endpoint, so that is in its key: each of several is paid for.
            key = call.call_key(self._model, endpoint.shown, chat.PROBE, number)
            item = Item(key, chat.PROBE, number)
            self._answered(Answered(item, reply, endpoint.shown, latency_ms))
            return not self._closed

        try:
            await endpoint.probe(self._model, answered)
        except (chat.Forbidden, chat.Refused) as failure:
            self._failure = Stopped(endpoint.not_accepted(str(failure)))
        except chat.Failure as failure:
            self.errors[str(failure)] += 1
            endpoint.breaker.failed(time.monotonic(), str(failure))
        finally:
            endpoint.limiter.in_flight -= 1

    def _pause(self) -> float:
        """Seconds until something may have changed: an endpoint's pause ends, or the next look."""
        now = time.monotonic()
        ends = [e.breaker.retry_at - now for e in self._endpoints if e.breaker.retry_at > now]
        return min(_TICK_S, *ends) if ends and self._ready else _TICK_S

    def _pick(self, now: float) -> Endpoint | None:
        free = [e for e in self._endpoints if e.has_room(now, self._binds)]
        return min(free, key=lambda e: e.limiter.in_flight / e.limiter.limit, default=None)

    async def _send(self, item: Item, endpoint: Endpoint) -> None:
        sent_at = time.monotonic()
        try:
            binding = endpoint.binding or "prompt"
            reply = await chat.ask(endpoint.wire, self._model, item.request, binding)
        except chat.Failure as failure:
            self._failed(item, endpoint, failure)
        else:
            now = time.monotonic()
            endpoint.breaker.succeeded()
            # While the caller works the loop stands still, and that is not the engine's latency.
            measured = now - sent_at if sent_at >= self._resumed_at else None
            endpoint.limiter.succeeded(measured)
            self._answered(Answered(item, reply, endpoint.shown, (now - sent_at) * 1000))
        finally:
            endpoint.limiter.in_flight -= 1

    def _failed(self, item: Item, endpoint: Endpoint, failure: chat.Failure) -> None:
        now = time.monotonic()
        reason, told = str(failure), None
        self.errors[reason] += 1
        match failure:
            case chat.Refused():
                endpoint.breaker.succeeded()
                self._done.append(GivenUp(item, f"rejected: {reason}"))
                return
            case chat.Forbidden():
                self._failure = Stopped(endpoint.not_accepted(reason))
                return
            case chat.Overloaded():
                endpoint.limiter.overloaded()
                item.overloads += 1
                item.attempts += isinstance(failure, chat.TimedOut)
                if told := failure.retry_after_s:
                    endpoint.breaker.paused(now + told)
            case _:
                item.attempts += 1
        if told is None:
            endpoint.breaker.failed(now, reason)
        self._try_again(item, endpoint, reason, told)

    def _try_again(
        self, item: Item, endpoint: Endpoint, reason: str, retry_after_s: float | None
    ) -> None:
        if endpoint.breaker.down_since is not None:
            # The endpoint is at fault, not this item.
            item.attempts = item.overloads = 0
        if item.attempts >= self._attempts or item.overloads >= _MAX_OVERLOADS:
            self._done.append(GivenUp(item, f"gave up: {reason}"))
            return
        pause = backpressure.backoff_s(item.attempts + item.overloads, retry_after_s)
        self._waiting += 1
        asyncio.get_running_loop().call_later(pause, self._back, item)

    def _back(self, item: Item) -> None:
        self._waiting -= 1
        self._ready.appendleft(item)
        self._pump()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failure = error
        self._pump()
        if not self._tasks and self._uncommitted:
            self._flush_now()
        if self._done or self._failure or not self.on_hand:
            self._wake.set()

    def _answered(self, answered: Answered) -> None:
        self._closed |= not self._book(answered)
        self._uncommitted.append(answered)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(_COMMIT_WITHIN_S, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_due = False
        answered, self._uncommitted = self._uncommitted, []
        if answered:
            try:
                self._commit(answered)
            except BaseException as error:
                self._failure = error
            self._done += [one for one in answered if one.item.request is not chat.PROBE]
        self._wake.set()

    def _raise_if_stopped(self) -> None:
        if self._failure:
            raise self._failure
        now = time.monotonic()
        if all(e.breaker.is_out(now, self._give_up_after_s) for e in self._endpoints):
            told = ", ".join(f"{e.shown} ({e.breaker.told(now)})" for e in self._endpoints)
            raise Stopped(f"no endpoint answers: {told}")

    def _poll_queues(self) -> None:
        now = time.monotonic()
        if now - self._polled_at < _POLL_QUEUE_S:
            return
        self._polled_at = now
        for endpoint in self._endpoints:
            endpoint.start_poll()
