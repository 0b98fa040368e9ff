"""Personal data in text: found by checksum-aware libraries, replaced by typed placeholders.

Runs before a text is written for the first time, and once more in cleaning. Licence plates,
addresses, social ids, passports and names have no checksum: their form and the words beside count.
"""

import contextlib
import datetime as dt
import functools
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import phonenumbers
from stdnum import luhn, numdb
from stdnum.cn import ric

from chillguard import taxonomy
from chillguard.text import postal_addresses

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+", re.ASCII)
_HANDLE = re.compile(r"(?<![A-Za-z0-9_.])@[\w\-·]{2,30}")
_DIGITS = re.compile(r"(?<![+\d])(?!0086)\d(?:[ -]?\d){12,}")
_ID_CARD = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]?\d){16}[ -]?[\dXx](?![\dA-Za-z])")
_OLD_ID_CARD = re.compile(r"(?<![\dA-Za-z])\d{15}(?![\dA-Za-z])")
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼使领][A-HJ-NP-Z][·•. -]?"
    r"(?=[A-Z]{0,3}\d|\d)(?:[DF][A-HJ-NP-Z0-9]\d{4}|\d{5}[DF]|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])"
    r"(?![A-Za-z0-9])",
    re.I,
)
_MAYBE_PHONE = re.compile(r"\d(?:[ ()-]{0,2}\d){6,}")


def _id_card(match: re.Match[str]) -> str:
    number = re.sub("[ -]", "", match.group()).upper()
    valid = ric.calc_check_digit(number) == number[-1] and _born(number[:6], number[6:14])
    return "<ID_CARD>" if valid else match.group()


def _old_id_card(match: re.Match[str]) -> str:
    """Ids of before 1999 have fifteen digits and none to check: region and date must fit."""
    number = match.group()
    return "<ID_CARD>" if _born(number[:6], f"19{number[6:12]}") else number


def _born(region: str, day: str) -> bool:
    """Whether there ever was such a region and can be such a date.

    `ric.validate` wants the region to have existed in the year of birth; ids were first given out
    in 1984, so those of older people name later regions.
    """
    if not numdb.get("cn/loc").info(region)[-1][1] or not "1900" <= day[:4] <= "2099":
        return False
    with contextlib.suppress(ValueError):
        return bool(dt.datetime.strptime(day, "%Y%m%d"))
    return False


def _plate(match: re.Match[str]) -> str:
    return "<PLATE>" if sum(map(str.isdigit, match.group())) > 2 else match.group()


def _bank_card(match: re.Match[str]) -> str:
    """The run of digits; a card number at its beginning, up to a gap or the end, is replaced."""
    run = match.group()
    for end in [len(run), *(i for i in range(len(run) - 1, 12, -1) if run[i] in " -")]:
        digits = re.sub(r"[ -]", "", run[:end])
        if 13 <= len(digits) <= 19 and luhn.is_valid(digits):
            return f"<BANK_CARD>{run[end:]}"
    return run


def _phones(text: str) -> str:
    if not _MAYBE_PHONE.search(text):
        return text
    found = list(phonenumbers.PhoneNumberMatcher(text, "CN"))
    for match in reversed(found):
        text = f"{text[: match.start]}<PHONE>{text[match.end :]}"
    return text


def _sub(
    pattern: re.Pattern[str], to: str | Callable[[re.Match[str]], str]
) -> Callable[[str], str]:
    return lambda text: pattern.sub(to, text)


@functools.cache
def _words() -> dict[str, Any]:
    found: dict[str, Any] = taxonomy.packaged("personal_data.yaml")
    return found


def _any_of(words: Sequence[str]) -> str:
    return f"(?:{'|'.join(sorted(words, key=len, reverse=True))})"


@functools.cache
def _social() -> re.Pattern[str]:
    cue = rf"(?:(?<![A-Za-z]){_any_of(_words()['social_cues'])})"
    link = r"[ ]?(?:号码|账号|帐号|号|群|id)?[ ]?(?:(?:就)?是|为|加|[:：=])?[ ]?"
    known = r"(?:[1-9]\d{4,10}|(?=[a-z_-]{0,19}[\d_-])[a-z][a-z\d_-]{5,19})"
    told = r"(?:号码|账号|帐号|号|id)?[ ]?(?:是|为|[:：=])[ ]?"
    return re.compile(
        rf"(?:{cue}(?:{told}(?=[a-z])|{link}(?={known})))(?P<behind>[a-z\d][a-z\d_-]{{4,19}})"
        rf"(?![a-z\d])|(?<![a-z\d.])(?P<before>[1-9]\d{{4,10}})[ ]?[（(]{cue}[）)]",
        re.I,
    )


