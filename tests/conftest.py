"""Services that tests of several rooms use, skipped by name if absent; minutes by marker."""

import itertools

import pytest
import sqlalchemy as sa

from tests import postgres as server
from tests.minutes import Minutes

_NUMBER = itertools.count(1)
_MINUTES = Minutes()


def pytest_addoption(parser):
    parser.addoption(
        "--hold-budgets",
        action="store_true",
        help="fail when the tests of a marker take more minutes than tests/minutes.py allows",
    )


def pytest_runtest_logreport(report):
    _MINUTES.add(report.keywords, report.duration)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    # Workers of xdist see a part only; the controller gets every report.
    controls = not hasattr(session.config, "workerinput")
    if controls and session.config.getoption("hold_budgets") and _MINUTES.over():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("minutes by marker", sep="-")
    for line in _MINUTES.lines():
        terminalreporter.line(line)
    if _MINUTES.over():
        terminalreporter.line(f"over budget: {', '.join(_MINUTES.over())}")


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
