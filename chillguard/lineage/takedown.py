"""Takedown: what a removed post leaves behind in the tables, and taking it out.

Finds the posts that a request means and every row made from them or shown to a model beside them.
Removing points, answers and files is the business of `resources.takedown`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from chillguard import identity, tables
from chillguard.rows import removal
from chillguard.tables.reasons import dropped
from chillguard.text import matching


@dataclass
class Traces:
    """What a request means: posts and their marks, derived prompts, and the calls behind them."""

    post_ids: set[str] = field(default_factory=set)
    family_ids: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)
    native_ids: dict[str, set[str]] = field(default_factory=dict)
    prompt_ids: set[str] = field(default_factory=set)
    row_ids: set[str] = field(default_factory=set)
    call_keys: set[str] = field(default_factory=set)


def posts(request: str, crawled: Iterable[pa.Table]) -> Traces:
    """The posts whose own id, `source:own id`, URL or post id is `request`, and all of one text.

    Spellings of one text are one text.
    """
    rows = [row for table in crawled for row in table.select(_POST_COLUMNS).to_pylist()]
    found = Traces()
    for row in rows:
        text = row.pop("text")
        row["family_id"] = matching.family_id(text) if text else None
        if request in {row["native_id"], *removal.marks(**row)}:
            found.post_ids.add(row["post_id"])
            found.family_ids |= {row["family_id"]} - {None}
    for row in rows:
        if row["post_id"] in found.post_ids or row["family_id"] in found.family_ids:
            found.post_ids.add(row["post_id"])
            found.marks |= removal.marks(**row)
            found.native_ids.setdefault(row["source"], set()).add(row["native_id"])
    return found


def follow(found: Traces, table: pa.Table) -> None:
    """Add the rows of a table of prompts that come from the posts, and the calls that made them."""
    calls = [name for name in table.column_names if name in tables.where("is_call_key")]
    for row in table.select([*_PROMPT_COLUMNS, *calls]).to_pylist():
        if removal.is_derived(row, found.post_ids | found.family_ids):
            found.prompt_ids.add(row["prompt_id"])
            found.row_ids.add(row["prompt_id"])
            if row["query_id"]:
                shown = [*row["parent_ids"], *row["context_post_ids"]]
                found.row_ids.add(identity.draw_id(row["query_id"], row["method"], shown))
            found.call_keys |= {row[name] for name in calls if row[name]}


def follow_votes(found: Traces, votes: pa.Table) -> None:
    """Add the calls in which jurors were shown derived prompts."""
    for row in votes.select(["prompt_id", "call_key"]).to_pylist():
        if row["prompt_id"] in found.prompt_ids:
            found.call_keys.add(row["call_key"])


def redacted(name: str, table: pa.Table, found: Traces) -> pa.Table | None:
    """The table without the removed texts; None if it holds none of them.

    A stage's own rows stay, dropped and without text; where a table has no drops they go.
    """
    kind = tables.ALL[name]
    key, texts = kind.holds_rows_of, kind.where("holds_text")
    of_posts = key == "post_id"
    gone = found.post_ids if of_posts else found.prompt_ids
    if key is None or not texts or gone.isdisjoint(table[key].to_pylist()):
        return None
    rows = table.to_pylist()
    if kind.may_drop:
        drop = dropped(*(removal.OF_POST if of_posts else removal.OF_PROMPT))
        blank = {**dict.fromkeys(column.name for column in texts), **drop}
        rows = [row | blank if row[key] in gone else row for row in rows]
    else:
        rows = [row for row in rows if row[key] not in gone]
    return kind.build(rows)


_POST_COLUMNS = ["post_id", "native_id", "source", "url", "text"]
_PROMPT_COLUMNS = [
    *("prompt_id", "family_id", "parent_ids", "context_post_ids", "query_id", "method"),
]