def _social_id(match: re.Match[str]) -> str:
    group, text = match.lastgroup or "behind", match.group()
    start, end = match.start(group) - match.start(), match.end(group) - match.start()
    return f"{text[:start]}<SOCIAL_ID>{text[end:]}"


@functools.cache
def _passport() -> re.Pattern[str]:
    cue = _any_of(_words()["passport_cues"])
    return re.compile(
        rf"({cue}(?:号码|号)?[ ]?(?:是|为|[:：])?[ ]?)[A-Z][A-Z\d]\d{{7}}(?![A-Za-z\d])", re.I
    )


_CONTACTS = (
    *("<EMAIL>", "<ID_CARD>", "<BANK_CARD>", "<PHONE>"),
    *("<SOCIAL_ID>", "<PASSPORT>", "<PLATE>", "<ADDRESS>"),
)


@functools.cache
def _names() -> re.Pattern[str]:
    """A name behind a cue, before contact data, or behind it."""
    words = _words()
    han = "[\u4e00-\u9fff]"
    surnames = words["surnames"].replace(" ", "")
    after = rf"(?={_any_of(words['after_names'])}|[^\u4e00-\u9fff]|\Z)"
    name = rf"(?!{_any_of(words['no_names'])})(?:{_any_of(words['double_surnames'])}|[{surnames}])"
    name += rf"{han}{{1,2}}?{after}"
    contact = _any_of(_CONTACTS)
    cue = rf"{_any_of(words['name_cues'])}[ ]?[:：是叫]?[ ]?"
    start = rf"(?:\A|(?<=[^\u4e00-\u9fff])|{_any_of(words['before_names'])})"
    link = rf"[ ,，:：(（]{{0,2}}(?:{_any_of(words['after_names'])}|[ :：]){{0,4}}"
    return re.compile(
        rf"(?P<cue>{cue}){name}|(?P<start>{start}){name}(?={link}{contact})"
        rf"|(?P<contact>{contact}[ ,，:：(（]{{0,2}}){name}(?!{han})"
    )


def _name(match: re.Match[str]) -> str:
    kept = next((part for part in match.groups() if part is not None), "")
    return f"{kept}<NAME>"


def _passports(text: str) -> str:
    return _passport().sub(r"\1<PASSPORT>", text)


def _socials(text: str) -> str:
    return _social().sub(_social_id, text)


def _addresses(text: str) -> str:
    return postal_addresses.replace(text, "<ADDRESS>")


def _names_beside(text: str) -> str:
    return _names().sub(_name, text) if any(mark in text for mark in _CONTACTS) else text


_STEPS: tuple[Callable[[str], str], ...] = (
    _sub(_EMAIL, "<EMAIL>"),
    _sub(_ID_CARD, _id_card),
    _sub(_OLD_ID_CARD, _old_id_card),
    _sub(_DIGITS, _bank_card),
    _passports,
    _sub(_PLATE, _plate),
    _addresses,
    _phones,
    _socials,
    _sub(_HANDLE, "<HANDLE>"),
    _names_beside,
)


_NARROW = {ord(c) + 0xFEE0: c for c in "@.-_+" + string.digits + string.ascii_letters}
_WIDE = re.compile(f"[{re.escape(''.join(map(chr, _NARROW)))}]")
# Without one of these there is nothing to find but an address in Chinese numerals.
_LATIN = re.compile("[A-Za-z0-9@]")
_MAX_PASSES = 5


PLACEHOLDERS = (*_CONTACTS, "<HANDLE>", "<NAME>")


def replaced(texts: Iterable[str | None]) -> Counter[str]:
    """How many texts hold each kind of placeholder."""
    return Counter(mark for text in texts if text for mark in PLACEHOLDERS if mark in text)


def replace(text: str) -> str:
    """The text with personal data of all kinds of `PLACEHOLDERS` replaced.

    Full-width forms are found too; a text in which nothing is found keeps its characters.
    """
    narrow = text.translate(_NARROW) if _WIDE.search(text) else text
    clean = _passes(narrow)
    return text if clean == narrow else clean


def _passes(text: str) -> str:
    for _ in range(_MAX_PASSES):
        before = text
        for step in _STEPS if _LATIN.search(text) else (_addresses,):
            text = step(text)
        if text == before:
            break
    return text
