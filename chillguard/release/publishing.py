"""What of a release may be published.

A row whose terms bar redistribution keeps its id and labels and loses its text. Writing is
`resources.home.publishing`.
"""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from chillguard.release.approval import Approval
from chillguard.tables import columns, lineage, rows
from chillguard.tables.table import Column, Table

_TEXT_DOC = "text; null where it may not be published"


def form() -> Table[rows.Published]:
    """The published files: the columns that say so, votes behind the row's own, its terms last."""
    late = [column.name for column in (*columns.VOTES, *columns.TERMS)]
    public = sorted(
        lineage.TRAIN_SET.where("published"),
        key=lambda column: late.index(column.name) + 1 if column.name in late else 0,
    )
    return Table(
        "published", "sample", ("prompt_id",), tuple(map(_nullable, public)), rows.Published
    )


def _nullable(column: Column) -> Column:
    if not column.holds_text:
        return column
    doc = _TEXT_DOC if column.name == "text" else column.doc
    return replace(column, doc=doc, nullable=True)


def published(table: pa.Table) -> pa.Table:
    """The published form of a side of a release."""
    public = form()
    side = table.select(public.names)
    for name in (column.name for column in public.where("holds_text")):
        place = side.schema.get_field_index(name)
        texts = pc.if_else(side["may_redistribute"], side[name], None)
        side = side.set_column(place, name, texts)
    return public.build(public.rows(side))


def note(approved: Approval) -> bytes:
    """What the published folder says of its approval: version and date, not who."""
    fields = {"version": approved.release, "approved_on": approved.date.isoformat()}
    return (json.dumps(fields, indent=2) + "\n").encode("utf-8")


def described() -> bytes:
    """The columns of the published files, as JSON."""
    text = json.dumps(form().described(), ensure_ascii=False, indent=2)
    return (text + "\n").encode("utf-8")
