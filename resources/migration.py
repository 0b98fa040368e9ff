"""Moving paid work from one database to another: every table of the ledger and of the crawl.

Rows are streamed, and nothing that is there already is overwritten, so that a copy that was killed
is begun again. Every part is counted at both ends.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from resources import database
from resources.crawlers import store
from resources.models import ledger_tables
from resources.models.chat import without_credentials

_IN_PART = 500
_HOMES = (ledger_tables.TABLES, store.POSTS.metadata)


@dataclass(frozen=True)
class Moved:
    """What became of one table: rows of the source, and those that the target had before."""

    table: str
    rows: int
    there: int


def copy(source: str, target: str, tell: Callable[[Moved], None]) -> list[Moved]:
    """Copy all tables from one SQLAlchemy URL to another; returns and tells what was moved.

    Raises `dg.Failure` for a source that holds no ledger, or an end that cannot be reached.
    """
    if _place(source) == _place(target):
        raise dg.Failure("source and target are the same database; name two")
    moved = []
    with _reading(source) as reader:
        known = set(sa.inspect(reader).get_table_names())
        if ledger_tables.CALLS.name not in known:
            raise dg.Failure(f"{without_credentials(source)} holds no ledger; name another source")
        for home in _HOMES:
            with _opened(target, home).connect() as writer:
                for table in home.sorted_tables:
                    if table.name in known:
                        moved.append(_table(reader, writer, table))
                        tell(moved[-1])
    return moved


def _place(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:
        raise dg.Failure(
            f"{without_credentials(url)} is no SQLAlchemy URL; write sqlite:////path/to/ledger.db "
            "or postgresql+psycopg2://user@host/name"
        ) from None


def _reading(url: str) -> sa.Connection:
    """A connection that sees the database as it is now, whatever others write meanwhile."""
    place = _place(url)
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").is_file():
        raise dg.Failure(f"there is no file {place.database}; name the ledger to copy from")
    try:
        connection = sa.create_engine(url, poolclass=sa.NullPool).connect()
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        return connection
    except sa.exc.SQLAlchemyError as error:
        raise _unreachable(url, error) from None


def _opened(url: str, home: sa.MetaData) -> sa.Engine:
    try:
        return database.engine(url, home)
    except sa.exc.SQLAlchemyError as error:
        raise _unreachable(url, error) from None


def _unreachable(url: str, error: Exception) -> dg.Failure:
    kind = type(error).__name__
    return dg.Failure(
        f"database {without_credentials(url)} cannot be opened ({kind}); check the URL, and that "
        "the server runs and lets you in"
    )


def _table(reader: sa.Connection, writer: sa.Connection, table: sa.Table) -> Moved:
    rows = there = 0
    for part in _parts(reader, table):
        with writer.begin():
            before = _count(writer, table, part)
            database.insert_new(writer, table, part)
            after = _count(writer, table, part)
            if after != len(part):
                raise dg.Failure(
                    f"table {table.name}: {after} of {len(part)} rows are at the target; nothing "
                    "of the source is lost, run the command again"
                )
        rows, there = rows + len(part), there + before
    return Moved(table.name, rows, there)


def _parts(reader: sa.Connection, table: sa.Table) -> Iterator[Sequence[Mapping[str, Any]]]:
    # A source of an earlier version lacks columns that came since.
    known = {column["name"] for column in sa.inspect(reader).get_columns(table.name)}
    query = sa.select(*(column for column in table.columns if column.name in known))
    found = reader.execution_options(yield_per=_IN_PART).execute(query)
    missing = {column.name: None for column in table.columns if column.name not in known}
    for part in found.mappings().partitions():
        yield [{**missing, **{name: _storable(value) for name, value in row.items()}}
               for row in part]  # fmt: skip


def _storable(value: Any) -> Any:
    """A value as every database takes it: text without NUL, times with their zone."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return value


def _count(writer: sa.Connection, table: sa.Table, part: Sequence[Mapping[str, Any]]) -> int:
    keys = list(table.primary_key)
    wanted = [tuple(row[column.name] for column in keys) for row in part]
    query = sa.select(sa.func.count()).where(sa.tuple_(*keys).in_(wanted))
    return int(writer.execute(query).scalar_one())
