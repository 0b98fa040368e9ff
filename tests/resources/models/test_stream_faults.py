"""What endpoints, databases and other runs do to a stage that asks: nothing lost, nothing twice."""

import sqlite3
import threading
import time

import dagster as dg
import pytest
import sqlalchemy as sa

from chillguard.calls import call
from resources.models import claims
from resources.models.budget import Cap
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests.resources.fake_endpoint import completion, serve

pytestmark = pytest.mark.enable_socket
FILTERED = {"choices": [{"finish_reason": "content_filter", "message": {"role": "assistant"}}]}
KEY_IS_GOOD = "1 + 1 = ?"


def requests(count, start=0):
    for i in range(start, start + count):
        yield call.ChatRequest(
            f"row{i}", ({"role": "user", "content": f"q{i}"},), call.Sampling(max_tokens=16)
        )


def parse(answer):
    if answer.text not in ("safe", "unsafe"):
        raise call.Unreadable("neither safe nor unsafe")
    return answer.text


def models(tmp_path, url, home=None, budgets=None, ledger=None, **role):
    role = {"structured": "prompt", "concurrency": 16, "timeout_s": 5.0, **role}
    bound = ModelRole(role="juror", model="m", urls=[url], **role)
    return LanguageModels(
        roles=[bound],
        ledger=Ledger(url=ledger or f"sqlite:///{tmp_path / 'ledger.db'}"),
        budgets=budgets or {},
        home=str(home) if home else None,
    )


def ask(made, source, run_id="run", asset="asset", told=None):
    tell = ([] if told is None else told).append
    asker = Asker(made, asset, run_id, Progress(asset, tell))
    return {one.row_id: one for one in asker("juror", source, parse)}, asker.usage


