"""How fast a piece of work goes, and how long the rest of it takes: the one clock arithmetic."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """`done` units of work in `seconds`."""

    done: float
    seconds: float

    @property
    def per_s(self) -> float:
        """Units a second; 0 before any time has passed."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    def eta_s(self, left: float) -> float | None:
        """Seconds until `left` more units are done; None while nothing is done."""
        return left * self.seconds / self.done if self.done > 0 else None
