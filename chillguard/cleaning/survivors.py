"""Cleaning (paper section 3.2): second personal-data pass, length, exact and near-duplicates.

Greedy survivors in the order already released > real > RAG > rewrite > public, then id: a row
goes only for a kept row, which is named. Inside a family a rewrite goes only for an equal stored
text; two roots, such as a real prompt and its public copy, are compared like rows of two families.
Rows of earlier releases that are no candidates any more count as kept.
"""

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.cleaning.earlier import Earlier
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason
from chillguard.text import matching, near_duplicates, personal_data

Row = dict[str, Any]
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
    rows: list[Row] = [row for row in candidates.to_pylist() if row["drop_reason"] is None]
    for row in rows:
        _normalise(row)
        row["drop_reason"], row["drop_evidence"] = _fault(row, config)
    drop_duplicates(rows, released, config, earlier)
    return lineage.CLEAN_PROMPTS.build(rows)


def drop_duplicates(
    rows: Sequence[Row],
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
    for row, reason, evidence in _Survivors(ordered, count, config, earlier).losers():
        row["drop_reason"], row["drop_evidence"] = reason, evidence


class _Survivors:
    """One greedy pass over rows in order of precedence; `earlier` stand behind those released."""

    def __init__(
        self,
        ordered: Sequence[Row],
        released: int,
        config: CleaningConfig,
        earlier: Earlier | None,
    ) -> None:
        found = near_duplicates.signatures([row["match_text"] for row in ordered], config.shingles)
        self._rows, self._gone = ordered, range(0)
        if earlier:
            self._rows = [*ordered[:released], *earlier.rows, *ordered[released:]]
            self._gone = range(released, released + len(earlier.rows))
            parts = [found[:released], earlier.signatures, found[released:]]
            found = np.concatenate(parts)
        self._finder = near_duplicates.Finder(
            found, self._match_text, config.duplicate_threshold, config.shingles
        )
        self._stored: dict[tuple[str, str], int] = {}
        self._matched: dict[str, list[int]] = {}

    def losers(self) -> Iterable[tuple[Row, str, str]]:
        """Each row that goes, with its reason and the kept twin."""
        for i, near in self._finder.candidates():
            row = self._rows[i]
            twin = None if i in self._gone else self._twin(i, near)
            if twin is None:
                self._keep(i)
            else:
                j, score = twin
                reason = Reason.NEAR_DUPLICATE if score < 1.0 else Reason.DUPLICATE
                yield row, reason, f"twin={self._rows[j]['prompt_id']} jaccard={score:.3f}"

    def _twin(self, i: int, candidates: Sequence[int]) -> tuple[int, float] | None:
        row = self._rows[i]
        own = self._stored.get((row["family_id"], row["text"]))
        if own is not None:
            return own, 1.0
        found = [(j, 1.0) for j in self._foreign(i, self._matched.get(row["match_text"], ()))]
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
        self._stored.setdefault((row["family_id"], row["text"]), i)
        if i not in self._gone:
            self._matched.setdefault(row["match_text"], []).append(i)
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
        row = self._rows[i]
        return matching.match_text(row["text"]) if i in self._gone else str(row["match_text"])


def leaks(
    train: Sequence[Row], test: Sequence[Row], config: CleaningConfig
) -> list[tuple[Row, Row, float]]:
    """Every verified pair (train row, test row, Jaccard) at or above the leak threshold."""
    rows = [*test, *train]
    texts = [matching.match_text(row["text"]) for row in rows]
    edge = len(test)
    pairs = near_duplicates.neighbours(texts, config.leak_threshold, config.shingles)
    return [(rows[j], rows[i], score) for i, j, score in pairs if i < edge <= j]


def _base_order(row: Mapping[str, Any]) -> tuple[int, str]:
    return _RANK[row["origin"]], row["prompt_id"]


def _normalise(row: Row) -> None:
    before = row["text"]
    for column in lineage.CANDIDATE_PROMPTS.where("holds_text"):
        if row[column.name] is not None:
            row[column.name] = personal_data.replace(row[column.name])
    if row["text"] != before:
        row["text_hash"] = identity.text_hash(row["text"])
    row["match_text"] = matching.match_text(row["text"])


def _fault(row: Row, config: CleaningConfig) -> tuple[str | None, str | None]:
    size = len(row["text"])
    if size < config.min_chars:
        return Reason.TOO_SHORT, f"{size} characters"
    if size > config.max_chars:
        return Reason.TOO_LONG, f"{size} characters"
    if kinds := personal_data.overlooked(row["text"]):
        evidence = f"{' and '.join(kinds)} in a spelling that is not replaced"
        return Reason.PERSONAL_DATA, evidence
    if fault := _meaningless(row["text"], config.min_distinct_chars):
        return Reason.MEANINGLESS, fault
    return None, None


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
