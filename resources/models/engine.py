"""The request engine: a stream of requests in, a stream of answers out, bounded in memory.

One event loop over a few endpoints: sends as many requests as the limiters allow, tries again what
may pass, commits answers to the ledger in groups before anybody reads them. What an answer means
and which requests there are is the business of `resources.models.stream`.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Coroutine, Sequence
from typing import Any

from chillguard.calls import call
from resources.models import backpressure, chat, failures
from resources.models.completion import Reply
from resources.models.desk import Answered, Desk, GivenUp, Item
from resources.models.endpoint import Endpoint
from resources.models.failures import Failure
from resources.models.outbox import Outbox

_POLL_QUEUE_S = 1.0
_TICK_S = 0.25
_PAUSE_S = 0.02
# An endpoint that is up but always says 429 must not hold a row for ever.
_MAX_OVERLOADS = 60


class Engine:
    """Sends items to the endpoints of one model.

    `attempts` bounds failures per item; `give_up_after_s` is how long all endpoints may be down,
    and how long the ledger may take nothing.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        model: str,
        desk: Desk,
        attempts: int,
        give_up_after_s: float,
    ) -> None:
        self.errors: Counter[str] = Counter()
        self._endpoints = endpoints
        self._model = model
        self._desk = desk
        self._attempts = attempts
        self._give_up_after_s = give_up_after_s
        self._ready: deque[Item] = deque()
        self._outbox = Outbox(desk.commit, self._committed, self._stop, give_up_after_s)
        self._done: list[Answered | GivenUp] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
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
        parked = sum(len(e.denied) for e in self._endpoints)
        return len(self._ready) + self._waiting + len(self._tasks) + len(self._outbox) + parked

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is sent."""
        return self._closed

    @property
    def _is_busy(self) -> bool:
        """Whether anything may still come out: once closed, only what is on its way."""
        return bool(self._tasks or self._outbox) if self._closed else self.on_hand > 0

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
            await self._raise_if_stopped()
        self._left_at = time.monotonic()
        done, self._done = self._done, []
        return done

    async def close(self) -> None:
        """Abort what is in flight and commit what was answered."""
        self._closed = True
        tasks = [*self._tasks, *(e.poll for e in self._endpoints if e.poll)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._outbox.drain()
        for endpoint in self._endpoints:
            await endpoint.wire.close()

    async def drain(self, within_s: float | None = None) -> None:
        """Send nothing more, wait for what is in flight, commit it."""
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        await self._outbox.drain()

    def _pump(self) -> None:
        if self._closed or self._outbox.is_stuck:
            return
        now = time.monotonic()
        for endpoint in self._endpoints:
            if self._binds and endpoint.wants_probe(now):
                self._start(self._ask_of_our_own(endpoint, endpoint.probe), endpoint, now)
            elif endpoint.wants_check(bool(self._ready), now):
                self._start(self._ask_of_our_own(endpoint, endpoint.check), endpoint, now)
        while self._ready and (free := self._pick(now)):
            if not self._ready[0].reserved and not self._desk.may_send(self._ready[0]):
                self._closed = True
                return
            self._start(self._send(self._ready.popleft(), free), free, now)

    def _start(self, work: Coroutine[Any, Any, None], endpoint: Endpoint, now: float) -> None:
        endpoint.limiter.in_flight += 1
        endpoint.breaker.sent(now)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    async def _ask_of_our_own(self, endpoint: Endpoint, question: Any) -> None:
        """Ask a plain question: how a schema binds, or whether all requests are denied."""

        def answered(number: int, reply: Reply, latency_ms: float) -> None:
            # It asks about the endpoint, so that is in its key: each of several is paid for.
            key = call.call_key(self._model, endpoint.shown, chat.PROBE, number)
            item = Item(key, chat.PROBE, number)
            self._answered(Answered(item, reply, endpoint.shown, latency_ms))

        sent_at = time.monotonic()
        try:
            await question(self._model, self._may_ask, answered)
            endpoint.breaker.succeeded()
            self._cleared(endpoint, sent_at)
        except (failures.Forbidden, failures.Refused) as failure:
            self._stop(failures.Stopped(endpoint.not_accepted(str(failure))))
        except Failure as failure:
            self.errors[str(failure)] += 1
            endpoint.breaker.failed(time.monotonic(), str(failure), sent_at)
        finally:
            endpoint.limiter.in_flight -= 1

    def _may_ask(self) -> bool:
        self._closed |= not self._desk.may_ask(chat.PROBE)
        return not self._closed

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
        except Failure as failure:
            self._failed(item, endpoint, failure, sent_at)
        else:
            now = time.monotonic()
            endpoint.breaker.succeeded()
            # While the caller works the loop stands still, and that is not the engine's latency.
            measured = now - sent_at if sent_at >= self._resumed_at else None
            endpoint.limiter.succeeded(measured)
            self._answered(Answered(item, reply, endpoint.shown, (now - sent_at) * 1000))
            self._cleared(endpoint, sent_at)
        finally:
            endpoint.limiter.in_flight -= 1

    def _failed(self, item: Item, endpoint: Endpoint, failure: Failure, sent_at: float) -> None:
        now = time.monotonic()
        reason, told = str(failure), None
        self.errors[reason] += 1
        match failure:
            case failures.Refused():
                endpoint.breaker.succeeded()
                kind = "refusal" if isinstance(failure, failures.Filtered) else "rejected"
                self._done.append(GivenUp(item, f"{kind}: {reason}", failure))
                return
            case failures.Forbidden():
                endpoint.breaker.succeeded()
                endpoint.deny(item, reason, now)
                return
            case failures.Overloaded():
                endpoint.limiter.overloaded()
                item.overloads += 1
                item.attempts += isinstance(failure, failures.TimedOut)
                if told := failure.retry_after_s:
                    endpoint.breaker.paused(now + told)
            case _:
                item.attempts += 1
        if told is None:
            endpoint.breaker.failed(now, reason, sent_at)
        if isinstance(failure, failures.NoCompletion) and not self._desk.charged(item):
            self._closed = True
        self._try_again(item, endpoint, reason, told)

    def _cleared(self, endpoint: Endpoint, asked_at: float) -> None:
        """A request that was sent after others were denied was answered: those were at fault."""
        for item, reason in endpoint.cleared(asked_at):
            status = reason.partition(":")[0]
            self._done.append(GivenUp(item, f"rejected: {status}", failures.Refused(status)))

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
        if not self._tasks:
            self._outbox.flush()
        if self._done or self._failure or not self.on_hand:
            self._wake.set()

    def _answered(self, answered: Answered) -> None:
        self._closed |= not self._desk.book(answered)
        self._outbox.add(answered)

    def _stop(self, error: BaseException) -> None:
        self._failure = error
        self._wake.set()

    def _committed(self, answered: list[Answered]) -> None:
        self._done += [one for one in answered if one.item.request is not chat.PROBE]
        self._wake.set()

    async def _raise_if_stopped(self) -> None:
        if self._failure:
            await self.drain(within_s=30.0)
            raise self._failure
        now = time.monotonic()
        if all(e.breaker.is_out(now, self._give_up_after_s) for e in self._endpoints):
            told = ", ".join(f"{e.shown} ({e.breaker.told(now)})" for e in self._endpoints)
            raise failures.Stopped(f"no endpoint answers: {told}")

    def _poll_queues(self) -> None:
        now = time.monotonic()
        if now - self._polled_at < _POLL_QUEUE_S:
            return
        self._polled_at = now
        for endpoint in self._endpoints:
            endpoint.start_poll()
