"""Moving the ledger: every table, nothing overwritten, counted, to a real PostgreSQL."""

import datetime as dt
import sqlite3
import subprocess
import sys

import dagster as dg
import pytest
import sqlalchemy as sa

from chillguard.rows import intake
from resources import database, migration
from resources.crawlers.http import Marks
from resources.crawlers.source import Post, Query
from resources.crawlers.store import Position, PostStore
from resources.models import ledger_tables
from resources.models.ledger import Call, Ledger, Quarantined

WHEN = dt.datetime(2026, 11, 25, 9, 30, 15, 250000, tzinfo=dt.UTC)
# What a run has reserved and claimed is there only while it asks.
FLEETING = {"spending", "claims"}
TABLES = {"calls", "quarantine", "bindings", "fingerprints", *FLEETING,
          "crawl_posts", "crawl_cursors", "crawl_passes", "crawl_pages"}  # fmt: skip


def _call(key, answer="答案", **more):
    fixed = {"asset": "a", "role": "r", "run_id": "run", "model": "m", "revision": "main"}
    rest = {"repeat_index": 0, "finish_reason": "stop", "endpoint": "e", "latency_ms": 1.0}
    return Call(key=key, answer=answer, answered_at=WHEN, **{**fixed, **rest, **more})


@pytest.fixture
def source(tmp_path):
    """A ledger in SQLite with something in every table."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url=url)
    logprobs = [{"token": "安", "logprob": -0.1}]
    ledger.add([_call(f"{i:04}", row_id=f"row {i}") for i in range(1203)])
    ledger.add([_call("odd", "a\0b"), _call("seen", fingerprint="fp", logprobs=logprobs)])
    ledger.observe("m", "main", ["fp"])
    ledger.take_down(["0007"], [])
    ledger.quarantine(
        [Quarantined("q", "a", "r", "m", "row", "why", 2, "x\0", quarantined_at=WHEN)]
    )
    ledger.save_binding("e", "m", "prompt")
    store = PostStore(url=url)
    number = store.begin("toots")
    post = Post("1", "一篇帖子", url="http://h/1", marks=Marks("tag", None))
    admitted = intake.Admitted("一篇帖子", "hash", None, None)
    query = Query("query", None, "词", "zh")
    store.add("toots", query, number, [(post, admitted)], Position("next", posts=1, pages=1))
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'ledger.db'}"
    return request.getfixturevalue("postgres")


def _copy(source, target):
    told = []
    moved = migration.copy(source, target, told.append)
    assert moved == told
    return {one.table: (one.rows, one.there) for one in moved}


def _all(url, table):
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in rows]


def test_every_table_comes_over_whole_and_a_second_time_nothing_does(source, target):
    first = _copy(source, target)
    assert first.keys() == TABLES
    assert first["calls"] == (1205, 0)
    assert {name for name, (rows, _) in first.items() if not rows} == FLEETING
    assert all(there == 0 for _, there in first.values())
    assert _copy(source, target) == {name: (rows, rows) for name, (rows, _) in first.items()}
    kept, moved = Ledger(url=source), Ledger(url=target)
    assert moved.count() == kept.count() == 1205
    keys = ["0003", "0007", "seen"]
    assert moved.answers(keys) == kept.answers(keys)
    assert moved.answers(["0007"]) == {"0007": None}
    assert moved.binding("e", "m") == "prompt"
    assert moved.fingerprints("m", "main") == ["fp"]
    store = PostStore(url=target)
    assert list(store.records("toots")) == list(PostStore(url=source).records("toots"))
    assert store.marks("toots", "http://h/1") == Marks("tag", None)
    assert store.begin("toots") == 1


def test_what_no_postgresql_stores_is_replaced(source, target):
    _copy(source, target)
    moved = Ledger(url=target)
    assert moved.answers(["odd"])["odd"].text == "a\ufffdb"
    assert moved.quarantined(["q"])["q"].last_answer == "x\ufffd"


def test_times_keep_their_zone(source, postgres):
    name = sa.make_url(postgres).database
    engine = sa.create_engine(postgres, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Shanghai'")
    _copy(source, postgres)
    [row] = [row for row in _all(postgres, ledger_tables.CALLS) if row["key"] == "seen"]
    assert row["answered_at"] == WHEN


def test_what_is_at_the_target_is_never_overwritten(source, target):
    Ledger(url=target).add([_call("0003", "paid elsewhere"), _call("more")])
    assert _copy(source, target)["calls"] == (1205, 1)
    moved = Ledger(url=target)
    assert moved.answers(["0003"])["0003"].text == "paid elsewhere"
    assert moved.count() == 1206


def test_a_copy_that_was_killed_goes_on(source, target, monkeypatch):
    insert, parts = database.insert_new, []

    def dying(connection, table, rows):
        parts.append(table.name)
        if len(parts) == 2:
            raise KeyboardInterrupt
        insert(connection, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(database, "insert_new", dying)
        with pytest.raises(KeyboardInterrupt):
            _copy(source, target)
    again = _copy(source, target)
    there = Ledger(url=target)
    assert sum(rows - there for rows, there in again.values()) > 0
    assert there.count() == 1205


def test_rows_that_do_not_arrive_are_told(source, target, monkeypatch):
    monkeypatch.setattr(database, "insert_new", lambda *_: None)
    with pytest.raises(dg.Failure) as caught:
        _copy(source, target)
    assert "0 of " in caught.value.description
    assert "run the command again" in caught.value.description


def test_a_ledger_of_an_earlier_version_is_copied_with_nulls(source, postgres, tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("ALTER TABLE calls DROP COLUMN row_id")
    connection.close()
    assert _copy(source, postgres)["calls"] == (1205, 0)
    assert {row["row_id"] for row in _all(postgres, ledger_tables.CALLS)} == {None}


def _cli(source, target):
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.migrate_ledger", source, target]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_prints_the_counts_and_exits_zero(source, postgres):
    done = _cli(source, postgres)
    assert done.returncode == 0, done.stderr
    assert "calls" in done.stdout
    assert "1,205 copied" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1].endswith(
        "rows are at both ends, 0 of them were there before"
    )


@pytest.mark.parametrize(
    ("given", "to", "says"),
    [
        ("sqlite:///{tmp}/gone.db", "sqlite:///{tmp}/new.db", "there is no file {tmp}/gone.db"),
        ("sqlite:///{tmp}/other.db", "sqlite:///{tmp}/new.db", "holds no ledger"),
        ("{source}", "{source}", "source and target are the same database"),
        (
            "{source}",
            "postgresql+psycopg2://me:secret@127.0.0.1:9/x",
            "database postgresql+psycopg2://127.0.0.1:9/x cannot be opened (OperationalError)",
        ),
        ("not a url", "sqlite:///{tmp}/new.db", "is no SQLAlchemy URL"),
        ("{source}", "nosuchdb://host/x", "cannot be opened"),
    ],
)
@pytest.mark.enable_socket
def test_a_mistake_is_one_sentence(source, tmp_path, given, to, says):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE x (y)").connection.close()
    values = {"tmp": tmp_path, "source": source}
    with pytest.raises(dg.Failure) as caught:
        migration.copy(given.format(**values), to.format(**values), lambda moved: None)
    told = caught.value.description
    assert says.format(**values) in told
    assert "\n" not in told
    assert "secret" not in told
    assert not (tmp_path / "gone.db").exists()
