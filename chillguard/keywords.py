"""Keywords (paper section 3.1): seeds per micro category, and their expansion to a target.

The pool is state: it grows from refresh to refresh and never loses or changes a keyword.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import ahocorasick
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.calls import call, roles
from chillguard.tables import lineage
from chillguard.tables.rows import Keyword, SeedKeyword
from chillguard.taxonomy import Taxonomy, TaxonomyError
from chillguard.text import matching, screening
from prompts import named, render

TEMPLATE = "keywords/expand"
Form = Literal["zh", "en"]
_FORMS: tuple[Form, ...] = ("zh", "en")


class Finder:
    """Finds the keywords of a pool in texts, all at once (Aho-Corasick), whatever their case."""

    def __init__(self, pool: Iterable[SeedKeyword], languages: Sequence[Form] = _FORMS) -> None:
        self._automaton = ahocorasick.Automaton()
        for row in pool:
            for form in languages:
                term = row[form].lower()
                # Of two keywords with one form, the one with the smaller id is found.
                known = self._automaton.get(term, row["keyword_id"])
                self._automaton.add_word(term, min(known, row["keyword_id"]))
        if self._automaton:
            self._automaton.make_automaton()

    def first(self, text: str) -> str | None:
        """Id of the keyword whose occurrence ends first, the longest of those; None without any."""
        if not self._automaton:
            return None
        found: tuple[int, str] | None = next(self._automaton.iter(text.lower()), None)
        return found[1] if found else None


class KeywordsConfig(BaseModel):
    """Keyword expansion; the paper's pool is about 80 per micro category (section 3.1).

    `targets` sets single categories apart. An answer is asked for `per_request` keywords at most:
    more would not fit in its tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: int = Field(80, ge=1)
    targets: Mapping[str, int] = {}
    per_request: int = Field(60, ge=1)
    rounds: int = Field(6, ge=0)
    sampling: call.Sampling = call.Sampling(temperature=0.7, max_tokens=2048)

    def wanted(self, code: str) -> int:
        """Target size of a category's pool."""
        return self.targets.get(code, self.target)


def seed_rows(document: Any, taxonomy: Taxonomy, where: str) -> pa.Table:
    """The `seed_keywords` table from a parsed YAML file: category code to list of {zh, en}.

    Raises `TaxonomyError` for an unknown or missing category, and for a term that stands twice.
    """
    if not isinstance(document, dict) or set(document) != set(taxonomy.codes):
        strange = sorted(set(document or ()) ^ set(taxonomy.codes))
        raise TaxonomyError(f"keyword file {where}: categories differ from the taxonomy: {strange}")
    rows: list[SeedKeyword] = []
    seen: dict[str, str] = {}
    for code, entries in document.items():
        for entry in entries:
            form = matching.match_text(entry["zh"])
            if form in seen:
                raise TaxonomyError(
                    f"keyword file {where}: {entry['zh']!r} of {code} stands in {seen[form]} too"
                )
            seen[form] = code
            rows.append(_keyword(code, entry["zh"], entry["en"]))
    return lineage.SEED_KEYWORDS.build(rows)


def expand(
    pool: pa.Table, seeds: pa.Table, taxonomy: Taxonomy, config: KeywordsConfig, ask: call.Ask
) -> pa.Table:
    """The `expanded_keywords` table: pool and seeds, and what the expander adds up to the target.

    Each round asks once per category that is short, until a round brings it nothing new: so the
    same pool always ends in the same requests. The pool's own keywords always stay. Raises
    `TaxonomyError` for a target of a category that does not exist.
    """
    strange = sorted(set(config.targets) - set(taxonomy.codes))
    if strange:
        raise TaxonomyError(
            f"settings.keywords.targets: the taxonomy has no category {strange[0]!r}; name one of "
            f"{', '.join(taxonomy.codes)}"
        )
    rows = lineage.EXPANDED_KEYWORDS.rows(pool)
    taken = {form for row in rows for form in _forms(row)}
    for seed in lineage.SEED_KEYWORDS.rows(seeds):
        _take(rows, taken, {**seed, "provenance": "seed", "call_key": None})
    growing = set(taxonomy.codes)
    for _ in range(config.rounds):
        requests = _requests(rows, [c for c in taxonomy.codes if c in growing], taxonomy, config)
        outcomes = sorted(ask(roles.EXPANDER, requests, parse), key=lambda one: one.row_id)
        growing = {
            outcome.row_id
            for outcome in outcomes
            if _grow(rows, taken, outcome, config.wanted(outcome.row_id))
        }
    return lineage.EXPANDED_KEYWORDS.build(rows)


