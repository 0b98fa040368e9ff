"""Guards on generated prompts: what a model returned in place of a user's query, or beside it.

Every check names a reason and what it rests on. Which rows are checked, and what happens to those
that fail, is the business of their stage; model-free transforms are exempt.
"""

import functools
import re
from collections.abc import Collection, Mapping
from typing import Any

import ahocorasick
from pydantic import BaseModel, ConfigDict, Field

from chillguard import taxonomy
from chillguard.calls import refusals
from chillguard.text import matching

Fault = dict[str, str]
_Found = tuple[str, str] | None
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


def check(
    row: Mapping[str, Any],
    config: GuardConfig,
    languages: Collection[str],
    categories: taxonomy.Taxonomy,
    source: str | None = None,
) -> Fault:
    """Columns `drop_reason` and `drop_evidence` of the first fault; none for a row that passes.

    `source` is the text that a rewrite must differ from. A row that is dropped already passes.
    """
    text = row["text"]
    if text is None or row.get("drop_reason"):
        return {}
    reason, evidence = (
        _length(text, config)
        or (("refusal", "declines the request") if refusals.declines(text) else None)
        or _meta(text)
        or _several(text)
        or _label(text, categories)
        or (None if row["lang"] in languages else ("language", f"detected {row['lang']}"))
        or _copy(text, source, config)
        or (None, None)
    )
    return {"drop_reason": reason, "drop_evidence": evidence} if reason and evidence else {}


def _length(text: str, config: GuardConfig) -> _Found:
    if len(text) < config.min_chars:
        return "too_short", f"{len(text)} characters"
    if len(text) > config.max_chars:
        return "too_long", f"{len(text)} characters"
    return None


def _meta(text: str) -> _Found:
    found = _openings().match(text.strip())
    return ("meta_text", f"begins with {found.group()[:16]!r}") if found else None


def _several(text: str) -> _Found:
    # A list after a sentence is one prompt in points.
    count = len(_LISTED.findall(text)) if _LISTED.match(text) else 0
    if count > 1:
        return "several_prompts", f"a list of {count}"
    return ("several_prompts", "questions in a row") if _JOINED.search(text) else None


def _label(text: str, categories: taxonomy.Taxonomy) -> _Found:
    finder = _telling(categories.labels)
    # An automaton without words cannot search.
    places = [place for _, place in finder.iter(text.casefold())] if finder else []
    return ("category_leak", f"label of {categories.labels[min(places)][1]}") if places else None


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
    return ("copy", f"jaccard={score:.3f} with its source") if score >= config.max_copied else None


@functools.cache
def _openings() -> re.Pattern[str]:
    return re.compile("|".join(taxonomy.packaged("meta_openings.yaml")), re.IGNORECASE)
