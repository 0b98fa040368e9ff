"""Cleaning (paper section 3.2): second personal-data pass, length, exact and near-duplicates.

Greedy survivors in the order already released > real > RAG > rewrite > public, then id: a row
goes only for a kept row, which is named. Inside a family only equal stored text is a duplicate.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity, matching, near_duplicates, personal_data, schema

Row = dict[str, Any]
_RANK = {origin: rank for rank, origin in enumerate(schema.ORIGINS)}


class CleaningConfig(BaseModel):
    """Length bounds in characters and the two near-duplicate thresholds (Jaccard)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = 5
    max_chars: int = 1000
    min_distinct_chars: int = 3
    duplicate_threshold: float = Field(0.7, gt=0.0, lt=1.0)
    leak_threshold: float = Field(0.7, gt=0.0, lt=1.0)
    shingles: near_duplicates.NearDuplicateConfig = near_duplicates.NearDuplicateConfig()


def clean(candidates: pa.Table, released: Collection[str], config: CleaningConfig) -> pa.Table:
    """The `clean_prompts` table: every kept candidate, dropped or not.

    `released` are the ids of all earlier releases, which take precedence.
    """
    rows: list[Row] = [row for row in candidates.to_pylist() if row["drop_reason"] is None]
    for row in rows:
        _normalise(row)
        row["drop_reason"], row["drop_evidence"] = _length(row, config)
    drop_duplicates(rows, released, config)
    return schema.CLEAN_PROMPTS.build(rows)


def drop_duplicates(rows: Sequence[Row], released: Collection[str], config: CleaningConfig) -> None:
    """Set `drop_reason` and evidence on every kept row that duplicates another kept row."""
    ordered = sorted(
        (row for row in rows if row["drop_reason"] is None),
        key=lambda row: (row["prompt_id"] not in released, *_base_order(row)),
    )
    for row, reason, evidence in _Survivors(ordered, config).losers():
        row["drop_reason"], row["drop_evidence"] = reason, evidence


class _Survivors:
    """One greedy pass over rows in order of precedence."""

    def __init__(self, ordered: Sequence[Row], config: CleaningConfig) -> None:
        self._rows = ordered
        self._config = config
        texts = [row["match_text"] for row in ordered]
        found = near_duplicates.signatures(texts, config.shingles)
        self._buckets = near_duplicates.buckets(found, config.duplicate_threshold, config.shingles)
        self._members: dict[int, list[int]] = {}
        self._shingles: dict[int, set[str]] = {}
        self._stored: dict[tuple[str, str], int] = {}
        self._matched: dict[str, list[int]] = {}

    def losers(self) -> Iterable[tuple[Row, str, str]]:
        """Each row that goes, with its reason and the kept twin."""
        for i, row in enumerate(self._rows):
            twin = self._twin(i)
            if twin is None:
                self._keep(i)
            else:
                j, score = twin
                reason = "near_duplicate" if score < 1.0 else "duplicate"
                yield row, reason, f"twin={self._rows[j]['prompt_id']} jaccard={score:.3f}"

    def _twin(self, i: int) -> tuple[int, float] | None:
        row = self._rows[i]
        own = self._stored.get((row["family_id"], row["text"]))
        if own is not None:
            return own, 1.0
        found = [(j, 1.0) for j in self._foreign(i, self._matched.get(row["match_text"], ()))]
        # A twin that precedes by birth is named before one that only precedes by having been
        # released: so a run after the release names the same twin as the run that made it.
        return min(
            [*found, *self._near(i)],
            key=lambda pair: (self._later(i, pair[0]), -pair[1], self._rows[pair[0]]["prompt_id"]),
            default=None,
        )

    def _near(self, i: int) -> list[tuple[int, float]]:
        numbers = [int(n) for n in self._buckets[i] if n >= 0]
        if not numbers:
            return []
        row = self._rows[i]
        size, threshold = self._config.shingles.shingle, self._config.duplicate_threshold
        mine = self._shingles[i] = matching.shingles(row["match_text"], size)
        candidates = {j for number in numbers for j in self._members.get(number, ())}
        scored = [
            (j, matching.jaccard(mine, self._shingles[j])) for j in self._foreign(i, candidates)
        ]
        return [(j, score) for j, score in scored if score >= threshold]

    def _keep(self, i: int) -> None:
        row = self._rows[i]
        self._stored[row["family_id"], row["text"]] = i
        self._matched.setdefault(row["match_text"], []).append(i)
        for number in self._buckets[i]:
            if number >= 0:
                self._members.setdefault(int(number), []).append(i)

    def _foreign(self, i: int, others: Iterable[int]) -> list[int]:
        family = self._rows[i]["family_id"]
        return [j for j in others if self._rows[j]["family_id"] != family]

    def _later(self, i: int, j: int) -> bool:
        return _base_order(self._rows[j]) > _base_order(self._rows[i])


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
    text = personal_data.replace(row["text"])
    if text != row["text"]:
        row["text"], row["text_hash"] = text, identity.text_hash(text)
    row["match_text"] = matching.match_text(text)


def _length(row: Row, config: CleaningConfig) -> tuple[str | None, str | None]:
    size = len(row["text"])
    if size < config.min_chars:
        return "too_short", f"{size} characters"
    if size > config.max_chars:
        return "too_long", f"{size} characters"
    distinct = len(set(row["match_text"]))
    if distinct < config.min_distinct_chars:
        return "meaningless", f"{distinct} distinct characters"
    return None, None


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
