"""Claims: in a ledger that several homes share, who asks what just now.

A claim is a lease on a ledger key, renewed while its holder lives; when it lapses, after a kill,
another may ask. A ledger that belongs to one home alone needs none.
"""

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from resources import database
from resources.models.ledger_tables import CLAIMS, TABLES

_LEASE_S = 45.0
_RENEW_EVERY_S = 10.0
_IN_BATCH = 500


@dataclass
class Claims:
    """The claims of one ask on the ledger at a URL."""

    url: str
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)

    def take(self, keys: Sequence[str]) -> set[str]:
        """Claim keys that nobody has claimed; returns those that are this holder's now."""
        mine: set[str] = set()
        with database.engine(self.url, TABLES).begin() as connection:
            now = _now(connection)
            for start in range(0, len(keys), _IN_BATCH):
                part = keys[start : start + _IN_BATCH]
                among = CLAIMS.c.key.in_(part)
                connection.execute(sa.delete(CLAIMS).where(among, CLAIMS.c.until < now))
                # In order, so that two who claim the same keys never wait for each other.
                rows = [{"key": key, "holder": self.holder, "until": now + _LEASE_S}
                        for key in sorted(part)]  # fmt: skip
                database.insert_new(connection, CLAIMS, rows)
                own = sa.select(CLAIMS.c.key).where(among, CLAIMS.c.holder == self.holder)
                mine.update(connection.execute(own).scalars())
        return mine

    def release(self, keys: Sequence[str]) -> None:
        """Give claims back: the requests are answered, or given up."""
        with database.engine(self.url, TABLES).begin() as connection:
            for start in range(0, len(keys), _IN_BATCH):
                among = CLAIMS.c.key.in_(keys[start : start + _IN_BATCH])
                connection.execute(sa.delete(CLAIMS).where(among, CLAIMS.c.holder == self.holder))

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Keep all claims while the block runs; give back what is left of them at its end."""
        ended = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            ended.set()
            renewing.join()
            own = sa.delete(CLAIMS).where(CLAIMS.c.holder == self.holder)
            self._execute(own)

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(_RENEW_EVERY_S):
            self._execute(None)

    def _execute(self, statement: sa.Delete | None) -> None:
        try:
            with database.engine(self.url, TABLES).begin() as connection:
                until = _now(connection) + _LEASE_S
                renew = sa.update(CLAIMS).where(CLAIMS.c.holder == self.holder)
                connection.execute(renew.values(until=until) if statement is None else statement)
        except sa.exc.SQLAlchemyError:
            # The next time it may work; a lease that lapses costs a call, a crash here many.
            return


def _now(connection: sa.Connection) -> float:
    """Seconds by the clock of the database, which all holders share."""
    if connection.dialect.name == "sqlite":
        clock = "SELECT (julianday('now') - 2440587.5) * 86400.0"
    else:
        clock = "SELECT extract(epoch FROM clock_timestamp())"
    return float(connection.execute(sa.text(clock)).scalar_one())
