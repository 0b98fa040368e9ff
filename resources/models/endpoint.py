"""One endpoint of a role: its wire, and all that is known of its state."""

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resources.models import chat
from resources.models.backpressure import Breaker, Limiter


@dataclass
class Endpoint:
    """One endpoint of a role, and what is known of it."""

    url: str
    wire: chat.Wire
    limiter: Limiter
    binding: chat.Binding | None
    breaker: Breaker = field(default_factory=Breaker)
    has_metrics: bool = True
    probed: bool = False
    poll: asyncio.Task[None] | None = None

    def has_room(self, now: float, binds: bool) -> bool:
        """Whether a request may be sent to it now; if requests bind a schema, not before the probe
        has come back.
        """
        return (
            (self.binding is not None or not binds)
            and self.limiter.has_room
            and self.breaker.allows(now, self.limiter.in_flight)
        )

    def wants_probe(self, now: float) -> bool:
        """Whether it must be found out how the endpoint binds a schema."""
        idle = self.limiter.in_flight == 0
        return self.binding is None and idle and self.breaker.allows(now, 0)

    async def probe(self, model: str, answered: Callable[[int, chat.Reply, float], bool]) -> None:
        """Find out how the endpoint binds a schema.

        `answered` is told of each answer (which of the probe it is, its milliseconds) and says
        whether another may be asked for.
        """
        may_go_on = True

        async def send(number: int, binding: chat.Binding) -> chat.Reply:
            nonlocal may_go_on
            if not may_go_on:
                raise chat.Failed("nothing more may be sent")
            sent_at = time.monotonic()
            reply = await chat.ask(self.wire, model, chat.PROBE, binding)
            may_go_on = answered(number, reply, (time.monotonic() - sent_at) * 1000)
            return reply

        self.binding = await chat.probe(send)
        self.probed = True

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
        except chat.Failure:
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
