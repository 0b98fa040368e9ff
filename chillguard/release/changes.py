"""The release diff: what became of every row since the previous release.

Label flips on unchanged text come first: they show a jury that changed its mind.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from chillguard.tables.table import Column, Table
from chillguard.taxonomy import Taxonomy

Row = Mapping[str, Any]
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
)


def difference(now: pa.Table, before: pa.Table | None) -> pa.Table:
    """The `CHANGES` table between two releases (all rows of each; None before the first one).

    `label_flip`: another label on the same text; `relabeled`: another label or category otherwise;
    `edited`: another text, same verdict; `other`: other columns, such as votes.
    """
    new, old = _by_id(now), _by_id(before) if before is not None else {}
    rows = [_change(key, old.get(key), new.get(key)) for key in new.keys() | old.keys()]
    return CHANGES.build(row for row in rows if row is not None)


def counts(table: pa.Table) -> dict[str, int]:
    """Rows per kind of change, every kind named."""
    found = Counter(table["change"].to_pylist())
    return {kind: found[kind] for kind in KINDS.values()}


def relabeled(table: pa.Table) -> int:
    """Rows with another label or category than before."""
    found = counts(table)
    return found[KINDS[FLIP]] + found[KINDS[RELABELED]]


def by_category(table: pa.Table, taxonomy: Taxonomy) -> list[tuple[str, int, int, int, int]]:
    """(code or `safe`, added, removed, came by relabelling, left by it) where anything changed."""
    tallies: dict[str, Counter[str]] = {}
    for row in table.to_pylist():
        before, now = (_stratum(row, when) for when in ("before", "now"))
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


def _by_id(table: pa.Table) -> dict[str, Row]:
    return {row["prompt_id"]: row for row in table.to_pylist()}


def _change(key: str, old: Row | None, new: Row | None) -> dict[str, Any] | None:
    if old is not None and new is not None:
        columns = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
        if not columns:
            return None
        rank = _rank(columns)
    else:
        columns, rank = [], ADDED if old is None else REMOVED
    values = {
        f"{name}_{when}": (row or {}).get(name)
        for name in (*_VERDICT, "split")
        for when, row in (("before", old), ("now", new))
    }
    return {"rank": rank, "prompt_id": key, "change": KINDS[rank], "columns": columns, **values}


def _rank(columns: list[str]) -> int:
    if "label" in columns and "text" not in columns:
        return FLIP
    if "label" in columns or "micro_category" in columns:
        return RELABELED
    return EDITED if "text" in columns else OTHER


def _stratum(row: Row, when: str) -> str | None:
    if row[f"label_{when}"] is None:
        return None
    return str(row[f"micro_category_{when}"] or "safe")
