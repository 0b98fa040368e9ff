"""Personal data in text: found by checksum-aware libraries, replaced by typed placeholders.

Runs before a text is written for the first time, and once more in cleaning.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable

import phonenumbers
from stdnum import luhn
from stdnum.cn import ric

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+", re.ASCII)
_HANDLE = re.compile(r"(?<![A-Za-z0-9_.])@[\w\-·]{2,30}")
_DIGITS = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,}")
_ID_CARD = re.compile(r"(?<![\dA-Za-z])\d{17}[\dXx](?![\dA-Za-z])")
_MAYBE_PHONE = re.compile(r"\d(?:[ ()-]{0,2}\d){6,}")


def _id_card(match: re.Match[str]) -> str:
    return "<ID_CARD>" if ric.is_valid(match.group()) else match.group()


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


_STEPS: tuple[Callable[[str], str], ...] = (
    _sub(_EMAIL, "<EMAIL>"),
    _sub(_ID_CARD, _id_card),
    _sub(_DIGITS, _bank_card),
    _phones,
    _sub(_HANDLE, "<HANDLE>"),
)


_NARROW = {ord(c) + 0xFEE0: c for c in "@.-_+" + string.digits + string.ascii_letters}
_MAX_PASSES = 5


PLACEHOLDERS = ("<EMAIL>", "<ID_CARD>", "<BANK_CARD>", "<PHONE>", "<HANDLE>")


def replaced(texts: Iterable[str | None]) -> Counter[str]:
    """How many texts hold each kind of placeholder."""
    return Counter(mark for text in texts if text for mark in PLACEHOLDERS if mark in text)


def replace(text: str) -> str:
    """The text with e-mail, resident ids, bank cards, phones and handles replaced.

    Full-width forms are found too; a text in which nothing is found keeps its characters.
    """
    narrow = text.translate(_NARROW)
    clean = _passes(narrow)
    return text if clean == narrow else clean


def _passes(text: str) -> str:
    for _ in range(_MAX_PASSES):
        before = text
        for step in _STEPS:
            text = step(text)
        if text == before:
            break
    return text
