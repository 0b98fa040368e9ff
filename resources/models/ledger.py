"""The ledger of paid calls: one row per request that was ever answered, kept for good.

Raw answers are stored before anything parses them. SQLite by default, PostgreSQL by URL; several
processes may write at once. What a key is made of is `chillguard.calls.call`. Requests that
could not be answered stand in the `quarantine` table until they are.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import sqlalchemy as sa

from chillguard.calls import call
from resources import database
from resources.models.ledger_tables import BINDINGS, CALLS, FINGERPRINTS, QUARANTINE, TABLES

_IN_BATCH = 500
_PROBE = "probe"
_ID_CHARS = 32


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Call:
    """One answered request, as it is stored."""

    key: str
    asset: str
    role: str
    run_id: str
    model: str
    revision: str
    repeat_index: int
    answer: str
    finish_reason: str
    endpoint: str
    latency_ms: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    fingerprint: str | None = None
    logprobs: Any = None
    tokens_estimated: bool | None = None
    thinking: int | None = None
    row_id: str | None = None
    template: str | None = None
    answered_at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True)
class Quarantined:
    """A request that could not be answered."""

    key: str
    asset: str
    role: str
    model: str
    row_id: str
    reason: str
    attempts: int
    last_answer: str | None
    held: bool = True
    drives: int = 0
    quarantined_at: dt.datetime = field(default_factory=_now)


@dataclass(frozen=True)
class Spent:
    """What calls came to."""

    calls: int
    tokens: int
    cost: float


@dataclass(frozen=True)
class Averages:
    """Means over answered calls."""

    prompt_tokens: float
    completion_tokens: float
    latency_s: float


class Ledger(dg.ConfigurableResource):
    """The `calls` and `quarantine` tables at a SQLAlchemy URL."""

    url: str

    def answers(self, keys: Sequence[str]) -> dict[str, call.Answer | None]:
        """Stored answers by key; None where the answer was taken down and may not be asked."""
        columns = (CALLS.c.key, CALLS.c.answer, CALLS.c.finish_reason, CALLS.c.logprobs)
        return {
            row.key: None if row.answer is None else call.Answer(*row[1:])
            for row in self._among(sa.select(*columns), CALLS.c.key, keys)
        }

    def record(self, key: str) -> dict[str, Any] | None:
        """What is known of a call, without its answer; None if it was never answered."""
        columns = [column for column in CALLS.c if column.name not in ("answer", "logprobs")]
        query = sa.select(*columns).where(CALLS.c.key == key)
        with database.engine(self.url, TABLES).connect() as connection:
            row = connection.execute(query).first()
        return dict(row._mapping) if row else None

    def add(self, answered: Iterable[Call]) -> None:
        """Commit answered calls in one transaction; a key that is there already stays as it is."""
        self._insert(CALLS, [vars(one) for one in answered])

    def count(self) -> int:
        """Number of calls ever paid for."""
        return self.spent().calls

    def spent(self, **by: str) -> Spent:
        """Calls, tokens and cost of the calls whose columns have these values."""
        tokens = sa.func.coalesce(CALLS.c.prompt_tokens, 0) + sa.func.coalesce(
            CALLS.c.completion_tokens, 0
        )
        query = sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(tokens), 0),
            sa.func.coalesce(sa.func.sum(CALLS.c.cost), 0.0),
        ).where(*(CALLS.c[name] == value for name, value in by.items()))
        with database.engine(self.url, TABLES).connect() as connection:
            found = connection.execute(query).one()
        return Spent(int(found[0]), int(found[1]), float(found[2]))

    def averages(self, **by: str) -> Averages | None:
        """Means of the calls whose columns have these values, probes aside; None without any."""
        columns = (CALLS.c.prompt_tokens, CALLS.c.completion_tokens, CALLS.c.latency_ms)
        query = sa.select(*(sa.func.avg(column) for column in columns)).where(
            CALLS.c.row_id.is_distinct_from(_PROBE),
            *(CALLS.c[name] == value for name, value in by.items()),
        )
        with database.engine(self.url, TABLES).connect() as connection:
            found = connection.execute(query).one()
        if found[2] is None:
            return None
        return Averages(float(found[0] or 0), float(found[1] or 0), float(found[2]) / 1000)

    def quarantined(self, keys: Sequence[str]) -> dict[str, Quarantined]:
        """Quarantined requests by key."""
        rows = self._among(sa.select(QUARANTINE), QUARANTINE.c.key, keys)
        return {row.key: Quarantined(**row._mapping) for row in rows}

    def quarantine(self, rows: Iterable[Quarantined]) -> None:
        """Record requests that could not be answered, or renew their records."""
        records = [vars(row) for row in rows]
        self.release(record["key"] for record in records)
        self._insert(QUARANTINE, records)

    def release(self, keys: Iterable[str]) -> None:
        """Forget quarantined requests: they were answered."""
        gone = list(keys)
        with database.engine(self.url, TABLES).begin() as connection:
            for part in _parts(gone):
                connection.execute(sa.delete(QUARANTINE).where(QUARANTINE.c.key.in_(part)))

    def redrive(self, asset: str | None = None) -> int:
        """Let quarantined requests (of one asset, or all) be asked again; returns how many."""
        update = sa.update(QUARANTINE).values(held=False, drives=QUARANTINE.c.drives + 1)
        if asset:
            update = update.where(QUARANTINE.c.asset == asset)
        with database.engine(self.url, TABLES).begin() as connection:
            return int(connection.execute(update).rowcount)

    def take_down(self, keys: Sequence[str], row_ids: Sequence[str]) -> int:
        """Null answers, by key or by the row that asked; returns how many.

        The keys stay, so that none of them is ever asked again.
        """
        gone = {"answer": None, "logprobs": None, "taken_down_at": _now()}
        count = 0
        with database.engine(self.url, TABLES).begin() as connection:
            # A row may ask several times, under its id and a suffix.
            by_row = sa.func.substr(CALLS.c.row_id, 1, _ID_CHARS)
            for column, values in ((CALLS.c.key, keys), (by_row, row_ids)):
                for part in _parts(values):
                    where = (column.in_(part), CALLS.c.answer.is_not(None))
                    update = sa.update(CALLS).where(*where).values(**gone)
                    count += int(connection.execute(update).rowcount)
            for part in _parts(row_ids):
                update = sa.update(QUARANTINE).where(QUARANTINE.c.row_id.in_(part))
                connection.execute(update.values(last_answer=None))
        database.forget(self.url, TABLES)
        return count

    def binding(self, endpoint: str, model: str) -> str | None:
        """How the endpoint binds a schema, if it was ever probed."""
        where = (BINDINGS.c.endpoint == endpoint, BINDINGS.c.model == model)
        with database.engine(self.url, TABLES).connect() as connection:
            found = connection.execute(sa.select(BINDINGS.c.binding).where(*where)).scalar()
        return None if found is None else str(found)

    def save_binding(self, endpoint: str, model: str, binding: str) -> None:
        """Remember what a probe found."""
        row = {"endpoint": endpoint, "model": model, "binding": binding}
        self._insert(BINDINGS, [row])

    def observe(self, model: str, revision: str, fingerprints: Iterable[str]) -> None:
        """Remember fingerprints under which a declared model answers."""
        declared = {"model": model, "revision": revision, "seen_at": _now()}
        self._insert(FINGERPRINTS, [declared | {"fingerprint": one} for one in fingerprints])

    def fingerprints(self, model: str, revision: str) -> list[str]:
        """Fingerprints under which a declared model has ever answered, oldest first."""
        table = FINGERPRINTS.c
        query = (
            sa.select(table.fingerprint)
            .where(table.model == model, table.revision == revision)
            .order_by(table.seen_at, table.fingerprint)
        )
        with database.engine(self.url, TABLES).connect() as connection:
            return [str(found) for found in connection.execute(query).scalars()]

    def _insert(self, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        with database.engine(self.url, TABLES).begin() as connection:
            database.insert_new(connection, table, rows)

    def _among(self, query: Any, column: Any, keys: Sequence[str]) -> Iterable[Any]:
        with database.engine(self.url, TABLES).connect() as connection:
            for part in _parts(keys):
                yield from connection.execute(query.where(column.in_(part)))


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Values in parts that fit into one statement."""
    return (values[start : start + _IN_BATCH] for start in range(0, len(values), _IN_BATCH))
