"""What a plan knows of a run: calls that are sure to be made, and what answers to come may add.

A plan asks nobody. Where an answer is missing, what follows from it is not known but bounded: an
answer brings so many keywords, prompts or rewrites at most, and each of these so many calls.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from chillguard.calls import call

T = TypeVar("T")
AskFor = Callable[[str], call.Ask]
Line = tuple[str, str]


@dataclass(frozen=True)
class Foreseen:
    """Calls of one role in one stage, each answer read at once: at least and at most.

    `unsure` says what the plan cannot foresee, empty where both numbers are the same.
    """

    asset: str
    role: str
    least: int
    most: int
    unsure: str = ""


@dataclass
class Waiting:
    """Requests of one role in one stage without an answer: their keys, and the rows they are for.

    `keys` are those that no earlier stage asks; `asked` counts all requests of the line.
    """

    keys: dict[str, str] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    asked: int = 0


class Watch:
    """Hands out the asks of a plan, and notes which requests wait for an answer."""

    def __init__(self, ask_for: AskFor) -> None:
        self._ask_for = ask_for
        self._taken: set[str] = set()
        self.lines: dict[Line, Waiting] = {}

    def ask_for(self, asset: str) -> "_Watched":
        """An `ask` of one asset."""
        return _Watched(self, asset)

    def at(self, asset: str, role: str) -> Waiting:
        """What waits in one line of the plan."""
        return self.lines.setdefault((asset, role), Waiting())

    def is_settled(self) -> bool:
        """Whether no request waits for an answer."""
        return not any(line.rows for line in self.lines.values())

    def note(self, line: Line, outcome: call.Outcome[T]) -> None:
        """Count an outcome of a line."""
        waiting = self.at(*line)
        waiting.asked += 1
        if outcome.reason == call.UNASKED:
            waiting.rows.add(outcome.row_id)
            if outcome.call_key not in self._taken:
                self._taken.add(outcome.call_key)
                waiting.keys[outcome.call_key] = outcome.row_id


class _Watched(call.Ask):
    def __init__(self, watch: Watch, asset: str) -> None:
        self._watch = watch
        self._asset = asset

    def __call__(
        self,
        role: str,
        requests: Iterable[call.ChatRequest],
        parse: call.Parser[T],
        total: int | None = None,
    ) -> Iterator[call.Outcome[T]]:
        """The outcomes of the counting ask."""
        for outcome in self._watch._ask_for(self._asset)(role, requests, parse, total):
            self._watch.note((self._asset, role), outcome)
            yield outcome


class Bounds:
    """Collects, line by line, what may come on top of requests that wait, or instead of them."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._more: Counter[Line] = Counter()
        self._sure: dict[Line, set[str]] = {}
        self._why: dict[Line, list[str]] = {}

    def more(self, line: Line, count: int, why: str) -> None:
        """So many calls may come on top."""
        if count:
            self._more[line] += count
            self._why.setdefault(line, []).append(why)

    def only(self, line: Line, rows: Collection[str], why: str) -> None:
        """Of the requests that wait, only those of these rows are sure to be made."""
        before = self._sure.get(line, set(self._watch.at(*line).keys.values()))
        sure = {row for row in before if row in rows}
        if sure != before:
            self._sure[line] = sure
            self._why.setdefault(line, []).append(why)

    def foreseen(self) -> list[Foreseen]:
        """All lines of the plan."""
        found = []
        for line in dict.fromkeys((*self._watch.lines, *self._more)):
            keys = self._watch.at(*line).keys
            sure = self._sure.get(line)
            least = sum(sure is None or row in sure for row in keys.values())
            why = "; ".join(dict.fromkeys(self._why.get(line, ())))
            found.append(Foreseen(*line, least, len(keys) + self._more[line], why))
        return found
