"""Candidates (paper section 3.2): all origins in one table, English text in Chinese.

How a text is translated is `resources.translation`; here is which rows are, and what becomes of
what could not be.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from chillguard import identity, intake, language, schema

Row = dict[str, Any]


class TranslationConfig(BaseModel):
    """How many real prompts enter the data set themselves: the paper kept 3,100 safe and 597
    unsafe of 46,742 (section 3.1), the others only seed rewrites. None keeps all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    retained_safe: int | None = 3100
    retained_unsafe: int | None = 597


def candidates(tables: Iterable[pa.Table], config: TranslationConfig) -> list[Row]:
    """Kept rows of all origins; rows that only seed rewrites, or are in no language of ours, are
    dropped here.
    """
    rows: list[Row] = [
        row for table in tables for row in table.to_pylist() if row["drop_reason"] is None
    ]
    retained = _retained(rows, config)
    for row in rows:
        if row["origin"] == "real" and row["prompt_id"] not in retained:
            row |= {"drop_reason": "not_retained", "drop_evidence": "seeds rewrites only"}
        elif row["lang"] not in ("zh", "en"):
            row |= {"drop_reason": "language", "drop_evidence": f"detected {row['lang']}"}
    return rows


def english(rows: Iterable[Row]) -> list[Row]:
    """The kept rows that need translation."""
    return [row for row in rows if row["drop_reason"] is None and row["lang"] == "en"]


def translated(rows: Sequence[Row], originals: Sequence[Row], texts: Sequence[str]) -> pa.Table:
    """The `candidate_prompts` table; `texts` are the translations of `originals`, in order."""
    for row, text in zip(originals, texts, strict=True):
        admitted = intake.admit(text)
        if admitted.drop_reason:
            row |= {"text": None, "text_hash": admitted.text_hash}
            row |= {"drop_reason": admitted.drop_reason, "drop_evidence": admitted.drop_evidence}
        elif not admitted.text or language.detect(admitted.text) != "zh":
            row |= {"drop_reason": "untranslated", "drop_evidence": "no Chinese came back"}
        else:
            row |= {"translated_from": row["text"], "text": admitted.text, "lang": "zh"}
            row["text_hash"] = admitted.text_hash
    return schema.CANDIDATE_PROMPTS.build(rows)


def _retained(rows: Iterable[Row], config: TranslationConfig) -> set[str]:
    real = [row for row in rows if row["origin"] == "real"]
    unsafe = [row["prompt_id"] for row in real if row["intended_label"] == "unsafe"]
    others = [row["prompt_id"] for row in real if row["intended_label"] != "unsafe"]
    found: set[str] = set()
    for ids, limit in ((unsafe, config.retained_unsafe), (others, config.retained_safe)):
        found |= set(ids if limit is None else identity.rendezvous("retained", ids, limit))
    return found
