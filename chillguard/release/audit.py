"""The audit of Test by people: which rows they get, what they decided, how right the labels are.

The guideline for annotators is `docs/how-to/annotation-guideline.md`. Sheets show no label of
ours, so that nobody is led by it. Where files lie is the business of `resources.home.audit`.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.labeling import review
from chillguard.release import split
from chillguard.rows import records
from chillguard.tables import lineage
from chillguard.tables.rows import Sample

# A line of a sheet that people filled in, by column.
Line = Mapping[str, str]
UNCLEAR = "unclear"
SHEET = "audit_sample.csv"
SOURCE = "audit_sheet"
COLUMNS = (
    *("prompt_id", "text_hash", "text", "label_1", "category_1", "label_2", "category_2"),
    *("label", "category", "note"),
)
_LABELS = ("label_1", "label_2", "label")
_CATEGORIES = ("category_1", "category_2", "category")
_NEEDED = ("prompt_id", "text_hash", *_LABELS, *_CATEGORIES)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class AuditConfig(BaseModel):
    """How many rows of Test people are asked to judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample: int = Field(500, ge=0)


class AuditError(ValueError):
    """A sheet of which no row can be used; the message names the column and the mend."""


@dataclass(frozen=True)
class Decision:
    """What the annotators made of a row; `label` None where they have not finished."""

    prompt_id: str
    text_hash: str
    label: str | None
    category: str | None
    first: str | None
    second: str | None


@dataclass(frozen=True)
class Report:
    """Rows by what became of their audit, and how many labels and categories were right.

    `low` and `high` bound the accuracy at 95 % (Wilson). `stale` rows are not in Test any more,
    or with another text.
    """

    judged: int
    right: int
    unclear: int
    open: int
    stale: int
    low: float
    high: float
    categories: int
    categories_right: int
    pairs: int
    pairs_same: int


def sample(test: pa.Table, size: int) -> list[Sample]:
    """`size` rows of Test, as many of each stratum as its share of Test; a stable draw.

    Shares are rounded by largest remainder, so that accuracy on the sample is that of Test.
    """
    by_stratum: dict[str, list[Sample]] = defaultdict(list)
    for row in lineage.TEST_SET.rows(test):
        by_stratum[split.stratum(row)].append(row)
    wanted = min(size, test.num_rows)
    exact = {name: wanted * len(rows) / test.num_rows for name, rows in by_stratum.items()}
    quota = {name: int(share) for name, share in exact.items()}
    rest = sorted(exact, key=lambda name: (quota[name] - exact[name], name))
    for name in rest[: wanted - sum(quota.values())]:
        quota[name] += 1
    drawn: list[Sample] = []
    for name, rows in by_stratum.items():
        rows.sort(key=lambda row: identity.hash_order("audit", row["prompt_id"]))
        drawn += rows[: quota[name]]
    return sorted(drawn, key=lambda row: identity.hash_order("audit order", row["prompt_id"]))


def sheet(rows: Iterable[Sample]) -> bytes:
    """The rows as CSV (UTF-8 with a mark, for spreadsheets), columns of the annotators empty.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items() if name in COLUMNS[:3]})
    return out.getvalue().encode("utf-8-sig")


def decisions(
    rows: Iterable[records.Parsed], codes: Collection[str], rejects: list[records.Reject]
) -> list[Decision]:
    """The decisions of a filled sheet; a row that holds none it could hold goes to `rejects`.

    A row is decided by `label`, else by two annotators who agree; rows nobody touched are open.
    Raises `AuditError` for a sheet that lacks a column.
    """
    made: dict[str, Decision] = {}
    lines: dict[str, int] = {}
    for row in rows:
        missing = [name for name in _NEEDED if name not in row.columns]
        if missing and row.error is None:
            raise AuditError(f"audit sheet: there is no column {missing[0]!r}; keep all columns")
        fault = ("*", row.error) if row.error else _fault(row.columns, codes, lines)
        if fault:
            rejects.append(records.Reject(SOURCE, row.line, *fault))
            continue
        decision = _decision(row.columns)
        made[decision.prompt_id] = decision
        lines[decision.prompt_id] = row.line
    return list(made.values())


def report(made: Sequence[Decision], test: pa.Table) -> Report | None:
    """How right the labels of Test are by the decisions; None while nothing is decided."""
    rows = {(row["prompt_id"], row["text_hash"]): row for row in lineage.TEST_SET.rows(test)}
    pairs = [(rows.get((one.prompt_id, one.text_hash)), one) for one in made]
    in_test = [(row, one) for row, one in pairs if row is not None]
    judged = [(row, one) for row, one in in_test if one.label in lineage.LABELS]
    if not judged:
        return None
    right = sum(row["label"] == one.label for row, one in judged)
    both_unsafe = [
        row["micro_category"] == one.category
        for row, one in judged
        if row["label"] == one.label == "unsafe" and one.category
    ]
    twice = [one.first == one.second for _, one in in_test if one.first and one.second]
    low, high = wilson(right, len(judged))
    return Report(
        judged=len(judged),
        right=right,
        unclear=sum(one.label == UNCLEAR for _, one in in_test),
        open=sum(one.label is None for _, one in in_test),
        stale=len(pairs) - len(in_test),
        low=low,
        high=high,
        categories=len(both_unsafe),
        categories_right=sum(both_unsafe),
        pairs=len(twice),
        pairs_same=sum(twice),
    )


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    from scipy import stats  # takes half a second to import, which only an audited release needs

    interval = stats.binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _cell(value: Any) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _final(values: Sequence[str | None]) -> str | None:
    first, second, last = values
    return last or (first if first == second else None)


def _fault(row: Line, codes: Collection[str], lines: Mapping[str, int]) -> tuple[str, str] | None:
    """The column at fault and the reason; None for a row that can be used."""
    cut_off = next((name for name in _NEEDED if not isinstance(row[name], str)), None)
    if cut_off:
        return cut_off, "the line ends before this column"
    if row["prompt_id"] in lines:
        return "prompt_id", f"stands in line {lines[row['prompt_id']]} too; merge the lines"
    for name in _LABELS:
        if _label(row[name]) not in ("", *lineage.LABELS, UNCLEAR):
            return name, f"{row[name].strip()[:16]!r} is none of safe, unsafe, unclear"
    for name in _CATEGORIES:
        if row[name].strip() not in ("", *codes):
            return name, f"{row[name].strip()[:16]!r} is no code of the taxonomy"
    return None


def _decision(row: Line) -> Decision:
    labels = [_label(row[name]) or None for name in _LABELS]
    categories = [row[name].strip() or None for name in _CATEGORIES]
    label, category = _final(labels), _final(categories)
    return Decision(row["prompt_id"], row["text_hash"], label, category, labels[0], labels[1])


def _label(written: str) -> str:
    return str(review.read_label(written)).strip().lower()
