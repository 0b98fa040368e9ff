"""One endpoint of a role: its wire, and all that is known of its state."""

from dataclasses import dataclass, field

from resources import chat
from resources.backpressure import Breaker, Limiter


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

    async def look_at_queue(self) -> None:
        """Let the limiter know how many requests wait in the engine, if the engine tells."""
        if self.has_metrics and self.breaker.down_since is None:
            waiting = await self.wire.queue_length()
            self.has_metrics = waiting is not None
            self.limiter.queued(waiting or 0)

    @property
    def shown(self) -> str:
        """The URL as it may be shown and stored."""
        return chat.without_credentials(self.url)

    def not_accepted(self, reason: str) -> str:
        """What to tell when the endpoint accepts no request: a wrong key, model or path."""
        return f"endpoint {self.shown}: {reason}"
