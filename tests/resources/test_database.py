"""Databases that an earlier version made: they get what came since and lose nothing."""

import sqlite3

import pytest
import sqlalchemy as sa

from resources import database
from resources.crawlers import store
from resources.models import ledger_tables
from resources.models.ledger import Call, Ledger

_NEWER = ("row_id",)


def _old(path, table, without):
    """Make a table as it was before its newest columns."""
    columns = [
        sa.Column(column.name, column.type, primary_key=column.primary_key)
        for column in table.columns
        if column.name not in without
    ]
    engine = sa.create_engine(f"sqlite:///{path}")
    sa.Table(table.name, sa.MetaData(), *columns).create(engine)
    engine.dispose()


def _columns(path, table):
    with sqlite3.connect(path) as connection:
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    connection.close()
    return found


def _call(key, **more):
    fixed = {"asset": "a", "role": "r", "run_id": "run", "model": "m", "revision": "main"}
    rest = {"repeat_index": 0, "answer": f"to {key}", "finish_reason": "stop"}
    return Call(key=key, endpoint="e", latency_ms=1.0, **{**fixed, **rest, **more})


@pytest.fixture
def old(tmp_path):
    """A ledger of an earlier version with two answers."""
    path = tmp_path / "ledger.db"
    _old(path, ledger_tables.CALLS, _NEWER)
    rows = [
        {name: value for name, value in vars(_call(key)).items() if name not in _NEWER}
        for key in ("a", "b")
    ]
    for row in rows:
        row["answered_at"] = row["answered_at"].isoformat()
        row["logprobs"] = None
    with sqlite3.connect(path) as connection:
        names = ", ".join(rows[0])
        places = ", ".join(f":{name}" for name in rows[0])
        connection.executemany(f"INSERT INTO calls ({names}) VALUES ({places})", rows)
    connection.close()
    assert not {*_NEWER} & _columns(path, "calls")
    return path


def test_an_old_ledger_gets_the_new_column_and_keeps_its_answers(old):
    kept = Ledger(url=f"sqlite:///{old}")
    assert {key: one.text for key, one in kept.answers(["a", "b"]).items()} == {
        "a": "to a",
        "b": "to b",
    }
    assert {*_NEWER} <= _columns(old, "calls")
    assert kept.count() == 2


def test_an_old_ledger_takes_new_calls_and_takedowns_by_key_and_by_row(old):
    kept = Ledger(url=f"sqlite:///{old}")
    kept.add([_call("c", row_id="row 1"), _call("d", row_id="row 2")])
    assert kept.take_down(["a"], ["row 1", "row 9"]) == 2
    found = kept.answers(["a", "b", "c", "d"])
    assert {key for key, one in found.items() if one is None} == {"a", "c"}
    assert kept.take_down(["a"], ["row 1"]) == 0
    assert kept.count() == 4


def test_columns_are_added_once_whoever_opens_the_database(old):
    url = f"sqlite:///{old}"
    for _ in range(2):
        database.engine.cache_clear()
        assert Ledger(url=url).count() == 2
    assert store.PostStore(url=url).begin("one") == 1
    assert {"calls", "crawl_posts", "crawl_cursors"} <= _tables(old)


def _tables(path):
    with sqlite3.connect(path) as connection:
        found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return found


_THINGS = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("place", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("what", sa.String),
)


@pytest.fixture
def things(tmp_path):
    engine = database.engine(f"sqlite:///{tmp_path / 'deep' / 'x.db'}", _THINGS.metadata)
    with engine.begin() as connection:
        yield connection


def _row(number, what):
    return {"place": "here", "number": number, "what": what}


def _all(connection):
    return [tuple(row) for row in connection.execute(sa.select(_THINGS).order_by("number"))]


def test_a_row_whose_key_is_there_stays_as_it_is(things):
    database.insert_new(things, _THINGS, [_row(1, "first")])
    database.insert_new(things, _THINGS, [_row(1, "second"), _row(2, "other")])
    database.insert_new(things, _THINGS, [])
    assert _all(things) == [("here", 1, "first"), ("here", 2, "other")]


def test_a_row_is_replaced_by_its_whole_key(things):
    for number, what in ((1, "first"), (2, "other"), (1, "second")):
        database.replace(things, _THINGS, _row(number, what))
    assert _all(things) == [("here", 1, "second"), ("here", 2, "other")]


def test_one_url_and_set_of_tables_has_one_engine(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    assert database.engine(url, _THINGS.metadata) is database.engine(url, _THINGS.metadata)
