"""Which prompts wait for a label, and which of these the jury judges.

How they are judged is `chillguard.labeling.jury`.
"""

from collections.abc import Iterable

import pyarrow as pa

from chillguard.tables import lineage
from chillguard.tables.rows import Clean, WithText


class ToLabel(WithText):
    """A prompt that waits for its label; `own_label` is the one that a public sample keeps."""

    own_label: str | None


def to_judge(clean: pa.Table, relabel_public: bool) -> list[ToLabel]:
    """The kept rows of `clean_prompts` that the jury judges, as far as it needs them."""
    return [row for row in to_label(clean, relabel_public) if row["own_label"] is None]


def to_label(clean: pa.Table, relabel_public: bool) -> list[ToLabel]:
    """The kept rows of `clean_prompts`, as far as labeling needs them."""
    kept = clean.filter(clean["drop_reason"].is_null())
    rows_of = lineage.CLEAN_PROMPTS.rows(
        kept.select(["prompt_id", "text", "origin", "source_label"])
    )
    owned = (
        (row, row["source_label"] if _keeps_own(row, relabel_public) else None) for row in rows_of
    )
    return [_to_label(row, own_label) for row, own_label in owned]


def unlabeled(prompts: Iterable[WithText]) -> list[ToLabel]:
    """Prompts that have no label of their own to keep."""
    return [_to_label(row, None) for row in prompts]


def _to_label(row: WithText, own_label: str | None) -> ToLabel:
    return {"prompt_id": row["prompt_id"], "text": row["text"], "own_label": own_label}


def _keeps_own(row: Clean, relabel_public: bool) -> bool:
    return row["origin"] == "public" and not relabel_public
