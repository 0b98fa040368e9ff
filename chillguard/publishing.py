"""What of a release may be published, and who said so.

A row whose terms bar redistribution keeps its id and labels and loses its text. Writing is
`resources.publishing`.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from chillguard import schema
from chillguard.table import Table

_COLUMNS = (
    *("prompt_id", "text", "label", "macro_category", "micro_category", "origin", "method"),
    *("family_id", "split", "lang", "is_twin", "decided_by", "n_valid_votes", "agreement"),
    "may_redistribute",
)
_RELEASED = {column.name: column for column in schema.TRAIN_SET.columns}
_TEXT = replace(_RELEASED["text"], doc="text; null where it may not be published", nullable=True)
PUBLISHED = Table(
    "published",
    "sample",
    ("prompt_id",),
    tuple(_TEXT if name == "text" else _RELEASED[name] for name in _COLUMNS),
)


class ApprovalError(ValueError):
    """An approval that does not allow to publish; the message says what is missing."""


@dataclass(frozen=True)
class Approval:
    """Who let which version be published, and when."""

    person: str
    date: dt.date
    version: str


def approval(document: Any, version: str) -> Approval:
    """The approval of a version; raises `ApprovalError` with one sentence if it is not one."""
    if not isinstance(document, Mapping):
        raise ApprovalError("it is no mapping; it needs `person`, `date` and `version`")
    fields = ("person", "date", "version")
    given = {name: str(document.get(name) or "").strip() for name in fields}
    missing = [name for name in fields if not given[name]]
    if missing:
        raise ApprovalError(f"`{missing[0]}` is missing; it needs `person`, `date` and `version`")
    strange = sorted(set(document) - set(fields))
    if strange:
        raise ApprovalError(f"there is no field {strange[0]!r}; it has `person`, `date`, `version`")
    if given["version"] != version:
        raise ApprovalError(
            f"it approves version {given['version']}, not {version}; quote versions in YAML"
        )
    try:
        date = dt.date.fromisoformat(given["date"])
    except ValueError:
        raise ApprovalError(f"`date` {given['date']!r} is no date like 2026-11-25") from None
    return Approval(given["person"], date, version)


def published(table: pa.Table) -> pa.Table:
    """The `PUBLISHED` form of a side of a release."""
    rows = table.select(_COLUMNS).to_pylist()
    for row in rows:
        if not row["may_redistribute"]:
            row["text"] = None
    return PUBLISHED.build(rows)


def note(approved: Approval) -> bytes:
    """What the published folder says of its approval: version and date, not who."""
    found = {"version": approved.version, "approved_on": approved.date.isoformat()}
    return (json.dumps(found, indent=2) + "\n").encode("utf-8")


def described() -> bytes:
    """The columns of the published files, as JSON."""
    text = json.dumps(PUBLISHED.described(), ensure_ascii=False, indent=2)
    return (text + "\n").encode("utf-8")
