"""Guards on generated prompts: what a model returned in place of a user's query, or beside it.

Every check names a reason and what it rests on. Which rows are checked, and what happens to those
that fail, is the business of their stage; model-free transforms are exempt.
"""

import functools
import re
from collections.abc import Collection
from typing import Any, TypedDict

import ahocorasick
from pydantic import BaseModel, ConfigDict, Field

from chillguard import taxonomy
from chillguard.calls import refusals
from chillguard.tables.reasons import Drop, Reason, dropped
from chillguard.text import matching

_Found = tuple[Reason, str] | None
_LISTED = re.compile(r"(?m)^\s*(?:\d{1,2}\s*[.、)）]|[-*•])\s*\S")
# Nobody ends a question and goes on with a semicolon, or numbers it 1 and the next one 2.
_JOINED = re.compile(r"[?？]\s*[;；]\s*\S|^\s*1\s*[.、)）].*?[?？。;；]\s*2\s*[.、)）]\s*\D")
# Shorter labels are ordinary words of the language.
_MIN_LABEL, _MIN_ENGLISH = 6, 12


class GuardConfig(BaseModel):
    """Bounds of generated prompts.

    `max_copied` is the share of common shingles (Jaccard) from which a rewrite counts as a copy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = Field(4, ge=0)
    max_chars: int = Field(1000, ge=1)
    max_copied: float = Field(0.9, gt=0.0, le=1.0)
    shingle: int = Field(3, ge=1)


class Guarded(TypedDict):
    """What a guard looks at."""

    text: str | None
    lang: str | None
    drop_reason: str | None


def check(
    row: Guarded,
    config: GuardConfig,
    languages: Collection[str],
    categories: taxonomy.Taxonomy,
    source: str | None = None,
) -> Drop | None:
    """Reason and evidence of the first fault; None for a row that passes.

    `source` is the text that a rewrite must differ from. A row that is dropped already passes.
    """
    text = row["text"]
    if text is None or row["drop_reason"]:
        return None
    fault = (
        _length(text, config)
        or ((Reason.REFUSAL, "declines the request") if refusals.declines(text) else None)
        or _meta(text)
        or _several(text)
        or _label(text, categories)
        or (None if row["lang"] in languages else (Reason.LANGUAGE, f"detected {row['lang']}"))
        or _copy(text, source, config)
    )
    return dropped(*fault) if fault else None


def _length(text: str, config: GuardConfig) -> _Found:
    if len(text) < config.min_chars:
        return Reason.TOO_SHORT, f"{len(text)} characters"
    if len(text) > config.max_chars:
        return Reason.TOO_LONG, f"{len(text)} characters"
    return None


def _meta(text: str) -> _Found:
    found = _openings().match(text.strip())
    return (Reason.META_TEXT, f"begins with {found.group()[:16]!r}") if found else None


def _several(text: str) -> _Found:
    # A list after a sentence is one prompt in points.
    count = len(_LISTED.findall(text)) if _LISTED.match(text) else 0
    if count > 1:
        return Reason.SEVERAL_PROMPTS, f"a list of {count}"
    return (Reason.SEVERAL_PROMPTS, "questions in a row") if _JOINED.search(text) else None


def _label(text: str, categories: taxonomy.Taxonomy) -> _Found:
    finder = _telling(categories.labels)
    # An automaton without words cannot search.
    places = [place for _, place in finder.iter(text.casefold())] if finder else []
    if not places:
        return None
    return Reason.CATEGORY_LEAK, f"label of {categories.labels[min(places)][1]}"


@functools.cache
def _telling(labels: tuple[tuple[str, str], ...]) -> Any:
    """An automaton of the labels that are no ordinary words; each leads to its first place."""
    finder = ahocorasick.Automaton()
    for place, (label, _) in reversed(list(enumerate(labels))):
        if len(label) >= (_MIN_ENGLISH if label.isascii() else _MIN_LABEL):
            finder.add_word(label.casefold(), place)
    finder.make_automaton()
    return finder


def _copy(text: str, source: str | None, config: GuardConfig) -> _Found:
    if source is None:
        return None
    pair = [matching.shingles(matching.match_text(one), config.shingle) for one in (text, source)]
    score = matching.jaccard(*pair)
    if score < config.max_copied:
        return None
    return Reason.COPY, f"jaccard={score:.3f} with its source"


@functools.cache
def _openings() -> re.Pattern[str]:
    return re.compile("|".join(taxonomy.packaged("meta_openings.yaml")), re.IGNORECASE)
