"""Human review: signed decisions that override the jury, and the queue of prompts for one.

What is exported for reviewers is `chillguard.labeling.review_export`; files are
`resources.home.review`.
"""

import datetime as dt
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard.rows import records
from chillguard.tables import lineage
from chillguard.tables.jury import QUEUE_REASONS, SPLIT_VOTES, Waiting
from chillguard.tables.rows import given
from chillguard.tables.table import LABELS

# What somebody filled in, by column, whatever they made of it.
Filled = Mapping[str, Any]
Reviewed = Mapping[str, tuple[str, str | None]]
# How reviewers write a label, in lower case.
WRITTEN = {"safe": "safe", "unsafe": "unsafe", "安全": "safe", "不安全": "unsafe"}
_FILLED_IN = ("label", "category", "reviewer", "date")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SLASHED = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})")


class ReviewConfig(BaseModel):
    """At most `max_queue` prompts are queued for review, the most informative first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_queue: int = Field(500, ge=0)


@dataclass(frozen=True)
class Decision:
    """One reviewer's word on one prompt; `text_hash`, where given, is of the text that was read."""

    source: str
    line: int
    prompt_id: str
    label: str
    micro_category: str | None
    reviewer: str
    decided_on: dt.datetime
    text_hash: str | None


def decisions(
    parsed: Iterable[tuple[str, records.Parsed]],
    codes: Iterable[str],
    reviewers: Mapping[str, str],
    rejects: list[records.Reject],
) -> Iterator[Decision]:
    """Yield the decisions of (file name, row) pairs, append the rows that are none to `rejects`.

    Columns are `prompt_id label category reviewer date`, optionally `text_hash`; a row in which
    nothing is filled in was not decided yet. `reviewers` names accounts that are a number only.
    """
    known_codes = frozenset(codes)
    for source, row in parsed:
        if row.error is None and not any(row.columns.get(name) for name in _FILLED_IN):
            continue
        decision = _decision(source, row, known_codes, reviewers)
        if isinstance(decision, Decision):
            yield decision
        else:
            rejects.append(records.Reject(source, row.line, *decision))


def from_label_studio(document: Any) -> Iterator[records.Parsed]:
    """Rows of a Label Studio JSON export: one per annotation that was not skipped."""
    number = 0
    for task in document if isinstance(document, list) else [document]:
        annotations = task.get("annotations") if isinstance(task, dict) else None
        if not isinstance(annotations, list) or not isinstance(task.get("data"), dict):
            number += 1
            yield records.Parsed(number, {}, "not a task of a Label Studio JSON export")
            continue
        for annotation in annotations:
            number += 1
            if not isinstance(annotation, dict):
                yield records.Parsed(number, {}, "not an annotation of Label Studio")
            elif not annotation.get("was_cancelled"):
                yield records.Parsed(number, _annotated(task["data"], annotation))


def read_label(written: Any) -> Any:
    """A label however it is written (`SAFE`, `不安全`, full width); anything else as it stands."""
    if not isinstance(written, str) or not _is_text(written):
        return written
    return WRITTEN.get(unicodedata.normalize("NFKC", written).strip().lower(), written)


def rows(decided: Iterable[Decision], clean: pa.Table) -> pa.Table:
    """The `review_decisions` table: of several on a prompt the latest counts, else the last read.

    A decision on a prompt that `clean_prompts` does not keep, or on another text, does not count.
    """
    kept = clean.filter(clean["drop_reason"].is_null())
    texts = dict(zip(kept["prompt_id"].to_pylist(), kept["text_hash"].to_pylist(), strict=True))
    every, latest = list(decided), dict[str, Decision]()
    for one in every:
        last = latest.get(one.prompt_id)
        if _blocked(one, texts) is None and (not last or one.decided_on >= last.decided_on):
            latest[one.prompt_id] = one
    return lineage.REVIEW_DECISIONS.build(
        {
            "source": one.source,
            "line": one.line,
            "prompt_id": one.prompt_id,
            "label": one.label,
            "micro_category": one.micro_category,
            "reviewer": one.reviewer,
            "decided_on": one.decided_on.isoformat(timespec="seconds"),
            "standing": _blocked(one, texts)
            or ("applied" if latest[one.prompt_id] is one else "superseded"),
        }
        for one in every
    )


def applied(table: pa.Table) -> Reviewed:
    """Label and category by prompt id, of the decisions that count."""
    return {
        row["prompt_id"]: (row["label"], row["micro_category"])
        for row in lineage.REVIEW_DECISIONS.rows(table)
        if row["standing"] == "applied"
    }


def waiting(labeled: pa.Table, p_unsafe: Mapping[str, float | None]) -> list[Waiting]:
    """Every prompt that a reviewer should see, in order of what a decision would tell.

    Rows without a label come first (only a decision brings them back), then split votes by
    entropy; equal ones by how unsure Dawid-Skene is, then by id. Decided rows are out.
    """
    waiting_rows: list[Waiting] = []
    for row in lineage.LABELED_PROMPTS.rows(labeled):
        valid = _valid(row["votes"])
        split = SPLIT_VOTES if len(set(valid)) > 1 else None
        reason = row["drop_reason"] or split
        if reason in QUEUE_REASONS and row["decided_by"] != "review":
            entropy = _entropy(valid.count("unsafe") / len(valid)) if valid else 1.0
            waiting_rows.append(
                {
                    "prompt_id": row["prompt_id"],
                    "queue_reason": reason,
                    "vote_entropy": round(entropy, 6),
                    "p_unsafe": p_unsafe.get(row["prompt_id"]),
                    "text": given(row["text"]),
                    "text_hash": row["text_hash"],
                    "votes": row["votes"],
                    "label": row["label"],
                    "micro_category": row["micro_category"],
                    "intended_category": row["intended_category"],
                }
            )
    return sorted(waiting_rows, key=_order)


