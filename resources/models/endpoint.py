"""One endpoint of a role: its wire, and all that is known of its state."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from resources.models import chat
from resources.models.backpressure import Breaker, Limiter
from resources.models.completion import Reply
from resources.models.desk import Item
from resources.models.failures import Failed, Failure

# So many denied in a row, and nothing more is sent before a plain question was answered.
_MANY_DENIED = 8

# Told of an answer to a question of the engine's own: its number and its milliseconds.
Answered = Callable[[int, Reply, float], None]


@dataclass
class Endpoint:
    """One endpoint of a role, and what is known of it.

    `denied` are items that it denied (401 to 404), with the reason and when: not yet known is
    whether it denies everything.
    """

    url: str
    wire: chat.Wire
    limiter: Limiter
    binding: chat.Binding | None
    breaker: Breaker = field(default_factory=Breaker)
    has_metrics: bool = True
    probed: bool = False
    poll: asyncio.Task[None] | None = None
    denied: list[tuple[Item, str, float]] = field(default_factory=list)
    has_answered: bool = False

    def has_room(self, now: float, binds: bool) -> bool:
        """Whether a request may be sent to it now; if requests bind a schema, not before the probe
        has come back.
        """
        return (
            (self.binding is not None or not binds)
            and not self._is_doubted
            and self.limiter.has_room
            and self.breaker.allows(now)
        )

    def wants_probe(self, now: float) -> bool:
        """Whether it must be found out how the endpoint binds a schema."""
        idle = self.limiter.in_flight == 0
        return self.binding is None and idle and self.breaker.allows(now)

    def wants_check(self, more_to_send: bool, now: float) -> bool:
        """Whether a plain question must tell if the endpoint denies everything."""
        due = bool(self.denied) and (self._is_doubted or not more_to_send)
        return due and self.limiter.in_flight == 0 and self.breaker.allows(now)

    @property
    def _is_doubted(self) -> bool:
        return len(self.denied) >= _MANY_DENIED or (bool(self.denied) and not self.has_answered)

    def deny(self, item: Item, reason: str, now: float) -> None:
        """Keep an item that was denied until it is known what was at fault."""
        self.denied.append((item, reason, now))

    def cleared(self, asked_at: float) -> list[tuple[Item, str]]:
        """The endpoint answered a request of that time: items denied before were at fault."""
        self.has_answered = True
        if not self.denied:
            return []
        at_fault = [(item, reason) for item, reason, at in self.denied if at <= asked_at]
        self.denied = [one for one in self.denied if one[2] > asked_at]
        return at_fault

    async def probe(self, model: str, may_ask: Callable[[], bool], answered: Answered) -> None:
        """Find out how the endpoint binds a schema."""
        send = self._asking(model, may_ask, answered)
        self.binding, self.probed = await chat.probe(send)

    async def check(self, model: str, may_ask: Callable[[], bool], answered: Answered) -> None:
        """Ask a plain question, to which only the endpoint can be at fault."""
        # Numbered by the second, so that none is taken for an earlier one.
        await self._asking(model, may_ask, answered)(int(time.time()), "prompt")

    def _asking(
        self, model: str, may_ask: Callable[[], bool], answered: Answered
    ) -> Callable[[int, chat.Binding], Awaitable[Reply]]:
        async def send(number: int, binding: chat.Binding) -> Reply:
            if not may_ask():
                raise Failed("nothing more may be sent")
            sent_at = time.monotonic()
            reply = await chat.ask(self.wire, model, chat.PROBE, binding)
            answered(number, reply, (time.monotonic() - sent_at) * 1000)
            return reply

        return send

    def start_poll(self) -> None:
        """Look at the engine's queue, beside the answers: a page that hangs must not hold them."""
        if self.has_metrics and (self.poll is None or self.poll.done()):
            self.poll = asyncio.get_running_loop().create_task(self._look_at_queue())

    async def _look_at_queue(self) -> None:
        """Let the limiter know how many requests wait in the engine, if the engine tells."""
        if self.breaker.down_since is not None:
            return
        try:
            waiting = await self.wire.queue_length()
        except Failure:
            return
        self.has_metrics = waiting is not None
        self.limiter.queued(waiting or 0)

    @functools.cached_property
    def shown(self) -> str:
        """The URL as it may be shown and stored."""
        return chat.without_credentials(self.url)

    def not_accepted(self, reason: str) -> str:
        """What to tell when the endpoint accepts no request: a wrong key, model or path."""
        return f"endpoint {self.shown}: {reason}"
