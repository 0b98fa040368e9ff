"""Real prompts and their annotation (paper section 3.1, real-world data acquisition).

Reads production prompts as rows; a missing label or category is asked from the same jury and
categorizer, in the same requests, that labeling makes later.
"""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from chillguard.calls import call
from chillguard.labeling import docket, jury
from chillguard.rows import intake, records
from chillguard.tables import lineage, rows
from chillguard.tables.reasons import Reason, drop
from chillguard.taxonomy import Taxonomy

_NO_WORDS = re.compile(r"https?://[!-~]+|<[A-Z_]+>")
_LETTER = re.compile(r"[^\W\d_]")
_MIN_LETTERS = 2


def real_rows(found: Iterable[records.Record]) -> pa.Table:
    """The `real_prompts` table after its preliminary screening (paper section 3.1).

    Of copies, in whatever spelling, the first is kept, so that one only is rewritten; a text that
    asks nothing (links, digits, signs) is dropped. Copies with different labels leave the kept row
    without one: then the jury decides.
    """
    born: list[rows.Prompt] = []
    first: dict[str, rows.Prompt] = {}
    disputed: set[str] = set()
    times: dict[str, int] = {}
    for record in found:
        row = _born("real", record, times)
        born.append(row)
        if row["drop_reason"] is None and (evidence := _irrelevant(rows.given(row["text"]))):
            drop(row, Reason.IRRELEVANT, evidence)
        if row["drop_reason"] is not None:
            continue
        kept = first.setdefault(row["family_id"], row)
        if kept is not row:
            evidence = _same(kept, row)
            if kept["prompt_id"] not in disputed and kept["source_label"] is None:
                _label(kept, row)
            elif row["source_label"] and row["source_label"] != kept["source_label"]:
                disputed.add(kept["prompt_id"])
                _label(kept, None)
                evidence += ", label differs"
            drop(row, Reason.DUPLICATE, evidence)
    return lineage.REAL_PROMPTS.build(born)


def _label(kept: rows.Prompt, by: rows.Prompt | None) -> None:
    """Give a row the label of its copy, or none."""
    kept["source_label"] = by["source_label"] if by else None
    kept["intended_label"] = by["intended_label"] if by else None
    kept["intended_category"] = by["intended_category"] if by else None
    kept["decided_by"] = by["decided_by"] if by else None


def public_rows(found: Iterable[records.Record]) -> pa.Table:
    """The `public_prompts` table: external samples, their own label kept as `source_label`."""
    born: list[rows.Prompt] = []
    first: dict[str, rows.Prompt] = {}
    times: dict[str, int] = {}
    for record in found:
        row = _born("public", record, times)
        born.append(row)
        if row["drop_reason"] is None:
            kept = first.setdefault(row["family_id"], row)
            if kept is not row:
                drop(row, Reason.DUPLICATE, _same(kept, row))
    return lineage.PUBLIC_PROMPTS.build(born)


def annotate(
    real: pa.Table,
    jurors: Sequence[str],
    taxonomy: Taxonomy,
    config: jury.LabelingConfig,
    ask: call.Ask,
) -> pa.Table:
    """The `annotated_prompts` table: kept real prompts with label and category where to be had."""
    kept = [row for row in lineage.REAL_PROMPTS.rows(real) if row["drop_reason"] is None]
    bare = [row for row in kept if row["intended_label"] is None]
    votes = jury.by_prompt(jury.cast(juror, bare, taxonomy, config, ask) for juror in jurors)
    rulings = jury.rule(docket.unlabeled(bare), votes, taxonomy, config, ask)
    for row in bare:
        ruling = rulings[row["prompt_id"]]
        row["intended_label"], row["intended_category"] = ruling.label, ruling.category
        row["decided_by"] = ruling.decided_by
    unsorted = [
        row
        for row in kept
        if row["intended_label"] == "unsafe" and row["intended_category"] is None
    ]
    by_id = {row["prompt_id"]: row for row in unsorted}
    for outcome in jury.categorize(unsorted, taxonomy, config, ask):
        by_id[outcome.row_id]["intended_category"] = outcome.value
    return lineage.ANNOTATED_PROMPTS.build(kept)


def has_outcome(row: rows.Birth) -> bool:
    """Whether annotation gave the row what rewriting needs: a label, and a category if unsafe."""
    if row["intended_label"] == "unsafe":
        return row["intended_category"] is not None
    return bool(row["intended_label"] == "safe")


def _irrelevant(text: str) -> str | None:
    """Why a text can be no request; None for one that can."""
    letters = len(_LETTER.findall(_NO_WORDS.sub("", text)))
    return f"{letters} letters beside links and placeholders" if letters < _MIN_LETTERS else None


def _same(kept: rows.Prompt, row: rows.Prompt) -> str:
    """The evidence that a row says what a kept one says."""
    spelled = "" if kept["text_hash"] == row["text_hash"] else ", spelled otherwise"
    return f"same text as {kept['prompt_id']}{spelled}"


def _born(origin: str, record: records.Record, times: dict[str, int]) -> rows.Prompt:
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
