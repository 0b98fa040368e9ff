"""Real prompts and their annotation (paper section 3.1, real-world data acquisition).

Reads production prompts as rows; a missing label or category is asked from the same jury and
categorizer, in the same requests, that labeling makes later.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from chillguard.calls import call
from chillguard.labeling import jury
from chillguard.rows import intake
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason, drop
from chillguard.taxonomy import Taxonomy

Row = dict[str, Any]
_NO_WORDS = re.compile(r"https?://[!-~]+|<[A-Z_]+>")
_LETTER = re.compile(r"[^\W\d_]")
_MIN_LETTERS = 2
_LABEL_COLUMNS = ("source_label", "intended_label", "intended_category", "decided_by")


def real_rows(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The `real_prompts` table after its preliminary screening (paper section 3.1).

    Of copies, in whatever spelling, the first is kept, so that one only is rewritten; a text that
    asks nothing (links, digits, signs) is dropped. Copies with different labels leave the kept row
    without one: then the jury decides.
    """
    rows: list[Row] = []
    first: dict[str, Row] = {}
    disputed: set[str] = set()
    times: dict[str, int] = {}
    for record in records:
        row = _born("real", record, times)
        rows.append(row)
        if row.get("drop_reason") is None and (evidence := _irrelevant(row["text"])):
            drop(row, Reason.IRRELEVANT, evidence)
        if row.get("drop_reason") is not None:
            continue
        kept = first.setdefault(row["family_id"], row)
        if kept is not row:
            evidence = _same(kept, row)
            if kept["prompt_id"] not in disputed and kept["source_label"] is None:
                kept |= {name: row[name] for name in _LABEL_COLUMNS}
            elif row["source_label"] and row["source_label"] != kept["source_label"]:
                disputed.add(kept["prompt_id"])
                kept |= dict.fromkeys(_LABEL_COLUMNS)
                evidence += ", label differs"
            drop(row, Reason.DUPLICATE, evidence)
    return lineage.REAL_PROMPTS.build(rows)


def public_rows(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The `public_prompts` table: external samples, their own label kept as `source_label`."""
    rows: list[Row] = []
    first: dict[str, Row] = {}
    times: dict[str, int] = {}
    for record in records:
        row = _born("public", record, times)
        rows.append(row)
        if row.get("drop_reason") is None:
            kept = first.setdefault(row["family_id"], row)
            if kept is not row:
                drop(row, Reason.DUPLICATE, _same(kept, row))
    return lineage.PUBLIC_PROMPTS.build(rows)


def annotate(
    real: pa.Table,
    jurors: Sequence[str],
    taxonomy: Taxonomy,
    config: jury.LabelingConfig,
    ask: call.Ask,
) -> pa.Table:
    """The `annotated_prompts` table: kept real prompts with label and category where to be had."""
    rows: list[Row] = [row for row in real.to_pylist() if row["drop_reason"] is None]
    unlabeled = [row for row in rows if row["intended_label"] is None]
    votes = jury.by_prompt(jury.cast(juror, unlabeled, taxonomy, config, ask) for juror in jurors)
    rulings = jury.rule(unlabeled, votes, taxonomy, config, ask)
    for row in unlabeled:
        ruling = rulings[row["prompt_id"]]
        row["intended_label"], row["intended_category"] = ruling.label, ruling.category
        row["decided_by"] = ruling.decided_by
    bare = [
        row
        for row in rows
        if row["intended_label"] == "unsafe" and row["intended_category"] is None
    ]
    by_id = {row["prompt_id"]: row for row in bare}
    for outcome in jury.categorize(bare, taxonomy, config, ask):
        by_id[outcome.row_id]["intended_category"] = outcome.value
    return lineage.ANNOTATED_PROMPTS.build(rows)


def has_outcome(row: Mapping[str, Any]) -> bool:
    """Whether annotation gave the row what rewriting needs: a label, and a category if unsafe."""
    if row["intended_label"] == "unsafe":
        return row["intended_category"] is not None
    return bool(row["intended_label"] == "safe")


def _irrelevant(text: str) -> str | None:
    """Why a text can be no request; None for one that can."""
    letters = len(_LETTER.findall(_NO_WORDS.sub("", text)))
    return f"{letters} letters beside links and placeholders" if letters < _MIN_LETTERS else None


def _same(kept: Row, row: Row) -> str:
    """The evidence that a row says what a kept one says."""
    spelled = "" if kept["text_hash"] == row["text_hash"] else ", spelled otherwise"
    return f"same text as {kept['prompt_id']}{spelled}"


def _born(origin: str, record: Mapping[str, Any], times: dict[str, int]) -> Row:
    admitted = intake.admit(record["text"])
    repeat = times[admitted.text_hash] = times.get(admitted.text_hash, -1) + 1
    label = record.get("label")
    own = origin == "real"
    return intake.prompt(
        origin,
        record["source"],
        [],
        record["text"],
        repeat=repeat,
        lang=record.get("lang"),
        response=intake.admit(record["response"]).text if record.get("response") else None,
        source_label=label,
        intended_label=label if own else None,
        intended_category=record.get("category") if own and label == "unsafe" else None,
        decided_by="source" if own and label else None,
        may_redistribute=record["may_redistribute"],
        may_train=record["may_train"],
    )
