"""Cleaning (paper section 3.2): second personal-data pass, length, exact and near-duplicates.

Greedy survivors in the order already released > real > RAG > rewrite > public, then id: a row
goes only for a kept row, which is named. Inside a family a rewrite goes only for an equal stored
text; two roots, such as a real prompt and its public copy, are compared like rows of two families.
Rows of earlier releases that are no candidates any more count as kept.
"""

import itertools
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar, cast

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.cleaning.earlier import Earlier
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason, drop
from chillguard.tables.rows import Clean, Made, Texted, given
from chillguard.text import matching, near_duplicates, personal_data

One = TypeVar("One", bound=Texted)
Other = TypeVar("Other", bound=Texted)
_ROOTS = ("real", "public")
_RANK = {origin: rank for rank, origin in enumerate(lineage.ORIGINS)}


class CleaningConfig(BaseModel):
    """Length bounds in characters and the two near-duplicate thresholds (Jaccard).

    With `earlier_releases`, a row goes also for a released row that is no candidate any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = Field(5, ge=0)
    max_chars: int = Field(1000, ge=1)
    min_distinct_chars: int = Field(3, ge=0)
    duplicate_threshold: float = Field(0.7, gt=0.0, lt=1.0)
    leak_threshold: float = Field(0.7, gt=0.0, lt=1.0)
    earlier_releases: bool = True
    shingles: near_duplicates.NearDuplicateConfig = near_duplicates.NearDuplicateConfig()


def clean(
    candidates: pa.Table,
    released: Collection[str],
    config: CleaningConfig,
    earlier: Earlier | None = None,
) -> pa.Table:
    """The `clean_prompts` table: every kept candidate, dropped or not.

    `released` are the ids of all earlier releases, which take precedence; `earlier` those of their
    rows that are no candidates any more.
    """
    rows: list[Clean] = [
        {**row, "match_text": None}
        for row in lineage.CANDIDATE_PROMPTS.rows(candidates)
        if row["drop_reason"] is None
    ]
    for row in rows:
        _normalise(row)
        fault = _fault(given(row["text"]), config)
        if fault:
            drop(row, *fault)
    drop_duplicates(rows, released, config, earlier)
    return lineage.CLEAN_PROMPTS.build(rows)


def drop_duplicates(
    rows: Sequence[Clean],
    released: Collection[str],
    config: CleaningConfig,
    earlier: Earlier | None = None,
) -> None:
    """Set `drop_reason` and evidence on every kept row that duplicates another kept row."""
    ordered = sorted(
        (row for row in rows if row["drop_reason"] is None),
        key=lambda row: (row["prompt_id"] not in released, *_base_order(row)),
    )
    count = sum(row["prompt_id"] in released for row in ordered)
    by_id = {row["prompt_id"]: row for row in ordered}
    for key, reason, evidence in _Survivors(ordered, count, config, earlier).losers():
        drop(by_id[key], reason, evidence)


class _Survivors:
    """One greedy pass over rows in order of precedence; `earlier` stand behind those released."""

    def __init__(
        self,
        ordered: Sequence[Clean],
        released: int,
        config: CleaningConfig,
        earlier: Earlier | None,
    ) -> None:
        self._texts = [row["match_text"] for row in ordered]
        found = near_duplicates.signatures([given(text) for text in self._texts], config.shingles)
        self._rows: Sequence[Made] = ordered
        self._gone = range(0)
        if earlier:
            self._rows = [*ordered[:released], *earlier.rows, *ordered[released:]]
            blank = [None] * len(earlier.rows)
            self._texts = [*self._texts[:released], *blank, *self._texts[released:]]
            self._gone = range(released, released + len(earlier.rows))
            parts = [found[:released], earlier.signatures, found[released:]]
            found = np.concatenate(parts)
        self._finder = near_duplicates.Finder(
            found, self._match_text, config.duplicate_threshold, config.shingles
        )
        self._stored: dict[tuple[str, str], int] = {}
        self._matched: dict[str, list[int]] = {}

    def losers(self) -> Iterable[tuple[str, Reason, str]]:
        """The id of each row that goes, with its reason and the kept twin."""
        for i, near in self._finder.candidates():
            row = self._rows[i]
            twin = None if i in self._gone else self._twin(i, near)
            if twin is None:
                self._keep(i)
            else:
                j, score = twin
                reason = Reason.NEAR_DUPLICATE if score < 1.0 else Reason.DUPLICATE
                yield (
                    row["prompt_id"],
                    reason,
                    f"twin={self._rows[j]['prompt_id']} jaccard={score:.3f}",
                )

    def _twin(self, i: int, candidates: Sequence[int]) -> tuple[int, float] | None:
        row = self._rows[i]
        own = self._stored.get((row["family_id"], given(row["text"])))
        if own is not None:
            return own, 1.0
        found = [(j, 1.0) for j in self._foreign(i, self._matched.get(self._match_text(i), ()))]
        near = self._finder.verified(i, self._foreign(i, candidates))
        # A twin that precedes by birth is named before one that only precedes by having been
        # released: so a run after the release names the same twin as the run that made it.
        return min(
            [*found, *near],
            key=lambda pair: (self._later(i, pair[0]), -pair[1], self._rows[pair[0]]["prompt_id"]),
            default=None,
        )

    def _keep(self, i: int) -> None:
        row = self._rows[i]
        self._stored.setdefault((row["family_id"], given(row["text"])), i)
        if i not in self._gone:
            self._matched.setdefault(self._match_text(i), []).append(i)
        self._finder.keep(i)

    def _foreign(self, i: int, others: Iterable[int]) -> list[int]:
        """Those of `others` that are no relatives; two roots are none."""
        row = self._rows[i]
        is_root = row["origin"] in _ROOTS
        return [
            j
            for j in others
            if self._rows[j]["family_id"] != row["family_id"]
            or (is_root and j not in self._gone and self._rows[j]["origin"] in _ROOTS)
        ]

    def _later(self, i: int, j: int) -> bool:
        return j not in self._gone and _base_order(self._rows[j]) > _base_order(self._rows[i])

    def _match_text(self, i: int) -> str:
        text = self._texts[i]
        return matching.match_text(given(self._rows[i]["text"])) if text is None else text


def leaks(
    train: Sequence[One], test: Sequence[Other], config: CleaningConfig
) -> list[tuple[One, Other, float]]:
    """Every verified pair (train row, test row, Jaccard) at or above the leak threshold."""
    texts = [matching.match_text(given(row["text"])) for row in [*test, *train]]
    edge = len(test)
    pairs = near_duplicates.neighbours(texts, config.leak_threshold, config.shingles)
    return [(train[j - edge], test[i], score) for i, j, score in pairs if i < edge <= j]


def _base_order(row: Made) -> tuple[int, str]:
    return _RANK[row["origin"]], row["prompt_id"]


def _normalise(row: Clean) -> None:
    before, texts = row["text"], lineage.CANDIDATE_PROMPTS.where("holds_text")
    stored = cast("dict[str, str | None]", row)
    for name in (column.name for column in texts):
        text = stored[name]
        stored[name] = None if text is None else personal_data.replace(text)
    if row["text"] != before:
        row["text_hash"] = identity.text_hash(given(row["text"]))
    row["match_text"] = matching.match_text(given(row["text"]))


def _fault(text: str, config: CleaningConfig) -> tuple[Reason, str] | None:
    size = len(text)
    if size < config.min_chars:
        return Reason.TOO_SHORT, f"{size} characters"
    if size > config.max_chars:
        return Reason.TOO_LONG, f"{size} characters"
    if kinds := personal_data.overlooked(text):
        evidence = f"{' and '.join(kinds)} in a spelling that is not replaced"
        return Reason.PERSONAL_DATA, evidence
    if fault := _meaningless(text, config.min_distinct_chars):
        return Reason.MEANINGLESS, fault
    return None


_MARKS = re.compile("|".join(personal_data.PLACEHOLDERS))
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {
    one + other
    for row in _KEYBOARD
    for way in (row, row[::-1])
    for one, other in itertools.pairwise(way)
}
_WALKED = 0.6


def _meaningless(text: str, least: int) -> str | None:
    """Why nothing is said: too few different letters beside placeholders, or keys in a row."""
    letters = [c for c in matching.match_text(_MARKS.sub(" ", text)) if c.isalpha()]
    distinct = len(set(letters))
    if distinct < least:
        return f"{distinct} distinct letters"
    pairs = ["".join(pair) for pair in itertools.pairwise(letters)]
    walked = sum(pair in _BESIDE for pair in pairs)
    return "keys in a row" if walked > _WALKED * len(pairs) else None


def self_test(config: near_duplicates.NearDuplicateConfig) -> None:
    """Refuse a shingling that cannot tell two Chinese texts apart or find a near-copy."""
    base = "".join(chr(0x4E00 + 7 * i) for i in range(60))
    near, far = base[:-2] + "一二", base[::-1]
    one, two, three = (matching.shingles(text, config.shingle) for text in (base, near, far))
    found = near_duplicates.signatures([base, near], config)
    if matching.jaccard(one, two) < 0.8 or matching.jaccard(one, three) > 0.2 or len(one) < 20:
        raise ValueError(f"shingle length {config.shingle} does not work for Chinese text")
    if float(np.mean(found[0] == found[1])) < 0.6:
        raise ValueError("MinHash signatures do not follow Jaccard similarity")
