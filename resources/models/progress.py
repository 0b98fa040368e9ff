"""What the calls of one asset come to, and telling it while they run."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from chillguard.rate import Rate

_TELL_EVERY_S = 5.0


@dataclass
class Usage:
    """Totals over the calls of one asset; refusals are counted by model, failures by reason.

    `cost` is that of the calls whose model has a price; `unpriced` counts the others. `bindings` is
    how each endpoint binds a schema; `fingerprints` are those of each declared model that has
    answered under more than one.
    """

    paid: int = 0
    from_ledger: int = 0
    quarantined: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    tokens_estimated: int = 0
    thinking: int = 0
    unpriced: int = 0
    seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    bindings: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, list[str]] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    def paid_for(self, prompt_tokens: int, completion_tokens: int, cost: float | None) -> None:
        """Count one paid call; `cost` None = the model has no price."""
        self.paid += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        self.cost += cost or 0.0
        self.unpriced += cost is None


class Pace:
    """Tells, every few seconds, how much of a long piece of work is done, its rate and ETA."""

    def __init__(self, asset: str, what: str, total: int, tell: Callable[[str], None]) -> None:
        self._asset = asset
        self._what = what
        self._total = total
        self._tell = tell
        self._done = 0
        self._began_at = self._told_at = time.monotonic()

    def add(self, count: int) -> None:
        """Count work done."""
        self._done += count
        now = time.monotonic()
        if now - self._told_at > _TELL_EVERY_S or self._done == self._total:
            self._told_at = now
            rate = Rate(self._done, now - self._began_at)
            self._tell(
                f"{self._asset}: {self._done:,} of {self._total:,} {self._what}, "
                f"{rate.per_s:,.0f}/s, ETA {rate.eta_s(self._total - self._done) or 0:,.0f} s"
            )


class Progress:
    """Tells rate, ETA, tokens, money and errors of the running role through `tell`."""

    def __init__(self, asset: str, tell: Callable[[str], None]) -> None:
        self.usage = Usage()
        self._asset = asset
        self._tell = tell
        self._role = ""
        self._total: int | None = None
        self._done = 0
        self._before = replace(self.usage)
        self._began_at = self._told_at = time.monotonic()
        self._errors_before: Counter[str] = Counter()
        self._noted: set[str] = set()

    def begin(self, role: str, total: int | None) -> None:
        """A role begins to be asked, for `total` outcomes if that is known."""
        self._role, self._total, self._done = role, total, 0
        self._before = replace(self.usage)
        self._began_at = self._told_at = time.monotonic()
        self._errors_before = self.usage.errors.copy()

    def outcome(self, reason: str | None, model: str, declined: bool = False) -> None:
        """Count one outcome; `reason` says why there is no value, `declined` a refusal."""
        self._done += 1
        if reason:
            self.usage.quarantined += 1
            self.usage.reasons[reason] += 1
            self.usage.refusals[model] += declined

    def note(self, text: str) -> None:
        """Tell what a person should know about the running role."""
        self._tell(f"{self._asset}: {self._role}: {text}")

    def note_once(self, text: str) -> None:
        """Tell it, unless it was told before."""
        if text not in self._noted:
            self._noted.add(text)
            self.note(text)

    def tick(self, errors: Mapping[str, int]) -> None:
        """Tell how far it is, every few seconds."""
        self.usage.errors = self._errors_before + Counter(errors)
        if time.monotonic() - self._told_at > _TELL_EVERY_S:
            self._tell(self._line())

    def end(self) -> None:
        """Tell what it came to."""
        self.usage.seconds += time.monotonic() - self._began_at
        if self._done:
            self._tell(self._line())

    def _line(self) -> str:
        self._told_at = time.monotonic()
        rate = Rate(self._done, self._told_at - self._began_at)
        paid = self.usage.paid - self._before.paid
        share = f" of {self._total:,}" if self._total is not None else ""
        parts = [
            f"{self._asset}: {self._role}: {self._done:,}{share} done, {paid:,} calls paid",
            f"{rate.per_s:,.0f}/s",
        ]
        left = (self._total or 0) - self._done
        if left > 0 and (eta_s := rate.eta_s(left)) is not None:
            parts.append(f"ETA {eta_s:,.0f} s")
        if paid:
            parts.append(f"{self.usage.tokens - self._before.tokens:,} tokens, {self._money(paid)}")
        if self.usage.errors:
            counts = ", ".join(f"{kind} {n:,}" for kind, n in self.usage.errors.most_common(4))
            parts.append(f"errors: {counts}")
        return ", ".join(parts)

    def _money(self, paid: int) -> str:
        unpriced = self.usage.unpriced - self._before.unpriced
        if unpriced == paid:
            return "unpriced"
        cost = f"cost {self.usage.cost - self._before.cost:,.2f}"
        return f"{cost}, {unpriced:,} calls unpriced" if unpriced else cost
