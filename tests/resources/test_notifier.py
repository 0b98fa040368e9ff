"""Notices of failed steps, against a webhook on this machine."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from chillguard.rows.records import RecordError
from pipelines.hooks import watched
from resources.notifier import Notice, Notifier, cause_of

pytestmark = pytest.mark.enable_socket
RAW = "a text that nobody else may read"
KEY = "sk-planted-0123456789"


@contextmanager
def webhook(status=200):
    """A server that keeps what it was sent; yields its URL and the documents."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook/{KEY}", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (dg.Failure("file p.jsonl: line 3: text is empty"), "file p.jsonl: line 3: text is empty"),
        (
            RecordError("source 'a': no row can be used"),
            "source 'a': no row can be used",
        ),
        (KeyError(RAW), "KeyError; the log of the run has the details"),
        (ValueError(f"bad key {KEY}"), "ValueError; the log of the run has the details"),
        (
            dg.Failure(f"endpoint http://me:{KEY}@host:8000/v1?key={KEY} is down"),
            "endpoint http://host:8000/v1 is down",
        ),
        (
            dg.Failure(f"ledger postgresql+psycopg2://me:{KEY}@host/x cannot be reached"),
            "ledger postgresql+psycopg2://host/x cannot be reached",
        ),
        (dg.Failure("two\n lines"), "two lines"),
        (dg.Failure(), "it failed"),
        (None, "the log of the run has the cause"),
    ],
)
def test_a_cause_is_told_in_our_words_and_without_secrets(error, cause):
    assert cause_of(error) == cause


def test_a_long_cause_is_cut():
    assert len(cause_of(dg.Failure("x" * 5000))) == 600


def _run(asset, notifier, checks=()):
    """Run an asset whose failure is told; returns the result and the log of the run."""
    job = dg.Definitions(
        assets=[watched(asset)],
        asset_checks=[watched(check) for check in checks],
        resources={"notifier": notifier},
    ).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        log = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
    return result, log


@dg.asset(key=["jury_votes", "juror_1"])
def failing():
    """Fails as an endpoint does that is down."""
    raise dg.Failure("jury_votes/juror_1: endpoint http://h/v1 is down; start it")


@dg.asset
def foreign():
    """Fails as a mistake in the code does."""
    raise ValueError(f"{RAW} {KEY}")


def test_a_failed_step_is_told_with_asset_cause_and_what_to_do():
    with webhook() as (url, taken):
        result, log = _run(failing, Notifier(webhook=url))
    [notice] = taken
    assert notice["what"] == "jury_votes/juror_1"
    assert notice["cause"] == "jury_votes/juror_1: endpoint http://h/v1 is down; start it"
    assert result.run_id in notice["next_action"]
    assert notice["text"] == Notice(*(notice[n] for n in ("what", "job", "run_id", "cause"))).text
    assert KEY not in log
    assert not result.success


def test_raw_text_and_secrets_stay_in_the_house():
    with webhook() as (url, taken):
        _run(foreign, Notifier(webhook=url))
    [notice] = taken
    assert RAW not in json.dumps(notice)
    assert KEY not in json.dumps(notice)
    assert notice["cause"].startswith("ValueError")


def test_a_check_that_stops_a_release_is_told_by_name():
    @dg.asset
    def train_set() -> None:
        """A side."""

    @dg.asset_check(asset=train_set, blocking=True)
    def no_leak() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    with webhook() as (url, taken):
        _run(train_set, Notifier(webhook=url), [no_leak])
    [notice] = taken
    assert notice["what"] == "no_leak of train_set"
    assert "train_set: no_leak" in notice["cause"]


def _down():
    with webhook() as (url, _):
        return url


@pytest.mark.parametrize(
    ("url", "trouble"),
    [(_down, "ConnectError"), (lambda: "no url", "UnsupportedProtocol"), (None, None)],
)
def test_a_webhook_that_is_down_fails_no_run_and_the_log_has_the_notice(url, trouble):
    result, log = _run(failing, Notifier(webhook=url() if url else None))
    assert "jury_votes/juror_1 failed: jury_votes/juror_1: endpoint http://h/v1 is down" in log
    assert "Next: mend the cause" in log
    assert ("the webhook was not told" in log) is bool(trouble)
    assert trouble is None or f"the webhook was not told: {trouble}" in log
    [failure] = result.get_step_failure_events()
    assert failure.step_key == "jury_votes__juror_1"
    assert "HOOK_ERRORED" not in {event.event_type_value for event in result.all_events}


def test_a_webhook_that_refuses_is_told_by_its_status():
    with webhook(503) as (url, taken):
        _, log = _run(failing, Notifier(webhook=url))
    assert "the webhook was not told: HTTP 503" in log
    assert len(taken) == 1


def test_a_step_that_succeeds_is_told_to_nobody():
    @dg.asset
    def fine() -> None:
        """Succeeds."""

    with webhook() as (url, taken):
        result, _ = _run(fine, Notifier(webhook=url))
    assert result.success
    assert taken == []
