"""The release diff: what became of every row since the previous release.

Label flips on unchanged text come first: they show a jury that changed its mind.
"""

from collections import Counter

import pyarrow as pa

from chillguard.tables import lineage, rows
from chillguard.tables.table import Column, Table
from chillguard.taxonomy import Taxonomy

FLIP, RELABELED, EDITED, OTHER, ADDED, REMOVED = range(1, 7)
KINDS = {
    FLIP: "label_flip",
    RELABELED: "relabeled",
    EDITED: "edited",
    OTHER: "other",
    ADDED: "added",
    REMOVED: "removed",
}
_VERDICT = ("label", "micro_category")
_TEXT = pa.string()
CHANGES = Table(
    "changes",
    "row that is not the same as in the previous release",
    ("rank", "prompt_id"),
    (
        Column("rank", pa.int64(), "order of the kinds: label flips first"),
        Column("prompt_id", _TEXT, "the row"),
        Column("change", _TEXT, "what became of it", values=tuple(KINDS.values())),
        Column("columns", pa.list_(_TEXT), "columns whose value changed; empty = all"),
        *(
            Column(f"{name}_{when}", _TEXT, f"{name} {when}", nullable=True)
            for name in (*_VERDICT, "split")
            for when in ("before", "now")
        ),
    ),
    rows.Change,
)


def difference(now: pa.Table, before: pa.Table | None) -> pa.Table:
    """The `CHANGES` table between two releases (all rows of each; None before the first one).

    `label_flip`: another label on the same text; `relabeled`: another label or category otherwise;
    `edited`: another text, same verdict; `other`: other columns, such as votes.
    """
    new, old = _by_id(now), _by_id(before) if before is not None else {}
    changed = [_change(key, old.get(key), new.get(key)) for key in new.keys() | old.keys()]
    return CHANGES.build(row for row in changed if row is not None)


def counts(table: pa.Table) -> dict[str, int]:
    """Rows per kind of change, every kind named."""
    by_kind = Counter(table["change"].to_pylist())
    return {kind: by_kind[kind] for kind in KINDS.values()}


def relabeled(table: pa.Table) -> int:
    """Rows with another label or category than before."""
    by_kind = counts(table)
    return by_kind[KINDS[FLIP]] + by_kind[KINDS[RELABELED]]


def by_category(table: pa.Table, taxonomy: Taxonomy) -> list[tuple[str, int, int, int, int]]:
    """(code or `safe`, added, removed, came by relabelling, left by it) where anything changed."""
    tallies: dict[str, Counter[str]] = {}
    for row in CHANGES.rows(table):
        before = _stratum(row["label_before"], row["micro_category_before"])
        now = _stratum(row["label_now"], row["micro_category_now"])
        if row["change"] in (KINDS[ADDED], KINDS[REMOVED]):
            tallies.setdefault(now or before or "safe", Counter())[row["change"]] += 1
        elif before != now:
            tallies.setdefault(now or "safe", Counter())["came"] += 1
            tallies.setdefault(before or "safe", Counter())["left"] += 1
    names = [code for code in (*taxonomy.codes, "safe") if code in tallies]
    names += sorted(tallies.keys() - set(names))
    return [
        (code, tally["added"], tally["removed"], tally["came"], tally["left"])
        for code, tally in ((code, tallies[code]) for code in names)
    ]


def _by_id(table: pa.Table) -> dict[str, rows.Sample]:
    return {row["prompt_id"]: row for row in lineage.TRAIN_SET.rows(table)}


def _change(key: str, old: rows.Sample | None, new: rows.Sample | None) -> rows.Change | None:
    if old is not None and new is not None:
        # By name: a release of an earlier version may have other columns.
        before, now = dict[str, object](old), dict[str, object](new)
        columns = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
        if not columns:
            return None
        rank = _rank(columns)
    else:
        columns, rank = [], ADDED if old is None else REMOVED
    return {
        "rank": rank,
        "prompt_id": key,
        "change": KINDS[rank],
        "columns": columns,
        "label_before": old["label"] if old else None,
        "label_now": new["label"] if new else None,
        "micro_category_before": old["micro_category"] if old else None,
        "micro_category_now": new["micro_category"] if new else None,
        "split_before": old["split"] if old else None,
        "split_now": new["split"] if new else None,
    }


def _rank(columns: list[str]) -> int:
    if "label" in columns and "text" not in columns:
        return FLIP
    if "label" in columns or "micro_category" in columns:
        return RELABELED
    return EDITED if "text" in columns else OTHER


def _stratum(label: str | None, category: str | None) -> str | None:
    return None if label is None else category or "safe"
