"""What of a release may be published.

A row whose terms bar redistribution keeps its id and labels and loses its text. Writing is
`resources.home.publishing`.
"""

import json
from dataclasses import replace

import pyarrow as pa

from chillguard.release.approval import Approval
from chillguard.tables import lineage
from chillguard.tables.table import Table

_COLUMNS = (
    *("prompt_id", "text", "label", "macro_category", "micro_category", "origin", "method"),
    *("family_id", "split", "lang", "is_twin", "decided_by", "n_valid_votes", "agreement"),
    "may_redistribute",
)
_RELEASED = {column.name: column for column in lineage.TRAIN_SET.columns}
_TEXT = replace(_RELEASED["text"], doc="text; null where it may not be published", nullable=True)
PUBLISHED = Table(
    "published",
    "sample",
    ("prompt_id",),
    tuple(_TEXT if name == "text" else _RELEASED[name] for name in _COLUMNS),
)


def published(table: pa.Table) -> pa.Table:
    """The `PUBLISHED` form of a side of a release."""
    rows = table.select(_COLUMNS).to_pylist()
    for row in rows:
        if not row["may_redistribute"]:
            row["text"] = None
    return PUBLISHED.build(rows)


def note(approved: Approval) -> bytes:
    """What the published folder says of its approval: version and date, not who."""
    found = {"version": approved.release, "approved_on": approved.date.isoformat()}
    return (json.dumps(found, indent=2) + "\n").encode("utf-8")


def described() -> bytes:
    """The columns of the published files, as JSON."""
    text = json.dumps(PUBLISHED.described(), ensure_ascii=False, indent=2)
    return (text + "\n").encode("utf-8")
