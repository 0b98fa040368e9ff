"""Services that tests of several rooms use: started once per session, skipped by name if absent."""

import itertools

import pytest
import sqlalchemy as sa

from tests import postgres as server

_NUMBER = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server():
    """The base URL of a PostgreSQL server of this session."""
    programs = server.programs()
    if programs is None:
        pytest.skip("needs PostgreSQL (`initdb` on the path, or Debian's package postgresql)")
    with server.server(programs) as url:
        yield url


@pytest.fixture
def postgres(postgres_server):
    """The URL of an empty database of this test's own; its connections end with the test."""
    url = server.fresh(postgres_server, f"test{next(_NUMBER)}")
    yield url
    engine = sa.create_engine(postgres_server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    name = sa.make_url(url).database
    with engine.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