def queue(ordered: Sequence[Waiting], config: ReviewConfig) -> pa.Table:
    """The `review_queue` table: the first `max_queue` of `waiting`."""
    cut = ordered[: config.max_queue]
    return lineage.REVIEW_QUEUE.build({**row, "rank": rank} for rank, row in enumerate(cut, 1))


def _decision(
    source: str, row: records.Parsed, codes: frozenset[str], reviewers: Mapping[str, str]
) -> Decision | tuple[str, str]:
    """The decision of a row, or the column at fault and the reason."""
    if row.error is not None:
        return "*", row.error
    filled = {n: v.strip() if isinstance(v, str) else v for n, v in row.columns.items()}
    filled["label"] = read_label(filled.get("label"))
    fault = next((f for f in _faults(filled, codes, reviewers) if f), None)
    if fault:
        return fault
    date = _date(filled["date"])
    if date is None:
        return "date", "is no ISO 8601 date such as 2026-11-25"
    return Decision(
        source=source,
        line=row.line,
        prompt_id=filled["prompt_id"],
        label=filled["label"],
        micro_category=filled.get("category") or None,
        reviewer=_reviewer(filled["reviewer"], reviewers),
        decided_on=date,
        text_hash=filled.get("text_hash") or None,
    )


def _faults(
    filled: Filled, codes: frozenset[str], reviewers: Mapping[str, str]
) -> Iterator[tuple[str, str] | None]:
    for name in ("prompt_id", *_FILLED_IN, "text_hash"):
        if not _is_text(filled.get(name)) and not (name == "reviewer" and _is_number(filled[name])):
            yield name, "is not UTF-8 text"
    label, category, reviewer = (filled.get(name) for name in ("label", "category", "reviewer"))
    if not filled.get("prompt_id"):
        yield "prompt_id", "is empty"
    if label not in LABELS:
        yield "label", f"is not one of {', '.join(WRITTEN)}"
    if label == "safe" and category:
        yield "category", "a safe prompt has none"
    if label == "unsafe" and category not in codes:
        yield "category", "an unsafe prompt needs a micro category of the taxonomy"
    if not reviewer:
        yield "reviewer", "unsigned: it names no reviewer"
    elif not _reviewer(reviewer, reviewers):
        yield "reviewer", f"account number {reviewer} only: name it under `reviewers`"
    if not filled.get("date"):
        yield "date", "undated: it names no date"


def _reviewer(given: Any, reviewers: Mapping[str, str]) -> str:
    return reviewers.get(str(given), "") if _is_number(given) else str(given)


def _is_number(value: Any) -> bool:
    return isinstance(value, int)


def _is_text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not _SURROGATE.search(value))


def _date(given: Any) -> dt.datetime | None:
    # Spreadsheets write dates with slashes when they save a CSV file.
    slashed = _SLASHED.fullmatch(str(given).strip())
    form = "{}-{:0>2}-{:0>2}".format(*slashed.groups()) if slashed else str(given).strip()
    try:
        date = dt.datetime.fromisoformat(form)
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def _annotated(data: Filled, annotation: Filled) -> Filled:
    who = annotation.get("completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return {
        "prompt_id": data.get("prompt_id"),
        "text_hash": data.get("text_hash"),
        "label": _choice(annotation, "label"),
        "category": _choice(annotation, "category"),
        "reviewer": who,
        "date": annotation.get("updated_at") or annotation.get("created_at"),
    }


def _choice(annotation: Filled, name: str) -> str | None:
    for part in annotation.get("result") or ():
        if isinstance(part, dict) and part.get("from_name") == name:
            value = part.get("value")
            choices = value.get("choices") if isinstance(value, dict) else None
            return " ".join(map(str, choices)) if isinstance(choices, list) else None
    return None


def _blocked(one: Decision, texts: Mapping[str, str]) -> str | None:
    if one.prompt_id not in texts:
        return "unknown_prompt"
    return None if one.text_hash in (None, texts[one.prompt_id]) else "other_text"


def _valid(votes: Iterable[str]) -> list[str]:
    verdicts = (vote.rpartition("=")[2] for vote in votes)
    return [verdict for verdict in verdicts if verdict in LABELS]


def _entropy(share: float) -> float:
    return -sum(p * math.log2(p) for p in (share, 1 - share) if p)


def _order(row: Waiting) -> tuple[int, float, float, str]:
    unsure = 1.0 if row["p_unsafe"] is None else _entropy(row["p_unsafe"])
    split = row["queue_reason"] == SPLIT_VOTES
    return split, -row["vote_entropy"] if split else 0.0, -unsure, row["prompt_id"]
