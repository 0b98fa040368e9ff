"""Model-free transforms of Chinese text: deterministic, for rewriting and the offline twins.

A surface transform changes how a text is written, not what it says; its output keeps its
characters in `text` and folds back in `match_text` as far as normalising can.
"""

import functools
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from chillguard import identity

_SHARE = 3
_SEPARATORS = "·-—*"


def full_width(text: str) -> str:
    """ASCII letters, digits and punctuation as their full-width forms."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def traditional(text: str) -> str:
    """Simplified characters as traditional ones."""
    return str(_to_traditional().convert(text))


def homophones(text: str) -> str:
    """About every third common character replaced by another of the same reading and tone."""
    return "".join(_homophone(text, i) for i in range(len(text)))


def inserted_symbols(text: str) -> str:
    """A separator between about every third pair of Chinese characters."""
    parts = [text[:1]]
    for i in range(1, len(text)):
        if _is_han(text[i - 1]) and _is_han(text[i]) and _drawn(text, i, _SHARE):
            parts.append(_SEPARATORS[_number(text, i) % len(_SEPARATORS)])
        parts.append(text[i])
    return "".join(parts)


TRANSFORMS: Mapping[str, Callable[[str], str]] = {
    "full_width": full_width,
    "traditional": traditional,
    "homophones": homophones,
    "inserted_symbols": inserted_symbols,
}


def _homophone(text: str, i: int) -> str:
    others = [c for c in _same_reading().get(text[i], ()) if c != text[i]]
    if not others or not _drawn(text, i, _SHARE):
        return text[i]
    return others[_number(text, i) % len(others)]


def _drawn(text: str, i: int, share: int) -> bool:
    return _number(text, -1 - i) % share == 0


def _number(text: str, i: int) -> int:
    return int.from_bytes(identity.hash_order(text, str(i))[:4], "big")


def _is_han(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK UNIFIED")


@functools.cache
def _to_traditional() -> Any:
    import opencc

    return opencc.OpenCC("s2t")


@functools.cache
def _same_reading() -> dict[str, tuple[str, ...]]:
    # GB 2312 level 1 is the 3,755 commonest characters: rarer ones would not pass for a typo.
    import pypinyin

    common = [
        bytes([high, low]).decode("gb2312", "ignore")
        for high in range(0xB0, 0xD8)
        for low in range(0xA1, 0xFF)
    ]
    readings: dict[str, list[str]] = {}
    for character in filter(None, common):
        reading = pypinyin.lazy_pinyin(character, style=pypinyin.Style.TONE3)[0]
        readings.setdefault(reading, []).append(character)
    return {c: tuple(group) for group in readings.values() for c in group}
