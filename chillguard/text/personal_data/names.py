"""Names of persons, only where the words or the data beside them leave no doubt."""

import functools
import re
from collections.abc import Iterator

from chillguard.text.personal_data import cues
from chillguard.text.personal_data.reading import CONTACT, Found

_HAN = "[\u4e00-\u9fff]"
_OTHER = "[^\u4e00-\u9fff]"


def beside_data(plain: str) -> Iterator[Found]:
    """Names behind a cue in a text with contact data, and directly beside these."""
    if CONTACT in plain:
        yield from _values(_beside(), plain)


def in_forms(plain: str) -> Iterator[Found]:
    """Names in a field of a form: `收件人：…`."""
    yield from _values(_field(), plain)


def _values(pattern: re.Pattern[str], plain: str) -> Iterator[Found]:
    for match in pattern.finditer(plain):
        yield match.start() + len(match[match.lastgroup or 0]), match.end(), "<NAME>"


def _name(end: str, *lists: str) -> str:
    """A surname of the lists and a given name of one or two characters, before `end`."""
    surnames = "".join("".join(cues.words()[name]) for name in lists).replace(" ", "")
    first = rf"(?:{cues.any_of('double_surnames')}|[{surnames}])"
    return rf"(?!{cues.any_of('no_names')}){first}{_HAN}{{1,2}}?{end}"


@functools.cache
def _field() -> re.Pattern[str]:
    end = rf"(?={_OTHER}|\Z)"
    return re.compile(
        rf"(?P<cue>{cues.any_of('name_fields')} ?: ?){_name(end, 'surnames', 'rare_surnames')}"
    )


@functools.cache
def _beside() -> re.Pattern[str]:
    behind = cues.any_of("after_names")
    name = _name(rf"(?={behind}|{_OTHER}|\Z)", "surnames")
    cue = rf"{cues.any_of('name_cues')} ?[:是叫]? ?"
    start = rf"(?:\A|(?<={_OTHER})|{cues.any_of('before_names')})"
    link = rf"[ ,:(]{{0,2}}(?:{behind}|[ :]){{0,4}}"
    return re.compile(
        rf"(?P<cue>{cue}){name}|(?P<start>{start}){name}(?={link}{CONTACT})"
        rf"|(?P<contact>{CONTACT}[ ,:(]{{1,2}}){name}(?!{_HAN})"
    )
