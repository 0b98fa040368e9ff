"""Reading a guardrail's answer: four grammars as data, the verdict and the place where it stands.

Nothing is guessed: an answer whose verdict word does not stand whole at the grammar's place, that
says two different things there, or that was cut off before it was done, is unreadable. What the
log-probabilities at that place say is `chillguard.evaluation.scoring`.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chillguard.calls import call

Verdict = Literal["safe", "unsafe", "controversial"]
# Marks that models put around a word without meaning anything by them.
_MARKUP = r"[\s*_`\"'“”]*"
_BEFORE_KEY = r"[ \t>#*_`-]*"
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?```\s*$", re.DOTALL)


class Grammar(BaseModel):
    """Where a guardrail's verdict stands, and the words for it.

    `first_word`: the answer begins with it. `keyed`: on a line `key: word`. `json`: the value of
    `key` in an object. `bracketed`: behind `[key]`. A word may mean no verdict (null: `n/a`).
    `one_token` answers are cut off behind the word on purpose.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["first_word", "keyed", "json", "bracketed"]
    key: str | None = None
    values: Mapping[str, Verdict | None] = Field(min_length=1)
    one_token: bool = False

    @model_validator(mode="after")
    def _has_its_key(self) -> "Grammar":
        if (self.kind == "first_word") == bool(self.key):
            raise ValueError(f"grammar {self.kind} {'has no' if self.key else 'needs a'} `key`")
        folded = [word.casefold() for word in self.values]
        if len(set(folded)) < len(folded):
            raise ValueError("two words of `values` differ by case only")
        return self

    def means(self, word: str) -> Verdict | None:
        """The verdict of a word, in whatever case."""
        return {known.casefold(): said for known, said in self.values.items()}[word.casefold()]


@dataclass(frozen=True)
class Reading:
    """A verdict, its word as written, and where in the answer's text the word begins."""

    verdict: Verdict
    word: str
    start: int


def read(answer: call.Answer, grammar: Grammar) -> Reading:
    """The verdict of an answer; raises `call.Unreadable` for anything else than exactly one."""
    places = list(_PLACES[grammar.kind](answer.text, grammar))
    verdicts = {grammar.means(word) for word, _ in places}
    if not places:
        raise call.Unreadable(
            f"no verdict at the place of {grammar.kind} {grammar.key or ''}".strip()
        )
    if len(verdicts) > 1:
        raise call.Unreadable("two different verdicts")
    word, start = places[0]
    verdict = grammar.means(word)
    if verdict is None:
        raise call.Unreadable(f"{word!r} is no verdict")
    is_last = start + len(word) >= len(answer.text.rstrip())
    if answer.finish_reason == "length" and is_last and not grammar.one_token:
        raise call.Unreadable("cut off at the verdict")
    return Reading(verdict, word, start)


def _first_word(text: str, grammar: Grammar) -> Iterator[tuple[str, int]]:
    """The word at the beginning; any other word of the grammar behind it counts as a second one."""
    first = re.match(_MARKUP + _word(grammar), text, re.IGNORECASE)
    if first:
        for found in re.finditer(rf"(?<!\w){_word(grammar)}", text, re.IGNORECASE):
            yield found["word"], found.start("word")


def _keyed(text: str, grammar: Grammar) -> Iterator[tuple[str, int]]:
    """The words on all lines of the key; a line with anything else behind it raises."""
    key = re.escape(grammar.key or "")
    line = rf"^{_BEFORE_KEY}{key}[ \t*_`]*[:：](?P<rest>.*)$"
    for found in re.finditer(line, text, re.IGNORECASE | re.MULTILINE):
        rest = re.fullmatch(_MARKUP + _word(grammar) + r"[\s*_`.。]*", found["rest"], re.IGNORECASE)
        if rest is None:
            raise call.Unreadable(f"no verdict behind {grammar.key!r}")
        yield rest["word"], found.start("rest") + rest.start("word")


def _bracketed(text: str, grammar: Grammar) -> Iterator[tuple[str, int]]:
    key = re.escape(grammar.key or "")
    marked = rf"[\[【]\s*{key}\s*[\]】]\s*[:：]?{_MARKUP}"
    keys = len(re.findall(rf"[\[【]\s*{key}\s*[\]】]", text, re.IGNORECASE))
    places = list(re.finditer(marked + _word(grammar), text, re.IGNORECASE))
    if len(places) < keys:
        raise call.Unreadable(f"no verdict behind [{grammar.key}]")
    yield from ((found["word"], found.start("word")) for found in places)


def _json(text: str, grammar: Grammar) -> Iterator[tuple[str, int]]:
    fenced = _FENCE.match(text)
    body, offset = (fenced[1], fenced.start(1)) if fenced else (text, 0)
    words = [value for name, value in _members(body) if name == grammar.key]
    key = re.escape(json.dumps(grammar.key, ensure_ascii=False))
    spots = [found.end() for found in re.finditer(rf'{key}\s*:\s*"\s*', body)]
    if len(words) != len(spots):
        raise call.Unreadable(f"no verdict under {grammar.key!r}")
    for value, spot in zip(words, spots, strict=True):
        word = re.fullmatch(r"\s*" + _word(grammar) + r"\s*", value, re.IGNORECASE)
        if word is None:
            raise call.Unreadable(f"no verdict under {grammar.key!r}")
        yield body[spot : spot + len(word["word"])], offset + spot


def _members(body: str) -> Sequence[tuple[str, Any]]:
    """Names and texts of the object's own members, also of one that stands twice."""
    try:
        value = json.loads(body, object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        raise call.Unreadable("not JSON") from None
    if not isinstance(value, _Members):
        raise call.Unreadable("JSON, but not an object")
    return [(name, text) for name, text in value if isinstance(text, str)]


class _Members(list[tuple[str, Any]]):
    """The members of an object in their order."""


_PLACES = {"first_word": _first_word, "keyed": _keyed, "json": _json, "bracketed": _bracketed}


def _word(grammar: Grammar) -> str:
    return _pattern(tuple(grammar.values))


@functools.cache
def _pattern(words: tuple[str, ...]) -> str:
    """One of the words, the longest first, whole: no letter or digit may follow."""
    ordered = sorted(words, key=len, reverse=True)
    return rf"(?P<word>{'|'.join(map(re.escape, ordered))})(?!\w)"
