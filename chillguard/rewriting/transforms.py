"""Model-free transforms of Chinese text: deterministic, for rewriting and the offline twins.

A surface transform changes how a text is written, not what it says; its output keeps its
characters in `text` and folds back in `match_text` as far as normalising can. All but
`full_width` change or part Han characters only; none changes a placeholder of
`chillguard.text.personal_data`, a URL or, `full_width` apart, a word of another script. A transform
that draws places takes a share of them, rounded up.
"""

import functools
import heapq
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from typing import Any

from chillguard import identity, taxonomy
from chillguard.text import personal_data

_SHARE = 3
_SEPARATORS = "·-—*"
_ZERO_WIDTH = "\u200b"
_KEPT = re.compile(
    "|".join([*map(re.escape, personal_data.PLACEHOLDERS), r"(?:https?://|www\.)[!-~]+"]), re.I
)


def full_width(text: str) -> str:
    """ASCII letters, digits and punctuation as their full-width forms; keeps the length."""
    kept = _kept(text)
    return "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and i not in kept else c for i, c in enumerate(text)
    )


def traditional(text: str) -> str:
    """Simplified characters as traditional ones; keeps the length."""
    return str(_opencc("s2t").convert(text))


def homophones(text: str) -> str:
    """A third of the common characters as another of the same reading and tone; same length."""
    others = {i: found for i, c in enumerate(text) if (found := _others(c))}
    drawn = _drawn(text, others)
    return "".join(
        others[i][_number(text, i) % len(others[i])] if i in drawn else c
        for i, c in enumerate(text)
    )


def pinyin(text: str) -> str:
    """A third of the Han characters as readings without tone, of at most six letters."""
    readings = _readings(text)
    drawn = _drawn(text, readings)
    return "".join(readings[i] if i in drawn else c for i, c in enumerate(text))


def initials(text: str) -> str:
    """Half of the words as the first letters of their readings; keeps the length.

    Words are those of two to four characters in pypinyin's list of phrases; in a text without
    any, every two neighbouring characters count as one.
    """
    readings = _readings(text)
    words = [word for word in _words(text) if readings.keys() >= set(word)]
    if not words:
        words = [range(i, i + 2) for i in readings if i + 1 in readings]
    drawn = _drawn(text, [word.start for word in words], share=2)
    places = {i for word in words if word.start in drawn for i in word}
    return "".join(readings[i][0] if i in places else c for i, c in enumerate(text))


def split_characters(text: str) -> str:
    """Characters of `data/split_characters.yaml` as their parts; at most twice as long."""
    free = set(_free(text))
    return "".join(_parts().get(c, c) if i in free else c for i, c in enumerate(text))


def variant_characters(text: str) -> str:
    """Characters of `data/variant_characters.yaml` as their other form; keeps the length."""
    return text.translate(_variants())


def inserted_symbols(text: str) -> str:
    """A separator in a third of the places between Han characters; less than twice as long."""
    return _parted(text, lambda i: _SEPARATORS[_number(text, i) % len(_SEPARATORS)])


def zero_width(text: str) -> str:
    """U+200B in a third of the places between Han characters; less than twice as long."""
    return _parted(text, lambda i: _ZERO_WIDTH)


def emoji(text: str) -> str:
    """Words of `data/emoji.yaml`, the longest first, as one emoji each; never longer."""
    signs = _emoji()
    return _any_of(tuple(signs)).sub(lambda match: signs[match.group()], text)


TRANSFORMS: Mapping[str, Callable[[str], str]] = {
    "full_width": full_width,
    "traditional": traditional,
    "homophones": homophones,
    "pinyin": pinyin,
    "initials": initials,
    "split_characters": split_characters,
    "variant_characters": variant_characters,
    "inserted_symbols": inserted_symbols,
    "zero_width": zero_width,
    "emoji": emoji,
}


def _ascii_width(text: str) -> str:
    """Exact for a text without full-width forms of ASCII."""
    return "".join(chr(ord(c) - 0xFEE0) if "！" <= c <= "～" else c for c in text)


def _simplified(text: str) -> str:
    """Exact for a simplified text without the few words that opencc takes for others.

    Such are 乾 and 沈船, which come back as 干 and 沉船: of random lines of 12 common characters
    1 in 10,000, beside those with 乾.
    """
    return str(_opencc("t2s").convert(text))


def _without_separators(text: str) -> str:
    """Exact for a text that has none of the separators."""
    return text.translate(dict.fromkeys(map(ord, _SEPARATORS)))


