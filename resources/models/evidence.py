"""Whether it is the requests or the endpoint: told by many, never by one."""

from collections import Counter
from dataclasses import dataclass, field

_ENOUGH = 50


@dataclass
class Evidence:
    """What came of the requests that were sent, as long as nothing good did."""

    good: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    messages: set[str] = field(default_factory=set)

    @property
    def is_enough(self) -> bool:
        """Whether a row that failed may be held against the row."""
        return self.good > 0

    def was_rejected(self, reason: str, message: str) -> None:
        """A request was rejected."""
        if not self.good:
            self.rejected[reason] += 1
            self.messages.add(message)

    def was_unreadable(self, reason: str) -> None:
        """An answer could not be read, nor could those that were asked for anew."""
        if not self.good:
            self.unreadable[reason] += 1

    def verdict(self) -> str | None:
        """Why the stage must stop, in words; None while it may go on."""
        if self.good:
            return None
        for outcomes, others, what, mend in (
            (self.rejected, self.unreadable, "requests rejected", "mend the role's settings"),
            (self.unreadable, self.rejected, "answers unreadable", "look at the model's answers"),
        ):
            if outcomes.total() >= _ENOUGH and not others:
                # What is the same for many different requests quotes none of them.
                message = next(iter(self.messages)) if len(self.messages) == 1 else ""
                said = f' ("{message}")' if message else ""
                [(reason, _)] = outcomes.most_common(1)
                return (
                    f"all requests so far failed, {outcomes.total()} {what}: {reason}{said}; {mend}"
                )
        return None
