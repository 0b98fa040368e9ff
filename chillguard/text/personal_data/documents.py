"""Documents of persons and their cars: passports, travel permits, ids of Hong Kong, Macau and
Taiwan, licence plates.
"""

import functools
import re
from collections.abc import Iterator

from chillguard.text.personal_data import cues
from chillguard.text.personal_data.reading import Found, matches

_LINK = r"(?:号码|编号|号)?(?:是|为)?[: ]{0,2}"
_HONG_KONG = re.compile(
    r"(?<![A-Za-z\d])(?P<letters>[A-Z]{1,2}) ?(?P<digits>\d{6}) ?"
    r"(?:\((?P<check>[\dA])\)|(?P<bare>[\dA]))(?![A-Za-z\d])"
)
_TAIWAN = re.compile(r"(?<![京沪粤A-Za-z\d])[A-Z][1289]\d{8}(?![A-Za-z\d])")
_TAIWAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"  # in the order of their numbers, from 10
_MACAU = re.compile(r"(?<![A-Za-z\d])[157](?:\d{6} ?\(\d\)|/\d{6}/\d)(?![A-Za-z\d])")
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领] ?[A-HJ-NP-Z][·•・._ -]?"
    r"(?=[A-Z]{0,3}\d|\d)(?:[DF][A-HJ-NP-Z0-9]\d{4}|\d{5}[DF]|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])"
    r"(?![A-Za-z0-9])",
    re.I,
)
_AROUND = 16


def plates(plain: str) -> Iterator[Found]:
    """Licence plates of the mainland."""
    return matches(_PLATE, plain, "<PLATE>", lambda m: sum(map(str.isdigit, m.group())) > 2)


def passports(plain: str) -> Iterator[Found]:
    """Numbers of passports behind a cue."""
    yield from matches(_passport(), plain, "<PASSPORT>")


def permits(plain: str) -> Iterator[Found]:
    """Numbers of travel permits behind a cue."""
    yield from matches(_permit(), plain, "<PASSPORT>")


@functools.cache
def _passport() -> re.Pattern[str]:
    number = r"[A-Z][A-Z\d](?: ?\d){7}"
    return re.compile(
        rf"{cues.any_of('passport_cues')}{_LINK}(?P<value>{number})(?![A-Za-z\d])", re.I
    )


@functools.cache
def _permit() -> re.Pattern[str]:
    number = r"[A-Z]{0,2}(?: ?\d){7,10}"
    return re.compile(
        rf"{cues.any_of('permit_cues')}{_LINK}(?P<value>{number})(?![A-Za-z\d])", re.I
    )


def regional_ids(plain: str) -> Iterator[Found]:
    """Ids of Hong Kong, Taiwan and Macau."""
    yield from matches(_HONG_KONG, plain, "<ID_CARD>", _is_of_hong_kong)
    yield from matches(_TAIWAN, plain, "<ID_CARD>", _is_of_taiwan)
    yield from matches(_MACAU, plain, "<ID_CARD>", lambda match: _cue(match) == "id")


def _cue(match: re.Match[str]) -> str | None:
    start, end = match.span()
    return cues.nearest(match.string[max(0, start - _AROUND) : start], match.string[end : end + 8])


def _is_of_hong_kong(match: re.Match[str]) -> bool:
    """The check digit makes the weighted sum a multiple of 11; a blank before one letter is 36."""
    values = [36, *(int(letter, 36) for letter in match["letters"])][-2:]
    values += [int(digit) for digit in match["digits"]]
    check = int(match["check"] or match["bare"], 36)
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return (total + check) % 11 == 0 and (bool(match["check"]) or _cue(match) == "id")


def _is_of_taiwan(match: re.Match[str]) -> bool:
    """The letter stands for two digits; the weighted sum is a multiple of 10."""
    number = match.group()
    code = _TAIWAN_LETTERS.index(number[0]) + 10
    digits = [code // 10, code % 10, *map(int, number[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(d * w for d, w in zip(digits, weights, strict=True)) % 10 == 0 and (
        _cue(match) != "order"
    )
