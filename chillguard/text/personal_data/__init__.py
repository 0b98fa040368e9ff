"""Personal data in text: found in every spelling, replaced by typed placeholders.

Runs before a text is written for the first time, and once more in cleaning. What has a check digit
is checked by it; for the rest the form and the words beside it count. `overlooked` looks with other
eyes at what was cleaned.
"""

import re
from collections import Counter
from collections.abc import Iterable

from chillguard.text import postal_addresses
from chillguard.text.personal_data import accounts, digits, documents, names, numbers, places
from chillguard.text.personal_data import overlooked as look_again
from chillguard.text.personal_data.reading import COVERED, Reading

_CONTACTS = (
    *("<EMAIL>", "<ID_CARD>", "<BANK_CARD>", "<PHONE>"),
    *("<SOCIAL_ID>", "<PASSPORT>", "<PLATE>", "<ADDRESS>"),
)
_OTHERS = ("<IP>", "<MAC>", "<GPS>", "<HANDLE>", "<NAME>")
PLACEHOLDERS = (*_CONTACTS, *_OTHERS)
_MARKS = re.compile("|".join(PLACEHOLDERS))
_MAX_PASSES = 5


def replaced(texts: Iterable[str | None]) -> Counter[str]:
    """How many texts hold each kind of placeholder."""
    return Counter(mark for text in texts if text for mark in PLACEHOLDERS if mark in text)


def replace(text: str) -> str:
    """The text with personal data of all kinds of `PLACEHOLDERS` replaced.

    What stands around a finding keeps its characters. Time grows with the length of the text.
    """
    for _ in range(_MAX_PASSES):
        before = text
        text = _pass(text)
        if text == before:
            break
    return text


def overlooked(text: str) -> list[str]:
    """Kinds of personal data that other eyes than those of `replace` still see in a text."""
    return look_again.kinds(text, PLACEHOLDERS)


def _pass(text: str) -> str:
    reading = Reading.of(text)
    reading.hide(_MARKS, lambda mark: mark in _CONTACTS)
    reading.cover(accounts.mails(reading.plain))
    reading.cover(accounts.hidden_mails(reading.plain))
    reading.cover(documents.passports(reading.plain))
    reading.cover(documents.permits(reading.plain))
    reading.cover(documents.regional_ids(reading.plain))
    reading.cover(documents.plates(reading.plain))
    reading.cover(places.network(reading.plain), COVERED)
    reading.cover(places.coordinates(reading.plain), COVERED)
    if postal_addresses.is_gapped(reading.plain):
        reading.cover_without(postal_addresses.GAP, postal_addresses.find)
    reading.cover(postal_addresses.find(reading.plain))
    for run in digits.RUNS:
        reading.cover(numbers.find(run, reading.plain))
    reading.cover(accounts.chats(reading.plain))
    reading.cover(accounts.chats_before(reading.plain))
    reading.cover(accounts.mentions(reading.plain), COVERED)
    reading.cover(names.in_forms(reading.plain), COVERED)
    reading.cover(names.beside_data(reading.plain), COVERED)
    return reading.written()
