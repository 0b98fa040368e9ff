"""The dual-use screen: two kinds of content that are never stored, by word lists in data/.

Runs at ingestion and after every generation; only a hash and a count are kept of what it stops.
A text is stopped when every group of a rule has at least one of its terms in the text.
"""

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import ahocorasick
from pydantic import BaseModel, ConfigDict

from chillguard import taxonomy
from chillguard.text import matching


class ScreeningRule(BaseModel):
    """One rule of `data/screening.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    description: str
    all_of: tuple[tuple[str, ...], ...]


@functools.cache
def rules() -> tuple[ScreeningRule, ...]:
    """The rules that ship with the product."""
    return tuple(ScreeningRule.model_validate(rule) for rule in taxonomy.packaged("screening.yaml"))


class Screen:
    """Looks for the terms of all rules at once (Aho-Corasick), as written and as compared."""

    def __init__(self, wanted: Sequence[ScreeningRule]) -> None:
        self._rules = wanted
        self._finders = [(fold, _finder(wanted, fold)) for fold in (str.lower, matching.match_text)]

    def first(self, text: str) -> str | None:
        """The id of the first rule that stops the text; or None."""
        for fold, finder in self._finders:
            found = {place for _, places in finder.iter(fold(text)) for place in places}
            for number, rule in enumerate(self._rules if found else ()):
                if all((number, group) in found for group in range(len(rule.all_of))):
                    return rule.id
        return None


def screen(text: str) -> str | None:
    """The id of the first shipped rule that stops the text; or None."""
    return _shipped().first(text)


@functools.cache
def _shipped() -> Screen:
    return Screen(rules())


def _finder(wanted: Sequence[ScreeningRule], fold: Callable[[str], str]) -> Any:
    """An automaton of all terms; each leads to the (rule, group) pairs that it counts for."""
    places: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for number, rule in enumerate(wanted):
        for group, terms in enumerate(rule.all_of):
            for term in terms:
                places[fold(term)].add((number, group))
    automaton = ahocorasick.Automaton()
    for term, pairs in places.items():
        automaton.add_word(term, pairs)
    automaton.make_automaton()
    return automaton
