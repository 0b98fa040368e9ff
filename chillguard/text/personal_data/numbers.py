"""Numbers that reach or name a person: phones, resident ids of the mainland, bank cards.

Digits are read in every spelling and with marks between them. A number counts by its check digit,
its region and date, or its form; how it is cut into groups and the words beside it decide the rest.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence

import phonenumbers
from stdnum import luhn, numdb
from stdnum.cn import ric

from chillguard.text.personal_data import cues
from chillguard.text.personal_data.digits import (
    COUNTRY,
    GROUPS,
    LONGEST,
    SHORTEST,
    Number,
    Run,
    runs,
)
from chillguard.text.personal_data.reading import Found

_UNIONPAY = re.compile(r"62\d{14}(?:\d{3})?")
# UnionPay of other lengths; Visa, Mastercard, JCB, Discover; American Express; older UnionPay.
_ISSUED = re.compile(
    r"62\d{14,17}|(?:4\d|5[1-5]|2[2-7]|35|60|65)\d{14}|3[47]\d{13}|9558\d{15}|60\d{17}"
)


def find(pattern: re.Pattern[str], plain: str) -> Iterator[Found]:
    """Every number with its kind in the rows of digits that a pattern of `RUNS` sees."""
    for run in runs(pattern, plain):
        group, lists = 0, run.lists()
        while group < len(run.starts):
            if group in lists:
                group = lists[group]
                continue
            end, mark = _first_kind(plain, run, group)
            if mark:
                yield *run.span(plain, group, end), mark
            group = end


def _first_kind(plain: str, run: Run, group: int) -> tuple[int, str | None]:
    """Behind which group the longest number ends that begins at this one, and its kind."""
    for end in run.ends(group):
        text = run.digits[run.bounds[group] : run.bounds[end]]
        kinds = [(mark, fits) for form, mark, fits in _KINDS[len(text)] if form.fullmatch(text)]
        number = run.number(plain, group, end) if kinds else None
        for mark, fits in kinds:
            if number and fits(number):
                return end, mark
    return group + 1, None


def _inside_a_code(number: Number) -> bool:
    return bool(re.search(r"[A-Za-z]\Z", number.before))


def _is_resident_id(number: Number) -> bool:
    digits = number.digits
    if _inside_a_code(number) or not born(digits[:6], digits[6:14]):
        return False
    return ric.calc_check_digit(digits) == digits[-1] or number.cue == "id"


def _is_old_resident_id(number: Number) -> bool:
    """Ids of before 1999 have fifteen digits and none to check: region and date must fit."""
    digits = number.digits
    if _inside_a_code(number) or number.cue in ("order", "card"):
        return False
    plain = len(number.sizes) == 1 or number.hidden or number.cue == "id"
    return plain and born(digits[:6], f"19{digits[6:12]}")


def _is_card(number: Number) -> bool:
    issued = _ISSUED.fullmatch(number.digits) and number.cut_as("card")
    if not issued and number.cue != "card":
        return False
    if _inside_a_code(number) or not luhn.is_valid(number.digits):
        return False
    return number.cue != "order" or bool(issued and _UNIONPAY.fullmatch(number.digits))


def _is_mobile(number: Number) -> bool:
    if number.sizes[0] == len(number.digits) > 11:
        return number.plus or number.digits[0] == "0" or number.cue == "phone"
    if len(number.sizes) == 1 and number.outer[0] == ".":
        return number.cue == "phone"
    return number.cut_as("mobile") or number.cue == "phone"


def _is_landline(number: Number) -> bool:
    if number.digits[0] != "0" and not number.plus:
        return False
    code = COUNTRY.match(number.digits)
    valid = _valid(number.digits[code.end() :] if code else number.digits, "CN")
    return valid and (number.cut_as("landline") or number.cue == "phone")


def _is_of_taiwan(number: Number) -> bool:
    return _valid(number.digits, "TW") and (number.cut_as("taiwan") or number.cue == "phone")


def _is_local(number: Number) -> bool:
    return number.sizes in GROUPS["local"] and cues.phone_before(number.before)


def _is_abroad(number: Number) -> bool:
    if not number.plus and not number.digits.startswith("00"):
        return False
    with contextlib.suppress(phonenumbers.NumberParseException):
        parsed = phonenumbers.parse(f"+{number.digits.removeprefix('00')}")
        near = parsed.country_code in (86, 852, 853, 886)
        test = phonenumbers.is_possible_number if near else phonenumbers.is_valid_number
        return bool(test(parsed))
    return False


def _valid(digits: str, region: str) -> bool:
    with contextlib.suppress(phonenumbers.NumberParseException):
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(digits, region)))
    return False


def born(region: str, day: str) -> bool:
    """Whether there ever was such a region and can be such a date.

    `ric.validate` wants the region to have existed in the year of birth; ids were first given out
    in 1984, so those of older people name later regions.
    """
    if not "1900" <= day[:4] <= "2099" or not numdb.get("cn/loc").info(region)[-1][1]:
        return False
    with contextlib.suppress(ValueError):
        return bool(dt.datetime.strptime(day, "%Y%m%d"))
    return False


_Fit = Callable[[Number], bool]
_ALL: list[tuple[str, str, _Fit, Sequence[int]]] = [
    (r"\d{17}[\dX]", "<ID_CARD>", _is_resident_id, [18]),
    (r"[2-69]\d+", "<BANK_CARD>", _is_card, range(13, 20)),
    (r"\d{15}", "<ID_CARD>", _is_old_resident_id, [15]),
    (r"(?:0086|86)?1[3-9]\d{9}", "<PHONE>", _is_mobile, [11, 13, 15]),
    (r"(?:0086|86|0)(?:10|2\d|[3-9]\d\d)[2-8]\d{6,7}", "<PHONE>", _is_landline, range(10, 16)),
    (r"09\d{8}|0[2-8]\d{7,8}", "<PHONE>", _is_of_taiwan, [9, 10]),
    (r"[2-9]\d{6,7}", "<PHONE>", _is_local, [7, 8]),
    (r"(?:00)?[1-9]\d{6,14}", "<PHONE>", _is_abroad, range(8, 18)),
]
_KINDS: dict[int, list[tuple[re.Pattern[str], str, _Fit]]] = {
    size: [(re.compile(form), mark, fit) for form, mark, fit, sizes in _ALL if size in sizes]
    for size in range(SHORTEST, LONGEST + 1)
}
