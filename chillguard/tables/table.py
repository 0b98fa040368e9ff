"""What a table is: columns with types and allowed values, a key, and how rows are held against it.

Which tables there are is `chillguard.tables.lineage`.
"""

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Generic, Literal, TypedDict, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

LABELS = ("safe", "unsafe")
VERDICTS = ("safe", "unsafe", "abstain")
Fact = Literal["holds_text", "published", "trained", "personal", "is_call_key", "traced"]


_CHUNK = 1 << 30
R = TypeVar("R")


class Described(TypedDict):
    """A column as plain values."""

    name: str
    type: str
    nullable: bool
    values: list[str] | None
    description: str


class SchemaError(ValueError):
    """Rows that do not fit their table; the message names the table, the row and the column."""


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, whether null is allowed, the allowed values, its meaning.

    And what is true of it. Whoever needs columns of a kind asks for the fact, and keeps no list.

    holds_text: text of a post or a prompt; a takedown removes it, and who looks sees it masked.
    published: part of the published files of a release.
    trained: part of the rows that a classifier is trained on.
    personal: tells a person (an author's own id or address, a reviewer); never published, and left
    out of previews.
    is_call_key: the ledger key of a model call that was shown or made the text.
    traced: shown in the walk of a prompt, where it is new or changed.
    """

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False
    values: tuple[str, ...] | None = None
    _: KW_ONLY
    holds_text: bool = False
    published: bool = False
    trained: bool = False
    personal: bool = False
    is_call_key: bool = False
    traced: bool = True

    def __post_init__(self) -> None:
        """Refuse a column that would be published and tells a person."""
        if self.personal and (self.published or self.trained):
            raise SchemaError(
                f"column {self.name} is personal: it is neither published nor trained"
            )


@dataclass(frozen=True)
class Table(Generic[R]):
    """One table: `row` says what one row is, `key` what identifies it, `row_type` its type."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    row_type: type[R]

    def __post_init__(self) -> None:
        """Refuse text that a takedown could not find, or could not take out of a row that stays."""
        for column in self.columns:
            if column.holds_text and not self.holds_rows_of:
                raise SchemaError(
                    f"table {self.name}, column {column.name} holds text, but no column "
                    "prompt_id or post_id tells a takedown of which prompt or post"
                )
            if column.holds_text and self.may_drop and not column.nullable:
                raise SchemaError(
                    f"table {self.name}, column {column.name} holds text: let it be null, a "
                    "dropped row has none"
                )

    @property
    def holds_rows_of(self) -> Literal["prompt_id", "post_id"] | None:
        """The column by which a takedown finds rows, of posts or of prompts; None where none is."""
        if "post_id" in self.key:
            return "post_id"
        return "prompt_id" if "prompt_id" in self.names else None

    @property
    def may_drop(self) -> bool:
        """Whether a row may stay as dropped, with its reason and without its text."""
        return "drop_reason" in self.names

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return [column.name for column in self.columns]

    def where(self, fact: Fact) -> tuple[Column, ...]:
        """The columns of which a fact is true, in order."""
        return tuple(column for column in self.columns if getattr(column, fact))

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema that the stored file has."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    def described(self) -> list[Described]:
        """The columns as plain values: name, type, nullable, allowed values, meaning."""
        return [
            {
                "name": column.name,
                "type": str(column.type),
                "nullable": column.nullable,
                "values": list(column.values) if column.values else None,
                "description": column.doc,
            }
            for column in self.columns
        ]

    def build(self, rows: Iterable[R]) -> pa.Table:
        """A table of `rows` (what is absent becomes null), sorted by key."""
        try:
            loose = pa.schema([pa.field(c.name, c.type) for c in self.columns])
            given = list(rows)
            table = pa.Table.from_pylist(given, schema=loose)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise SchemaError(f"table {self.name}: {error}") from error
        keys = [(name, "ascending") for name in self.key]
        if table.nbytes < _CHUNK:
            return table.sort_by(keys)
        # Arrow sorts a column in one piece, and a piece of text has room for 2 GiB.
        order = pc.sort_indices(table.select(self.key), keys).to_pylist()
        step = max(1, len(order) * _CHUNK // table.nbytes)
        return pa.concat_tables(
            pa.Table.from_pylist([given[at] for at in order[start : start + step]], schema=loose)
            for start in range(0, len(order), step)
        )

    def rows(self, table: pa.Table) -> list[R]:
        """The rows of a stored table: here they get their type."""
        rows: list[R] = table.to_pylist()
        return rows

    def enforce(self, table: pa.Table) -> pa.Table:
        """The table under this schema; raises `SchemaError` with the first problem."""
        found = self.problems(table)
        if found:
            raise SchemaError(f"table {self.name}: {found[0]}")
        return table.cast(self.arrow)

    def problems(self, table: pa.Table) -> list[str]:
        """Every way in which `table` breaks this schema, one sentence each."""
        if table.schema.names != self.names:
            return [f"columns are {table.schema.names}, expected {self.names}"]
        found = [p for column in self.columns for p in _column_problems(column, table)]
        return found or self._key_problems(table)

    def _key_problems(self, table: pa.Table) -> list[str]:
        keys = [(name, "ascending") for name in self.key]
        if not table.select(self.key).equals(table.select(self.key).sort_by(keys)):
            return [f"rows are not sorted by {', '.join(self.key)}"]
        counts = table.select(self.key).group_by(list(self.key)).aggregate([([], "count_all")])
        twice = counts.filter(pc.greater(counts["count_all"], 1))
        if twice.num_rows:
            first = twice.select(self.key).slice(0, 1).to_pylist()[0]
            return [f"{twice.num_rows} keys stand more than once, first {first}"]
        return []


def _column_problems(column: Column, table: pa.Table) -> list[str]:
    values = table[column.name]
    if values.type != column.type:
        return [f"column {column.name} is {values.type}, expected {column.type}"]
    if not column.nullable and values.null_count:
        return [f"column {column.name} is null in {values.null_count} rows"]
    if column.values is not None:
        known = pc.or_kleene(
            pc.is_null(values), pc.is_in(values, value_set=pa.array(column.values, pa.string()))
        )
        strange = values.filter(pc.invert(known))
        if len(strange):
            return [f"column {column.name} holds {strange[0].as_py()!r}, allowed: {column.values}"]
    return []