def quarantined(tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        rows = connection.execute("select row_id, reason from quarantine").fetchall()
    connection.close()
    return dict(rows)


def test_a_filter_at_http_200_is_one_call_and_an_abstention(tmp_path):
    with serve(lambda text, n: FILTERED if text == "q3" else completion()) as endpoint:
        outcomes, usage = ask(models(tmp_path, endpoint.url), requests(20))
        assert endpoint.calls == 20
    assert outcomes["row3"].reason == "content_filter"
    assert usage.refusals == {"m": 1}
    assert sum(one.value == "safe" for one in outcomes.values()) == 19


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_status_of_the_endpoint_for_one_row_is_that_rows_own(tmp_path, status):
    with serve(lambda text, n: (status, {}, "no") if text == "q0" else completion()) as endpoint:
        outcomes, _ = ask(models(tmp_path, endpoint.url, concurrency=1), requests(20))
        assert endpoint.by_text[KEY_IS_GOOD] == 1
    assert outcomes["row0"].reason == f"rejected: HTTP {status}"
    assert sum(one.value == "safe" for one in outcomes.values()) == 19
    assert quarantined(tmp_path) == {"row0": f"rejected: HTTP {status}"}


def test_the_last_row_alone_is_denied_without_stopping_the_stage(tmp_path):
    with serve(lambda text, n: (403, {}, "") if text == "q9" else completion()) as endpoint:
        outcomes, _ = ask(models(tmp_path, endpoint.url), requests(10))
    assert outcomes["row9"].reason == "rejected: HTTP 403"


def test_a_key_that_is_withdrawn_in_between_costs_no_row(tmp_path):
    def script(text, n):
        return completion() if endpoint.calls < 40 else (401, {}, "")

    with serve(script) as endpoint:
        with pytest.raises(dg.Failure, match="the API key is missing or not accepted"):
            ask(models(tmp_path, endpoint.url), requests(300))
        assert endpoint.calls < 120
    assert quarantined(tmp_path) == {}


def test_a_stage_whose_first_requests_are_all_rejected_stops_with_the_endpoints_reason(tmp_path):
    error = '{"error": {"type": "BadRequestError", "message": "unknown parameter: top_logprobs"}}'
    with serve(lambda text, n: (400, {}, error)) as endpoint:
        with pytest.raises(dg.Failure) as stop:
            ask(models(tmp_path, endpoint.url), requests(300))
        assert endpoint.calls < 120
    told = str(stop.value.description)
    assert "requests rejected: HTTP 400 BadRequestError" in told.replace(
        "rejected: rejected", "rejected"
    )
    assert "unknown parameter: top_logprobs" in told
    assert quarantined(tmp_path) == {}


def test_a_message_that_differs_by_request_is_not_shown(tmp_path):
    def script(text, n):
        return (400, {}, f'{{"error": {{"message": "bad input: {text}"}}}}')

    with (
        serve(script) as endpoint,
        pytest.raises(dg.Failure) as stop,
    ):
        ask(models(tmp_path, endpoint.url), requests(300))
    assert "bad input" not in str(stop.value.description)


def test_a_stage_whose_first_answers_are_all_unreadable_stops(tmp_path):
    with serve(lambda text, n: completion("hm")) as endpoint:
        with pytest.raises(dg.Failure, match="answers unreadable"):
            ask(models(tmp_path, endpoint.url, salvage=0), requests(400))
        assert endpoint.calls < 400
    assert quarantined(tmp_path) == {}


def test_an_overload_of_another_name_is_tried_again(tmp_path):
    with serve(lambda text, n: (529, {}, "") if n == 1 else completion()) as endpoint:
        outcomes, _ = ask(models(tmp_path, endpoint.url), requests(5))
    assert {one.value for one in outcomes.values()} == {"safe"}


def test_without_usage_tokens_are_estimated_marked_told_once_and_capped(tmp_path):
    silent = {key: value for key, value in completion().items() if key != "usage"}
    told = []
    with serve(lambda text, n: silent) as endpoint:
        made = models(tmp_path, endpoint.url, budgets={"asset": Cap(tokens=200)})
        with pytest.raises(dg.Failure, match="tokens"):
            ask(made, requests(300), told=told)
        # 1 token for the question and 2 for the answer; 34 are held for one that is on its way.
        assert 55 <= endpoint.calls <= 66
    assert sum("tokens are estimated" in line for line in told) == 1
    assert made.ledger.spent().tokens <= 200
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        marks = connection.execute("select distinct tokens_estimated from calls").fetchall()
    connection.close()
    assert marks == [(1,)]


def test_http_200_that_is_no_completion_counts_as_a_call(tmp_path):
    with serve(lambda text, n: (200, {}, "<html>") if n == 1 else completion()) as endpoint:
        outcomes, usage = ask(models(tmp_path, endpoint.url), requests(5))
        assert (usage.paid, endpoint.calls) == (10, 10)
    assert {one.value for one in outcomes.values()} == {"safe"}


def test_two_steps_of_a_run_keep_its_cap_together(tmp_path):
    with serve(lambda text, n: 0.01) as endpoint:
        made = models(tmp_path, endpoint.url, budgets={"run": Cap(calls=100)})

        def step(number):
            with pytest.raises(dg.Failure, match="run: "):
                ask(made, requests(200, number * 1000), asset=f"step {number}")

        _at_once(step)
        assert 80 <= endpoint.calls <= 100
        assert made.ledger.count() == endpoint.calls


def _at_once(work, count=2):
    failures = []

    def careful(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=careful, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def _failing(monkeypatch, times):
    add, left = Ledger.add, [times]

    def failing(self, answered):
        if left[0] > 0:
            left[0] -= 1
            raise sa.exc.OperationalError("insert", {}, Exception("database or disk is full"))
        add(self, answered)

    monkeypatch.setattr(Ledger, "add", failing)


def test_a_commit_that_fails_is_kept_and_tried_again(tmp_path, monkeypatch):
    _failing(monkeypatch, 3)
    with serve() as endpoint:
        outcomes, _ = ask(made := models(tmp_path, endpoint.url), requests(200))
        assert endpoint.calls == made.ledger.count() == 200
    assert {one.value for one in outcomes.values()} == {"safe"}


def test_while_nothing_can_be_committed_nothing_is_sent(tmp_path, monkeypatch):
    _failing(monkeypatch, 10**6)
    with serve() as endpoint:
        made = models(tmp_path, endpoint.url, give_up_after_s=0.5)
        with pytest.raises(dg.Failure, match=r"ledger has taken nothing .*disk is full"):
            ask(made, requests(2000))
        assert endpoint.calls < 300


def test_a_locked_ledger_is_waited_for_and_the_endpoint_is_not_blamed(tmp_path):
    with serve(lambda text, n: 0.01) as endpoint:
        made = models(tmp_path, endpoint.url, timeout_s=0.5)
        ask(made, requests(1, 5000))
        holder = sqlite3.connect(tmp_path / "ledger.db", check_same_thread=False)
        holder.execute("begin immediate")
        freed = threading.Timer(1.5, holder.rollback)
        freed.start()
        outcomes, usage = ask(made, requests(100))
        freed.join()
        holder.close()
        assert endpoint.calls == 101
    assert usage.errors == {}
    assert {one.value for one in outcomes.values()} == {"safe"}


def test_a_second_run_in_a_home_waits_and_pays_nothing_twice(tmp_path):
    told = [[], []]
    with serve(lambda text, n: 0.02) as endpoint:

        def run(number):
            made = models(tmp_path, endpoint.url, home=tmp_path)
            outcomes, _ = ask(made, requests(150), run_id=f"run {number}", told=told[number])
            assert {one.value for one in outcomes.values()} == {"safe"}

        _at_once(run)
        assert endpoint.calls == 150
    assert sum("this run waits" in line for lines in told for line in lines) == 1


def test_two_homes_on_one_ledger_pay_nothing_twice(tmp_path):
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    with serve(lambda text, n: 0.01) as endpoint:

        def run(number):
            home = tmp_path / f"home {number}"
            made = models(tmp_path, endpoint.url, home=home, ledger=shared)
            outcomes, _ = ask(made, requests(300), run_id=f"run {number}")
            assert {one.value for one in outcomes.values()} == {"safe"}

        _at_once(run)
        assert endpoint.calls == 300


def test_a_claim_whose_holder_was_killed_lapses(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "_LEASE_S", 0.3)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    killed, other = claims.Claims(url), claims.Claims(url)
    assert killed.take(["a", "b"]) == {"a", "b"}
    assert other.take(["a", "c"]) == {"c"}
    until = time.monotonic() + 5
    while other.take(["a"]) != {"a"} and time.monotonic() < until:
        pass
    assert other.take(["a"]) == {"a"}


def test_a_restart_of_the_engine_with_other_arguments_is_no_drift(tmp_path):
    prints = iter(["vllm-0.32.0-tp2-aaaaaaaa"] * 5 + ["vllm-0.32.0-bbbbbbbb"] * 9)
    told = []
    with serve(lambda text, n: completion() | {"system_fingerprint": next(prints)}) as endpoint:
        made = models(tmp_path, endpoint.url, concurrency=1)
        ask(made, requests(5), told=told)
        _, usage = ask(made, requests(9), told=told)
    assert usage.fingerprints == {}
    assert not [line for line in told if "drift" in line]


def test_a_key_with_a_newline_is_taken_without_it(tmp_path):
    with serve() as endpoint:
        outcomes, _ = ask(models(tmp_path, endpoint.url, api_key="sk-secret-key\n"), requests(3))
        assert endpoint.headers[0]["Authorization"] == "Bearer sk-secret-key"
    assert len(outcomes) == 3


def test_a_secret_that_an_endpoint_echoes_reaches_neither_ledger_nor_words(tmp_path):
    secret = "sk-planted-secret"

    def script(text, n):
        if text == "q1":
            return (400, {}, f'{{"error": {{"type": "{secret}", "message": "{secret}"}}}}')
        return completion(f"safe {secret}", finish_reason=secret) | {"system_fingerprint": secret}

    told = []
    with serve(script) as endpoint:
        made = models(tmp_path, endpoint.url, api_key=secret, salvage=0)
        outcomes, usage = ask(made, requests(5), told=told)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert secret.encode() not in content
    assert secret not in f"{outcomes} {usage} {told}"
