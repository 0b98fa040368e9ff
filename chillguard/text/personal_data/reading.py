"""A text as its reader sees it, for finding only: width, script, spelling marks folded away.

Every character of the reading knows where it stands in the text, so that a finding can be cut out
of the text as it was written. What has been found is covered, and no later finder looks there.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from chillguard.text import matching

# Private characters stand for what is found: what reaches a person, and the rest.
CONTACT, COVERED = "\ue000", "\ue001"
NUMERALS = dict(
    zip(
        "零〇○洞幺一壹二贰两三叁四肆五伍六陆七柒拐八捌九玖oO",
        "000011122233445566777889900",
        strict=True,
    )
)
_HEARTS = "♥♡💕💗💖💓💛💚💙💜🧡🤍🖤💝💘"
_DASHES = "‐‑‒–—―−"
_UNSEEN = [(0xAD, 0xAD), (0x300, 0x36F), (0x115F, 0x1160), (0x180B, 0x180F), (0x200B, 0x200F)]
_UNSEEN += [(0x202A, 0x202E), (0x2060, 0x206F), (0x20E3, 0x20E3), (0x3164, 0x3164)]
_UNSEEN += [(0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF)]
# Blocks in which digits and Latin letters have other shapes.
_SHAPES = [(0xA0, 0xA0), (0xB2, 0xB9), (0x2000, 0x200A), (0x202F, 0x202F), (0x205F, 0x205F)]
_SHAPES += [(0x2070, 0x209C), (0x2460, 0x24FF), (0x3000, 0x3000), (0x3220, 0x3229)]
_SHAPES += [(0x3280, 0x3289), (0xFE52, 0xFE6B), (0xFF01, 0xFF5E), (0x1D400, 0x1D7FF)]
_SHAPES += [(0x1F100, 0x1F16F), (0x1FBF0, 0x1FBF9)]
_HAN = (0x4E00, 0x9FFF)
_CIRCLES = [(0x2776, 1), (0x2780, 1), (0x278A, 1)]  # ❶ ➀ ➊, which Unicode does not decompose
_BRACKETED = re.compile(r"[().,]")


# Where something begins and ends, and the mark that takes its place.
Found = tuple[int, int, str]


class Reading:
    """The folded characters of a text and, for each, the index of the one it stands for."""

    def __init__(self, text: str, plain: str, origins: list[int] | range) -> None:
        self.text, self.plain, self._origins = text, plain, origins
        self._found: list[tuple[int, int, str]] = []

    @classmethod
    def of(cls, text: str) -> "Reading":
        """The reading of a text, nothing covered yet."""
        table, pattern = _folds()
        return cls(text, *_folded(text, range(len(text)), pattern, table.__getitem__))

    def cover(self, found: Iterable[Found], cover: str = CONTACT) -> None:
        """Take what is found, from left to right, out of the reading, and mark it in the text."""
        parts, end = [], 0
        for start, stop, mark in found:
            if start < end:
                continue
            self._found.append((self._origins[start], self._origins[stop - 1] + 1, mark))
            parts += [self.plain[end:start], cover * (stop - start)]
            end = stop
        self.plain = "".join([*parts, self.plain[end:]]) if parts else self.plain

    def hide(self, pattern: re.Pattern[str], is_contact: Callable[[str], bool]) -> None:
        """Cover what stands for a finding of an earlier pass, which stays as it is."""
        self.plain = pattern.sub(
            lambda match: (CONTACT if is_contact(match.group()) else COVERED) * len(match.group()),
            self.plain,
        )

    def cover_without(
        self, gap: re.Pattern[str], find: Callable[[str], Iterable[Found]], cover: str = CONTACT
    ) -> None:
        """Find in a reading that leaves every `gap` out, and cover what is found in this one."""
        bare, places = _folded(self.plain, range(len(self.plain)), gap, lambda _: "")
        found = ((places[start], places[stop - 1] + 1, mark) for start, stop, mark in find(bare))
        self.cover(found, cover)

    def written(self) -> str:
        """The text with what was found replaced by its mark."""
        _, pattern = _unseen()
        parts, end = [], 0
        for start, stop, mark in sorted(self._found):
            parts += [self.text[end:start], mark]
            trail = pattern.match(self.text, stop)
            end = trail.end() if trail else stop
        return "".join([*parts, self.text[end:]]) if parts else self.text


def matches(
    pattern: re.Pattern[str],
    plain: str,
    mark: str,
    fits: Callable[[re.Match[str]], bool] | None = None,
) -> Iterator[Found]:
    """Where a pattern matches; its group `value`, if it has one, is what counts."""
    group: str | int = "value" if "value" in pattern.groupindex else 0
    for match in pattern.finditer(plain):
        if fits is None or fits(match):
            yield *match.span(group), mark


def _folded(
    text: str, places: range, pattern: re.Pattern[str], to: Callable[[str], str]
) -> tuple[str, list[int] | range]:
    parts: list[str] = []
    origins: list[int] = []
    last = 0
    for match in pattern.finditer(text):
        start, folded = match.start(), to(match.group())
        parts += [text[last:start], folded]
        origins.extend(places[last:start])
        origins.extend([start] * len(folded))
        last = match.end()
    if not last:
        return text, places
    origins.extend(places[last:])
    return "".join([*parts, text[last:]]), origins


@functools.cache
def _unseen() -> tuple[set[str], re.Pattern[str]]:
    characters = {chr(code) for first, last in _UNSEEN for code in range(first, last + 1)}
    return characters, re.compile(f"[{''.join(characters)}]+")


@functools.cache
def _folds() -> tuple[dict[str, str], re.Pattern[str]]:
    """What each character is read as, and a pattern of those that are not read as themselves."""
    han = [chr(code) for code in range(_HAN[0], _HAN[1] + 1)]
    table = dict(zip(han, matching.simplified("\n".join(han)).split("\n"), strict=True))
    for first, last in _SHAPES:
        table |= {chr(code): _shape(chr(code)) for code in range(first, last + 1)}
    for first, number in _CIRCLES:
        table |= {chr(first + i): str(number + i) for i in range(10)}
    table |= dict.fromkeys(_HEARTS, "❤") | dict.fromkeys(_DASHES, "-") | {"⓿": "0", "＿": "_"}
    table |= dict.fromkeys(_unseen()[0], "") | dict.fromkeys((CONTACT, COVERED), "\ufffd")
    table = {character: read for character, read in table.items() if character != read}
    return table, re.compile(f"[{re.escape(''.join(table))}]")


def _shape(character: str) -> str:
    """The plain form, without the brackets and stops of a number in a list."""
    plain = unicodedata.normalize("NFKC", character)
    bare = _BRACKETED.sub("", plain) if len(plain) > 1 else plain
    return bare if bare.isalnum() or len(bare) == 1 else character
