"""How many requests an endpoint gets at once, and when it is left alone.

Pure rules over observations and a clock that is handed in: no sockets, no sleeping.
"""

import random
import statistics
from dataclasses import dataclass, field

_CUT = 0.5
_SLOW_START = 4.0
_WINDOW = 32
# A median latency of three times the best one seen says that requests wait inside the engine.
_SLOWER = 3.0
_LATENCY_FLOOR_S = 0.05
_MANY_WAIT = 0.25
_MOST_FAIL = 0.5
_BREAK_AFTER = 20
_MAX_PAUSE_S = 30.0
_BACKOFF_S = 0.25
_MAX_BACKOFF_S = 8.0


def backoff_s(tries: int, retry_after_s: float | None = None) -> float:
    """Seconds until a request that failed so often is ready again, spread at random.

    Never more than was told: the endpoint that told it rests so long, another one may be free.
    """
    pause: float = min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** min(tries, 8))
    pause *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards no secret
    return pause if retry_after_s is None else min(pause, retry_after_s)


@dataclass
class Limiter:
    """Additive increase, multiplicative decrease of one endpoint's concurrency, by rounds.

    Starts at `most`. After each round (as many answers as the limit) the limit is cut in proportion
    to the share of overloads among them, by half if all were, and grows by one unless most were. So
    a few stray 429 cost little, and an endpoint that is full halves the limit round by round. With
    `auto` it starts low and doubles per round until the first overload.
    """

    most: int
    auto: bool = False
    in_flight: int = 0
    limit: float = 0.0
    cuts: int = 0
    _ramping: bool = False
    _answers: int = 0
    _overloads: int = 0
    _was_full: bool = False
    _latencies: list[float] = field(default_factory=list)
    _best: float = float("inf")

    def __post_init__(self) -> None:
        self.limit = min(_SLOW_START, self.most) if self.auto else float(self.most)
        self._ramping = self.auto

    @property
    def has_room(self) -> bool:
        """Whether one more request may be sent."""
        return self.in_flight < max(1, int(self.limit))

    def succeeded(self, latency_s: float | None) -> None:
        """An answer came; its latency (None = not measured) may say that the engine is full."""
        self._was_full |= self.in_flight >= int(self.limit)
        if latency_s is not None and self._saturated(latency_s) and self._was_full:
            self._overloads = self._answers + 1
        self._count()

    def overloaded(self) -> None:
        """429, 503 or a time-out."""
        self._overloads += 1
        self._count()

    def queued(self, waiting: int) -> None:
        """The engine says how many requests wait in it: those are more than it can run."""
        if waiting > _MANY_WAIT * self.limit:
            self._cut_to(self.limit - waiting)

    def _count(self) -> None:
        self._answers += 1
        if self._answers < int(self.limit):
            return
        share = self._overloads / self._answers
        climb = (self.limit if self._ramping and not share else 1.0) * (
            self._was_full and share < _MOST_FAIL
        )
        if share:
            self._cut_to(self.limit * (1 - _CUT * share))
        self.limit = min(float(self.most), self.limit + climb)
        self._answers = self._overloads = 0
        self._was_full = False

    def _cut_to(self, limit: float) -> None:
        self.limit = max(1.0, limit)
        self.cuts += 1
        self._ramping = False

    def _saturated(self, latency_s: float) -> bool:
        self._latencies.append(latency_s)
        if len(self._latencies) < max(_WINDOW, int(self.limit)):
            return False
        median = statistics.median(self._latencies)
        self._latencies.clear()
        self._best = min(self._best * 1.05, median)
        return median > max(_SLOWER * self._best, self._best + _LATENCY_FLOOR_S)


@dataclass
class Breaker:
    """Leaves an endpoint alone that fails every time, and asks it again with single requests."""

    failures: int = 0
    down_since: float | None = None
    reason: str = ""
    _pause_s: float = 0.5
    _retry_at: float = float("-inf")
    _told_until: float = float("-inf")
    _trial_since: float = float("inf")

    def allows(self, now: float) -> bool:
        """Whether a request may go out: always while closed, one at a time while open."""
        return now >= self._retry_at and (self.down_since is None or self._trial_since > now)

    def sent(self, now: float) -> None:
        """A request goes out; while open it is the one on trial."""
        if self.down_since is not None:
            self._trial_since = now

    def succeeded(self) -> None:
        """The endpoint answered."""
        self.failures, self.down_since, self._pause_s = 0, None, 0.5
        self._trial_since = float("inf")

    def failed(self, now: float, reason: str, sent_at: float) -> None:
        """The endpoint failed a request of that time; after a row of failures it counts as down.

        The pause grows by the outage: what was in flight when it began tells nothing new.
        """
        self.failures += 1
        self.reason = reason
        if self.down_since is not None:
            if sent_at >= self._trial_since:
                self._trial_since = float("inf")
                self._retry_at = now + self._pause_s
                self._pause_s = min(_MAX_PAUSE_S, self._pause_s * 2)
        elif self.failures >= _BREAK_AFTER:
            self.down_since = now
            self._retry_at = now + self._pause_s

    def paused(self, until: float) -> None:
        """The endpoint asked to be left alone until then (Retry-After)."""
        self._retry_at = max(self._retry_at, until)
        self._told_until = self._retry_at
        self._trial_since = float("inf")

    @property
    def retry_at(self) -> float:
        """When the endpoint may be asked again."""
        return self._retry_at

    def is_out(self, now: float, longest_s: float) -> bool:
        """Whether the endpoint has been down, or wants to be left alone, for longer than that."""
        return self._down_for(now) > longest_s or self._told_until - now > longest_s

    def told(self, now: float) -> str:
        """In words, why the endpoint is not asked."""
        if self.down_since is None:
            return f"asks to wait {self._retry_at - now:,.0f} s"
        return f"{self.reason}, for {self._down_for(now):,.0f} s"

    def _down_for(self, now: float) -> float:
        return 0.0 if self.down_since is None else now - self.down_since
