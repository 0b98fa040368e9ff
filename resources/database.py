"""Databases by SQLAlchemy URL: SQLite for one machine, PostgreSQL for several.

Engines and the two ways of writing that both dialects share; which tables there are is the
business of those who own them.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import sqlalchemy as sa
import tenacity
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")
# What SQLite says of a file that it cannot read.
_DAMAGED = ("file is not a database", "malformed")


@functools.cache
def engine(url: str, tables: sa.MetaData) -> sa.Engine:
    """The engine of a URL, its `tables` made if they are not there."""
    name = sa.make_url(url).database
    if url.startswith("sqlite") and name:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    # A server may have started again since; and an error's text must not hold what was written.
    found = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"), hide_parameters=True)
    if found.dialect.name == "sqlite":
        sa.event.listen(found, "connect", _many_writers)
        sa.event.listen(found, "handle_error", _tell_of_damage)
    tables.create_all(found)
    _add_columns(found, tables)
    return found


def _add_columns(found: sa.Engine, tables: sa.MetaData) -> None:
    """Give tables of an earlier version the nullable columns that came since."""
    inspector = sa.inspect(found)
    with found.begin() as connection:
        for table in tables.sorted_tables:
            there = {column["name"] for column in inspector.get_columns(table.name)}
            for column in table.columns:
                if column.name not in there:
                    kind = column.type.compile(found.dialect)
                    connection.execute(
                        sa.text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
                    )


def forget(url: str, tables: sa.MetaData) -> None:
    """Leave nothing of what was overwritten in the write-ahead log."""
    found = engine(url, tables)
    if found.dialect.name == "sqlite":
        with found.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def insert_new(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows; one whose key is there already stays as it is."""
    if rows:
        connection.execute(_dialect(connection).insert(table).on_conflict_do_nothing(), rows)


def lock_for_writing(connection: sa.Connection, table: sa.Table) -> None:
    """Let nobody else write to a table until the transaction of the connection ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))


def patiently(within_s: float, work: Callable[[], T]) -> T:
    """What work on a database returns: tried again while it is locked, full or starting anew."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(
            (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)
        ),
        stop=tenacity.stop_after_delay(within_s),
        wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
        reraise=True,
    )
    return retrying(work)


def replace(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert a row, or overwrite the one of the same key."""
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in row.items() if name not in keys}
    insert = _dialect(connection).insert(table).values(**row)
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=rest))


def _dialect(connection: sa.Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _tell_of_damage(context: sa.ExceptionContext) -> None:
    """Raises `dg.Failure` for a file that is no database, or a broken one."""
    told = str(context.original_exception)
    if any(sign in told for sign in _DAMAGED):
        file = context.engine.url.database if context.engine else None
        raise dg.Failure(
            f"database {file} is damaged ({told}): bring it back from a copy, or mend it with "
            "`sqlite3 FILE .recover`; if it is moved away, every call is asked and paid for again"
        ) from None


def _many_writers(connection: Any, _: Any) -> None:
    # WAL lets a second process write; NORMAL survives kill -9, and a power cut costs at most the
    # commits of the last checkpoint, which are asked again.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "busy_timeout=60000",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
