"""What a source held: rows as parsed, what was rejected, and why nothing of it can be used.

Which rows are good is `chillguard.rows.records`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chillguard.rows.sources import AnySource

_MAX_SHOWN = 32
_MAX_VALUES = 8


@dataclass(frozen=True)
class Parsed:
    """One row of a file: its line (from 1) and its columns, or why it could not be decoded.

    `file` is the name of the file where the source has several.
    """

    line: int
    columns: Mapping[str, Any]
    error: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Reject:
    """A row that cannot be used; the reason never quotes the text."""

    source: str
    line: int
    column: str
    reason: str


class RecordError(ValueError):
    """A source of which no row can be used; the message names file, line and column."""


@dataclass
class Tally:
    """What a source held: needed for what is told when there is no good row, or no such column."""

    read: int = 0
    good: int = 0
    unwanted: int = 0
    first_reject: tuple[Parsed, Reject] | None = None
    first_row: dict[str | None, Parsed] = field(default_factory=dict)
    lacking: dict[str | None, set[str]] = field(default_factory=dict)
    values: dict[str, Counter[str]] = field(default_factory=dict)


def hold_against(source: AnySource, tally: Tally) -> None:
    """Raise `RecordError` for a source that gave nothing, or lacks a column that it names."""
    if not tally.read and not tally.unwanted:
        raise RecordError(
            f"source {source.name!r}, {source.place}: there is not one row; set `path` or "
            "`exclude_files` of the source in the profile, or take the source out"
        )
    for file, lacking in tally.lacking.items():
        if lacking and tally.read != source.limit:
            raise RecordError(_nowhere(source, tally.first_row[file], sorted(lacking)[0]))
    if not tally.read:
        raise RecordError(_nothing_wanted(source, tally))
    if tally.first_reject and not tally.good:
        raise RecordError(_nothing_good(source, *tally.first_reject))


def _nothing_good(source: AnySource, row: Parsed, reject: Reject) -> str:
    return (
        f"source {source.name!r}, {_place(source, row)}: no row can be used; first, line "
        f"{reject.line}, column {reject.column!r}: {reject.reason}. "
        f"The file's columns are {sorted(row.columns)}; set `columns` of the source in the profile."
    )


def _nowhere(source: AnySource, row: Parsed, column: str) -> str:
    return (
        f"source {source.name!r}, {_place(source, row)}: no row has a column {column!r}. The "
        f"columns of line {row.line} are {sorted(row.columns)}; set `columns`, `where` or `shape` "
        "of the source in the profile."
    )


def _nothing_wanted(source: AnySource, tally: Tally) -> str:
    column, counts = next(iter(tally.values.items()))
    seen = ", ".join(
        f"{shown(value)} ({count:,})" for value, count in counts.most_common(_MAX_VALUES)
    )
    more = ", …" if len(counts) > _MAX_VALUES else ""
    return (
        f"source {source.name!r}, {source.place}: `where` keeps none of {tally.unwanted:,} rows: "
        f"column {column!r} should be one of {source.where[column]}, and holds {seen}{more}; mend "
        "`where` of the source in the profile."
    )


def _place(source: AnySource, row: Parsed) -> str:
    return f"{source.place}, {row.file}" if row.file else source.place


def shown(value: Any) -> str:
    """A value as an error may show it: a long one is likely to be a text under a wrong name."""
    form = repr(value)
    return (
        form if len(form) <= _MAX_SHOWN else f"({type(value).__name__} of {len(form)} characters)"
    )
