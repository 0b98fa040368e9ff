"""The ledger on SQLite, and the same on a real PostgreSQL server where the machine has one."""

import datetime as dt
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
import sqlalchemy as sa

from chillguard.calls.call import Answer
from resources import database
from resources.models import ledger_tables
from resources.models.ledger import Averages, Call, Ledger, Quarantined, Spent


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path):
    if request.param == "sqlite":
        return Ledger(url=f"sqlite:///{tmp_path / 'home' / 'ledger.db'}")
    return Ledger(url=request.getfixturevalue("postgres"))


@pytest.fixture
def sqlite_ledger(tmp_path):
    return Ledger(url=f"sqlite:///{tmp_path / 'home' / 'ledger.db'}")


def _call(key, answer="yes", **more):
    fixed = {
        "asset": "seed_keywords",
        "role": "expander",
        "run_id": "run",
        "model": "m",
        "revision": "main",
        "repeat_index": 0,
        "finish_reason": "stop",
        "endpoint": "http://127.0.0.1/v1",
        "latency_ms": 1.5,
    }
    return Call(key=key, answer=answer, **{**fixed, **more})


def _rows(ledger, question):
    """What plain SQL says to a client of its own, or the number of rows it changed."""
    engine = sa.create_engine(ledger.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        found = connection.execute(sa.text(question))
        return [tuple(row) for row in found] if found.returns_rows else found.rowcount


def test_a_call_knows_its_time_and_leaves_the_unknown_null():
    call = _call("k")
    assert call.answered_at.tzinfo is dt.UTC
    assert abs(dt.datetime.now(dt.UTC) - call.answered_at) < dt.timedelta(minutes=1)
    unknown = ("prompt_tokens", "completion_tokens", "cost", "fingerprint", "logprobs")
    assert [getattr(call, name) for name in unknown] == [None] * 5


def test_a_call_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        _call("k").answer = "no"


def test_a_new_ledger_makes_its_folder_and_is_empty(ledger):
    assert ledger.count() == 0
    assert ledger.answers(["k"]) == {}
    assert ledger.answers([]) == {}


def test_an_answer_is_found_by_its_key(ledger):
    ledger.add([_call("a", "one"), _call("b", "two", finish_reason="length")])
    assert ledger.answers(["b", "a", "c"]) == {
        "a": Answer("one", "stop"),
        "b": Answer("two", "length"),
    }
    assert ledger.count() == 2


def test_adding_nothing_is_nothing(ledger):
    ledger.add([])
    assert ledger.count() == 0


@pytest.mark.parametrize("together", [True, False])
def test_a_key_keeps_its_first_answer(ledger, together):
    first, second = _call("a", "first"), _call("a", "second")
    if together:
        ledger.add([first, second])
    else:
        ledger.add([first])
        ledger.add([second, _call("b")])
    assert ledger.answers(["a"]) == {"a": Answer("first", "stop")}
    assert ledger.count() == (1 if together else 2)


def test_the_table_itself_refuses_a_key_twice(ledger):
    ledger.add([_call("a")])
    with pytest.raises(sa.exc.IntegrityError, match=r"calls[._](key|pkey)"):
        _rows(ledger, "INSERT INTO calls SELECT * FROM calls")


def test_an_empty_answer_is_an_answer(ledger):
    ledger.add([_call("a", "")])
    assert ledger.answers(["a"]) == {"a": Answer("", "stop")}


@pytest.mark.parametrize("count", [499, 500, 501, 1703])
def test_many_keys_are_looked_up_at_once(ledger, count):
    there = [n for n in range(count) if n % 7]
    ledger.add(_call(f"k{n}", str(n)) for n in there)
    found = ledger.answers([f"k{n}" for n in range(count)])
    assert found == {f"k{n}": Answer(str(n), "stop") for n in there}


def test_an_answer_that_was_taken_down_comes_back_as_none(ledger):
    ledger.add([_call("a"), _call("b")])
    _rows(ledger, "UPDATE calls SET answer = NULL, taken_down_at = '2026-01-01' WHERE key = 'a'")
    assert ledger.answers(["a", "b"]) == {"a": None, "b": Answer("yes", "stop")}
    assert ledger.count() == 2


def test_a_taken_down_answer_is_not_brought_back_by_adding_it_again(ledger):
    ledger.add([_call("a")])
    _rows(ledger, "UPDATE calls SET answer = NULL")
    ledger.add([_call("a", "again")])
    assert ledger.answers(["a"]) == {"a": None}


def test_the_table_is_read_with_plain_sql(ledger):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    ledger.add(
        [
            _call(
                "a",
                prompt_tokens=7,
                completion_tokens=3,
                cost=0.25,
                fingerprint="f",
                answered_at=moment,
            )
        ]
    )
    [row] = _rows(
        ledger,
        "SELECT key, asset, role, run_id, model, revision, repeat_index, answer, finish_reason, "
        "prompt_tokens, completion_tokens, latency_ms, cost, endpoint, fingerprint, answered_at, "
        "taken_down_at FROM calls",
    )
    assert row[:9] == ("a", "seed_keywords", "expander", "run", "m", "main", 0, "yes", "stop")
    assert row[9:14] == (7, 3, 1.5, 0.25, "http://127.0.0.1/v1")
    assert row[14] == "f"
    assert str(row[15]).startswith("2026-01-02 03:04:05")
    assert row[16] is None


def test_messages_are_not_stored(ledger):
    ledger.add([_call("a")])
    ledger_engine = database.engine(ledger.url, ledger_tables.TABLES)
    names = {column["name"] for column in sa.inspect(ledger_engine).get_columns("calls")}
    assert not names & {"messages", "prompt", "request", "api_key"}


def test_a_reader_does_not_wait_for_a_writer(sqlite_ledger):
    sqlite_ledger.add([_call("a")])
    assert _rows(sqlite_ledger, "PRAGMA journal_mode") == [("wal",)]


def test_all_of_a_failed_transaction_is_left_out(ledger):
    with pytest.raises(Exception, match=r"(?i)not[ -]null"):
        ledger.add([_call("a"), _call("b", role=None)])
    assert ledger.count() == 0


def test_log_probabilities_come_back_as_they_were_stored(ledger):
    tokens = [{"token": "safe", "logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -2.0}]}]
    ledger.add([_call("a", logprobs=tokens), _call("b")])
    found = ledger.answers(["a", "b"])
    assert found["a"].logprobs == tokens
    assert found["b"].logprobs is None
    assert _rows(ledger, "SELECT logprobs FROM calls WHERE key = 'b'") == [(None,)]


def test_spending_is_summed_over_the_calls_that_are_asked_for(ledger):
    ledger.add(
        [
            _call("a", prompt_tokens=7, completion_tokens=3, cost=0.5),
            _call("b", prompt_tokens=1, cost=0.25, run_id="other"),
            _call("c", role="rewriter"),
        ]
    )
    assert ledger.spent() == Spent(3, 11, 0.75)
    assert ledger.spent(run_id="run") == Spent(2, 10, 0.5)
    assert ledger.spent(role="expander", run_id="other") == Spent(1, 1, 0.25)
    assert ledger.spent(run_id="none") == Spent(0, 0, 0.0)


def test_averages_are_of_the_calls_that_are_asked_for(ledger):
    ledger.add(
        [
            _call("a", prompt_tokens=10, completion_tokens=2, latency_ms=1000.0),
            _call("b", prompt_tokens=20, completion_tokens=4, latency_ms=3000.0),
            _call("c", role="rewriter", prompt_tokens=1000, latency_ms=9000.0),
        ]
    )
    assert ledger.averages(role="expander", model="m") == Averages(15.0, 3.0, 2.0)
    assert ledger.averages(role="rewriter") == Averages(1000.0, 0.0, 9.0)
    assert ledger.averages(role="judge") is None


def _held(key, **more):
    fixed = {"asset": "one", "role": "r", "model": "m", "row_id": "row", "reason": "why"}
    return Quarantined(key=key, **{**fixed, "attempts": 1, "last_answer": None, **more})


def test_a_quarantined_request_is_found_by_its_key_until_it_is_released(ledger):
    ledger.quarantine([_held("a", last_answer="hm"), _held("b")])
    found = ledger.quarantined(["a", "b", "c"])
    assert found.keys() == {"a", "b"}
    assert (found["a"].last_answer, found["a"].held, found["a"].drives) == ("hm", True, 0)
    ledger.release(["a", "c"])
    assert ledger.quarantined(["a", "b"]).keys() == {"b"}
    assert ledger.count() == 0


def test_a_quarantined_request_has_one_record_and_its_newest(ledger):
    ledger.quarantine([_held("a", reason="first")])
    ledger.quarantine([_held("a", reason="second", attempts=3)])
    found = ledger.quarantined(["a"])["a"]
    assert (found.reason, found.attempts) == ("second", 3)
    assert _rows(ledger, "SELECT count(*) FROM quarantine") == [(1,)]


@pytest.mark.parametrize(
    ("asset", "count", "free"), [("one", 1, {"a"}), (None, 2, {"a", "b"}), ("none", 0, set())]
)
def test_a_re_drive_frees_the_requests_of_one_asset_or_of_all(ledger, asset, count, free):
    ledger.quarantine([_held("a"), _held("b", asset="two")])
    assert ledger.redrive(asset) == count
    found = ledger.quarantined(["a", "b"])
    assert {key for key, one in found.items() if not one.held} == free
    assert {key for key, one in found.items() if one.drives == 1} == free


def test_many_quarantined_requests_are_released_at_once(ledger):
    keys = [f"k{number}" for number in range(1203)]
    ledger.quarantine(_held(key) for key in keys)
    assert len(ledger.quarantined(keys)) == 1203
    ledger.release(keys[:-1])
    assert ledger.quarantined(keys).keys() == {keys[-1]}


def test_what_a_probe_found_is_kept_by_endpoint_and_model(ledger):
    assert ledger.binding("http://e", "m") is None
    ledger.save_binding("http://e", "m", "prompt")
    assert ledger.binding("http://e", "m") == "prompt"
    assert ledger.binding("http://e", "other") is None
    assert ledger.binding("http://other", "m") is None


_WRITER = """
import dataclasses, sys
from resources.models.ledger import Averages, Call, Ledger, Quarantined, Spent
name, url = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger(url=url)
call = Call("", "a", "r", "run", "m", "main", 0, name, "stop", "e", 1.0)
for number in range(150):
    keys = (f"{name}{number}", f"shared{number}")
    ledger.add([dataclasses.replace(call, key=key) for key in keys])
"""


def test_two_processes_write_at_the_same_time_without_loss(ledger):
    command = [sys.executable, "-W", "ignore", "-c", _WRITER]
    writers = [
        subprocess.Popen(
            [*command, name, ledger.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=300)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert ledger.count() == 450
    keys = [f"{name}{number}" for name in ("one", "two", "shared") for number in range(150)]
    found = ledger.answers(keys)
    assert found.keys() == set(keys)
    assert all(found[f"one{number}"].text == "one" for number in range(150))


def test_fingerprints_are_kept_by_model_and_revision_oldest_first(ledger):
    ledger.observe("m", "main", ["old"])
    ledger.observe("m", "main", ["new", "old"])
    ledger.observe("m", "2", ["other"])
    ledger.observe("m", "main", [])
    assert ledger.fingerprints("m", "main") == ["old", "new"]
    assert ledger.fingerprints("m", "2") == ["other"]
    assert ledger.fingerprints("n", "main") == []
