"""The ledger of paid calls: one row per request that was ever answered, kept for good.

Raw answers are stored before anything parses them. SQLite by default, PostgreSQL by URL; several
processes may write at once. What a key is made of is `chillguard.calls.call_key`.
"""

import datetime as dt
import functools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chillguard import calls

_IN_BATCH = 500
_METADATA = sa.MetaData()
CALLS = sa.Table(
    "calls",
    _METADATA,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("asset", sa.String, nullable=False, comment="asset that paid for the call"),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("revision", sa.String, nullable=False),
    sa.Column("repeat_index", sa.Integer, nullable=False),
    sa.Column("answer", sa.Text, comment="raw; null once taken down"),
    sa.Column("finish_reason", sa.String),
    sa.Column("logprobs", sa.JSON),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("completion_tokens", sa.Integer),
    sa.Column("latency_ms", sa.Float),
    sa.Column("cost", sa.Float, comment="by the profile's price of the model; null = unpriced"),
    sa.Column("endpoint", sa.String, comment="scheme, host and path; never credentials"),
    sa.Column("fingerprint", sa.String, comment="observed; a change is drift"),
    sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("taken_down_at", sa.DateTime(timezone=True)),
    sa.Index("calls_by_asset", "asset", "role"),
)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Call:
    """One answered request, as it is stored."""

    key: str
    asset: str
    role: str
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
    answered_at: dt.datetime = field(default_factory=_now)


class Ledger(dg.ConfigurableResource):
    """The `calls` table at a SQLAlchemy URL."""

    url: str

    def answers(self, keys: Sequence[str]) -> dict[str, calls.Answer | None]:
        """Stored answers by key; None where the answer was taken down and may not be asked."""
        found: dict[str, calls.Answer | None] = {}
        columns = (CALLS.c.key, CALLS.c.answer, CALLS.c.finish_reason)
        with _engine(self.url).connect() as connection:
            for start in range(0, len(keys), _IN_BATCH):
                wanted = CALLS.c.key.in_(keys[start : start + _IN_BATCH])
                for row in connection.execute(sa.select(*columns).where(wanted)):
                    stored = row.answer is not None
                    found[row.key] = calls.Answer(row.answer, row.finish_reason) if stored else None
        return found

    def add(self, answered: Iterable[Call]) -> None:
        """Commit answered calls in one transaction; a key that is there already stays as it is."""
        rows = [asdict(call) for call in answered]
        if rows:
            with _engine(self.url).begin() as connection:
                dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
                connection.execute(dialect.insert(CALLS).on_conflict_do_nothing(), rows)

    def count(self) -> int:
        """Number of calls ever paid for."""
        with _engine(self.url).connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(CALLS)).scalar_one()
            )


@functools.cache
def _engine(url: str) -> sa.Engine:
    database = sa.make_url(url).database
    if url.startswith("sqlite") and database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _many_writers)
    _METADATA.create_all(engine)
    return engine


def _many_writers(connection: Any, _: Any) -> None:
    # WAL lets a second process write; NORMAL survives kill -9, and a power cut costs at most the
    # commits of the last checkpoint, which are asked again.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=60000"):
        connection.execute(f"PRAGMA {pragma}")