def parse(answer: call.Answer) -> list[tuple[str, str]]:
    """The (Chinese, English) pairs of an answer."""
    entries = call.parse_json(answer).get("keywords")
    if not isinstance(entries, list):
        raise call.Unreadable("no list under `keywords`")
    pairs: list[tuple[Any, Any]] = [
        (entry.get("zh"), entry.get("en")) for entry in entries if isinstance(entry, dict)
    ]
    return [(zh.strip(), en.strip()) for zh, en in pairs if _is_term(zh) and _is_term(en)]


def under_filled(table: pa.Table, taxonomy: Taxonomy, config: KeywordsConfig) -> dict[str, int]:
    """How many keywords each short category still lacks."""
    rows = lineage.EXPANDED_KEYWORDS.rows(table)
    short = {code: config.wanted(code) - _size(rows, code) for code in taxonomy.codes}
    return {code: lack for code, lack in short.items() if lack > 0}


def by_category(table: pa.Table) -> dict[str, list[Keyword]]:
    """Keyword rows by micro category."""
    found: dict[str, list[Keyword]] = defaultdict(list)
    for row in lineage.EXPANDED_KEYWORDS.rows(table):
        found[row["micro_category"]].append(row)
    return found


def _grow(
    rows: list[Keyword],
    taken: set[tuple[str, str]],
    outcome: call.Outcome[list[tuple[str, str]]],
    wanted: int,
) -> bool:
    before = len(rows)
    for zh, en in outcome.value or ():
        if _size(rows, outcome.row_id) < wanted:
            word = _keyword(outcome.row_id, zh, en)
            expanded: Keyword = {**word, "provenance": "expanded", "call_key": outcome.call_key}
            _take(rows, taken, expanded)
    return len(rows) > before


def _requests(
    rows: Sequence[Keyword], codes: Iterable[str], taxonomy: Taxonomy, config: KeywordsConfig
) -> list[call.ChatRequest]:
    found = []
    for code in codes:
        existing = sorted(row["zh"] for row in rows if row["micro_category"] == code)
        lack = config.wanted(code) - len(existing)
        if lack > 0:
            values = {
                "macro": taxonomy.macro_of[code],
                "micro": taxonomy.micro[code],
                "existing": existing,
                "wanted": min(lack, config.per_request),
            }
            found.append(
                call.ChatRequest(
                    row_id=code,
                    messages=call.messages(render(TEMPLATE, values)),
                    sampling=config.sampling,
                    answer_schema=_ANSWER,
                    template=named(TEMPLATE),
                )
            )
    return found


def _keyword(code: str, zh: str, en: str) -> SeedKeyword:
    key = identity.digest("keyword", code, zh)
    return {"keyword_id": key, "micro_category": code, "zh": zh, "en": en}


def _take(rows: list[Keyword], taken: set[tuple[str, str]], keyword: Keyword) -> None:
    """Add a keyword unless one of its forms is there; of a seed, the Chinese one counts alone."""
    forms = _forms(keyword)
    new = forms[0] not in taken if keyword["provenance"] == "seed" else taken.isdisjoint(forms)
    if new and forms[0][1] and not screening.screen(f"{keyword['zh']} {keyword['en']}"):
        taken.update(forms)
        rows.append(keyword)


def _forms(keyword: SeedKeyword) -> list[tuple[str, str]]:
    return [(name, matching.match_text(keyword[name])) for name in _FORMS]


def _size(rows: Iterable[Keyword], code: str) -> int:
    return sum(row["micro_category"] == code for row in rows)


def _is_term(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= 40


_TERM = {"type": "string", "minLength": 1, "maxLength": 40}
_ANSWER: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "keywords": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"zh": _TERM, "en": _TERM},
                "required": ["zh", "en"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["keywords"],
    "additionalProperties": False,
}
