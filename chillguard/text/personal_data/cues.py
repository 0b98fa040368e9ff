"""Words beside which personal data stands, from `data/personal_data.yaml`."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence

from chillguard import taxonomy


@functools.cache
def words() -> Mapping[str, Sequence[str]]:
    """The lists of words by name."""
    lists: Mapping[str, Sequence[str]] = taxonomy.packaged("personal_data.yaml")
    return lists


def any_of(name: str) -> str:
    """A pattern of the words of one list."""
    return alternatives(words()[name])


def alternatives(choices: Iterable[str]) -> str:
    """A pattern of these words, the longest first."""
    return f"(?:{'|'.join(map(re.escape, sorted(choices, key=len, reverse=True)))})"


def nearest(before: str, after: str) -> str | None:
    """What the nearest words say that a number is: phone, id, card, order; None if they do not."""
    pattern = _kinds()
    behind = [match.lastgroup for match in pattern.finditer(before)]
    if behind:
        return behind[-1]
    ahead = pattern.search(after)
    return ahead.lastgroup if ahead else None


def phone_before(before: str) -> bool:
    """Whether a phone is announced directly before a number."""
    return bool(_phone_before().search(before))


@functools.cache
def _kinds() -> re.Pattern[str]:
    kinds = ("phone", "id", "card", "order")
    return re.compile("|".join(f"(?P<{kind}>{any_of(f'{kind}_cues')})" for kind in kinds), re.I)


@functools.cache
def _phone_before() -> re.Pattern[str]:
    return re.compile(rf"{any_of('phone_cues')}(?:号码|号)?[是为]?[: (]{{0,2}}\Z", re.I)