def _without_zero_width(text: str) -> str:
    """Exact for a text without U+200B."""
    return text.replace(_ZERO_WIDTH, "")


def _joined(text: str) -> str:
    """Exact for a text in which no two neighbours are the parts of a character of the table."""
    wholes = {parts: whole for whole, parts in _parts().items()}
    return _any_of(tuple(wholes)).sub(lambda match: wholes[match.group()], text)


def _without_emoji(text: str) -> str:
    """Exact for a text that has no emoji of the table."""
    return text.translate({ord(sign): word for word, sign in _emoji().items()})


INVERSES: Mapping[str, Callable[[str], str]] = {
    "full_width": _ascii_width,
    "traditional": _simplified,
    "split_characters": _joined,
    "inserted_symbols": _without_separators,
    "zero_width": _without_zero_width,
    "emoji": _without_emoji,
}


def _parted(text: str, mark: Callable[[int], str]) -> str:
    gaps = [i for i in range(1, len(text)) if _is_han(text[i - 1]) and _is_han(text[i])]
    drawn = _drawn(text, gaps)
    return "".join(mark(i) + c if i in drawn else c for i, c in enumerate(text))


def _drawn(text: str, places: Collection[int], share: int = _SHARE) -> set[int]:
    """One place in `share` by hash, rounded up: none only where there is no place."""
    wanted = math.ceil(len(places) / share)
    order = identity.ordering(text)
    return set(heapq.nsmallest(wanted, places, key=lambda i: order(str(-1 - i))[:4]))


def _number(text: str, i: int) -> int:
    return int.from_bytes(identity.hash_order(text, str(i))[:4], "big")


@functools.lru_cache(maxsize=65536)
def _is_han(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK UNIFIED")


def _kept(text: str) -> set[int]:
    return {i for match in _KEPT.finditer(text) for i in range(*match.span())}


def _free(text: str) -> list[int]:
    """Places of the Han characters that touch no placeholder, URL or word of another script.

    What is written there cannot lengthen such a word, nor make an address or handle of it.
    """
    kept = _kept(text) | {
        i for i, c in enumerate(text) if (c.isalnum() or c in "@._+-") and not _is_han(c)
    }
    return [i for i, c in enumerate(text) if _is_han(c) and not {i - 1, i + 1} & kept]


def _readings(text: str) -> dict[int, str]:
    """Reading without tone (ü is v) by place, for the free characters that have one."""
    from pypinyin.seg import mmseg

    found: list[str] = []
    for han, group in itertools.groupby(text, _is_han):
        run = "".join(group)
        found += itertools.chain(*map(_read, mmseg.seg.cut(run))) if han else run
    return {i: found[i] for i in _free(text) if found[i].isascii()}


@functools.lru_cache(maxsize=65536)
def _read(word: str) -> tuple[str, ...]:
    import pypinyin

    # One entry per character also where none has a reading; the stub knows of text only.
    one_each: Any = list
    return tuple(pypinyin.lazy_pinyin(word, errors=one_each))


def _words(text: str) -> list[range]:
    from pypinyin.seg import mmseg

    ends = [0, *itertools.accumulate(map(len, mmseg.seg.cut(text)))]
    return [range(*pair) for pair in itertools.pairwise(ends) if 2 <= pair[1] - pair[0] <= 4]


@functools.cache
def _opencc(direction: str) -> Any:
    import opencc

    return opencc.OpenCC(direction)


@functools.cache
def _parts() -> dict[str, str]:
    lefts: dict[str, dict[str, str]] = taxonomy.packaged("split_characters.yaml")
    return {whole: left + rights[whole] for left, rights in lefts.items() for whole in rights}


@functools.cache
def _variants() -> dict[int, str]:
    return {ord(c): form for c, form in _merged("variant_characters.yaml").items()}


@functools.cache
def _emoji() -> dict[str, str]:
    return _merged("emoji.yaml")


def tables() -> list[object]:
    """What the transforms look up: changes when, and only when, one of their tables does."""
    return [_parts(), sorted(_variants().items()), _emoji()]


def _merged(name: str) -> dict[str, str]:
    groups: dict[str, dict[str, str]] = taxonomy.packaged(name)
    return {key: value for group in groups.values() for key, value in group.items()}


@functools.cache
def _any_of(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))


@functools.lru_cache(maxsize=8192)
def _others(character: str) -> list[str]:
    return [c for c in _same_reading().get(character, ()) if c != character]


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
