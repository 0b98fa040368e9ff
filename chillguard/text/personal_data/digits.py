"""Digits in a row, in every spelling and with marks between them, and how they are grouped.

What kind of number such a row holds is the business of `numbers`.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from chillguard.text.personal_data import cues
from chillguard.text.personal_data.reading import NUMERALS

_MARK = r"(?:[^\w\n\ue000\ue001]|_)"
_PLAIN = "0-9" + "".join(NUMERALS).removesuffix("oO")
_LETTER_O = "(?<![A-NP-Za-np-z])[Oo](?![A-NP-Za-np-z])"
# Plain digits first: a numeral beside a number is seldom a part of it.
RUNS = (
    re.compile(rf"[0-9](?:{_MARK}{{0,3}}+[0-9]){{6,}}+(?:{_MARK}?[Xx](?![A-Za-z]))?"),
    re.compile(
        rf"[{_PLAIN}](?:{_MARK}{{0,3}}+(?:[{_PLAIN}]|{_LETTER_O})){{6,}}+(?:[Xx](?![A-Za-z]))?"
    ),
)
_ODD = re.compile(r"[^ ,.、:/()\-]")
SHORTEST, LONGEST = 7, 19
_BEFORE, _AFTER = 14, 8
_LIST = re.compile("1{25,}")
_IN_CODE = re.compile("[A-Za-z]")
COUNTRY = re.compile(r"0086|86")
GROUPS = {
    "mobile": {(3, 4, 4), (3, 8), (7, 4), (4, 7), (3, 3, 5), (4, 4, 3), (4, 3, 4), (5, 6)},
    "landline": {(3, 8), (4, 7), (4, 8), (3, 4, 4), (4, 4, 4), (4, 3, 4), (2, 8), (2, 4, 4)},
    "taiwan": {(4, 3, 3), (4, 6), (2, 4, 4), (2, 8), (2, 3, 4), (2, 7)},
    "local": {(4, 4), (3, 4), (8,), (7,)},
    "card": {(4, 4, 4, 4), (4, 4, 4, 4, 3), (6, 13), (4, 6, 5), (4, 4, 4, 4, 2), (4, 4, 4, 4, 1)},
}


@dataclass(frozen=True)
class Number:
    """Digits, the sizes of their groups, the marks between these, and what stands around them."""

    digits: str
    sizes: tuple[int, ...]
    marks: tuple[str, ...]
    outer: tuple[str | None, str | None]
    before: str
    after: str

    @property
    def plus(self) -> bool:
        """Whether a plus stands before it."""
        return self.before.rstrip(" (").endswith("+")

    @functools.cached_property
    def cue(self) -> str | None:
        """What the nearest words say that it is."""
        return cues.nearest(self.before, self.after)

    def national(self) -> "tuple[str, tuple[int, ...]]":
        """The digits and sizes without the code of the mainland."""
        code = COUNTRY.match(self.digits)
        if not code or len(self.digits) < 13:
            return self.digits, self.sizes
        size = code.end()
        rest = self.sizes[1:] if self.sizes[0] == size else (self.sizes[0] - size, *self.sizes[1:])
        return self.digits[size:], rest

    def cut_as(self, kind: str) -> bool:
        """Whether the groups are those of such numbers, or so odd that something is hidden."""
        sizes = self.national()[1]
        inner = set(self.marks[len(self.marks) - len(sizes) + 1 :])
        alike = len(inner) == 1 or kind == "landline"
        if len(sizes) == 1 or (sizes in GROUPS[kind] and alike):
            return True
        return self.odd if kind in ("landline", "taiwan") else self.hidden

    @functools.cached_property
    def odd(self) -> bool:
        """Whether there are marks between the digits that no list of numbers has."""
        return any(_ODD.search(mark) for mark in self.marks)

    @functools.cached_property
    def hidden(self) -> bool:
        """Whether the marks between the digits have no other purpose than to hide them."""
        if self.odd:
            return True
        first, *others = self.sizes
        step = set(others[:-1]) <= {first} and others and others[-1] <= first
        same = len(set(self.marks)) == 1 and self.marks[0] not in self.outer
        return bool(step and same) and (first != 2 or self.marks[0].strip() not in ("", ",", "、"))


@dataclass(frozen=True)
class Run:
    """Digits in a row, where each stands, where a group begins, the mark before each group."""

    digits: str
    places: list[int]
    starts: list[int]
    marks: list[str]

    @classmethod
    def of(cls, plain: str, match: re.Match[str]) -> "Run":
        """The row that a pattern of `RUNS` matched."""
        digits: list[str] = []
        places: list[int] = []
        starts: list[int] = []
        marks: list[str] = []
        last = match.start()
        for place, character in enumerate(match.group(), match.start()):
            if not (character.isalnum() or character in NUMERALS):
                continue
            if place != last or not digits:
                starts.append(len(digits))
                marks.append(plain[last:place])
            digits.append(NUMERALS.get(character, character.upper()))
            places.append(place)
            last = place + 1
        return cls("".join(digits), places, starts, marks)

    @functools.cached_property
    def bounds(self) -> list[int]:
        """Where groups begin, and the end of the last."""
        return [*self.starts, len(self.digits)]

    def lists(self) -> dict[int, int]:
        """Where single digits stand in a longer row than any number has, and where it ends."""
        sizes = "".join("1" if b - a == 1 else "n" for a, b in pairwise(self.bounds))
        return {match.start(): match.end() for match in _LIST.finditer(sizes)}

    def ends(self, group: int) -> list[int]:
        """The groups before which a number that begins at `group` may end, the longest first."""
        ends = []
        for end in range(group + 1, len(self.bounds)):
            size = self.bounds[end] - self.bounds[group]
            if size > LONGEST:
                break
            if size >= SHORTEST:
                ends.append(end)
        return ends[::-1]

    def span(self, plain: str, group: int, end: int) -> tuple[int, int]:
        """Where the groups stand in the reading, with the plus and the bracket before them."""
        start = self.places[self.bounds[group]]
        while start and plain[start - 1] in "(+":
            start -= 1
        return start, self.places[self.bounds[end] - 1] + 1

    def number(self, plain: str, group: int, end: int) -> Number | None:
        """The groups from `group` to before `end` as one number; None inside a code."""
        first, last = self.bounds[group], self.bounds[end]
        start, stop = self.places[first], self.places[last - 1] + 1
        before, after = plain[max(0, start - _BEFORE) : start], plain[stop : stop + _AFTER]
        if _IN_CODE.match(after):
            return None
        bounds = self.bounds[group : end + 1]
        return Number(
            self.digits[first:last],
            tuple(b - a for a, b in pairwise(bounds)),
            tuple(self.marks[group + 1 : end]),
            (
                self.marks[group] if group else None,
                self.marks[end] if end < len(self.marks) else None,
            ),
            before,
            after,
        )


def runs(pattern: re.Pattern[str], plain: str) -> Iterator[Run]:
    """The rows of digits that a pattern of `RUNS` sees."""
    for match in pattern.finditer(plain):
        yield Run.of(plain, match)
