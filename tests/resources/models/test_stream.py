"""Asking over a real loopback endpoint: nothing twice, nothing lost, and clean stops."""

import asyncio
import json
import random
import sqlite3
import threading
import time
from collections import Counter

import dagster as dg
import pytest

from chillguard.calls import call
from resources.models import chat, engine, outbox
from resources.models.budget import Cap, Price
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests.resources.fake_endpoint import completion, serve

pytestmark = pytest.mark.enable_socket
SAMPLING = call.Sampling(max_tokens=16)
CHOICE = {"choice": ["safe", "unsafe"]}
PROBE = chat.PROBE.messages[0]["content"]


def requests(count, system="you judge", schema=None):
    for i in range(count):
        messages = ({"role": "system", "content": system}, {"role": "user", "content": f"q{i}"})
        yield call.ChatRequest(f"row{i}", messages, SAMPLING, schema)


def parse(answer):
    if answer.text not in ("safe", "unsafe"):
        raise call.Unreadable("neither safe nor unsafe")
    return answer.text


def models(tmp_path, *urls, budgets=None, prices=None, **role):
    role = {"structured": "prompt", "concurrency": 16, "timeout_s": 2.0, **role}
    ledger = Ledger(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    bound = ModelRole(role="juror", model="m", urls=list(urls), **role)
    return LanguageModels(roles=[bound], ledger=ledger, budgets=budgets or {}, prices=prices or {})


def asker(made, told=None, run_id="run-1"):
    return Asker(made, "asset", run_id, Progress("asset", ([] if told is None else told).append))


def ask(made, source, **more):
    one = asker(made, **more)
    return list(one("juror", source, parse)), one.usage


def quarantine(tmp_path):
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        rows = connection.execute("select row_id, reason, attempts from quarantine").fetchall()
    connection.close()
    return rows


def test_every_request_has_one_outcome_and_a_second_run_pays_nothing(tmp_path):
    with serve() as endpoint:
        made = models(tmp_path, endpoint.url)
        outcomes, usage = ask(made, requests(700))
        assert sorted(o.row_id for o in outcomes) == sorted(f"row{i}" for i in range(700))
        assert {o.value for o in outcomes} == {"safe"}
        assert endpoint.calls == usage.paid == 700
        assert endpoint.peak <= 16
        _, again = ask(made, requests(700))
        assert (endpoint.calls, again.paid, again.from_ledger) == (700, 0, 700)


def test_the_last_answers_wait_for_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(outbox, "_COMMIT_WITHIN_S", 3600)
    outcomes = []
    with serve() as endpoint:
        made = models(tmp_path, endpoint.url)
        asking = threading.Thread(
            target=lambda: outcomes.extend(ask(made, requests(3))[0]), daemon=True
        )
        asking.start()
        asking.join(20)
    assert len(outcomes) == 3


def test_one_more_row_is_one_more_call(tmp_path):
    with serve() as endpoint:
        made = models(tmp_path, endpoint.url)
        ask(made, requests(1000))
        endpoint.forget()
        ask(made, requests(1001))
        assert endpoint.calls == 1


def test_another_system_prompt_gives_no_stale_answer(tmp_path):
    with serve(lambda text, nth: completion("safe" if nth == 1 else "unsafe")) as endpoint:
        made = models(tmp_path, endpoint.url)
        ask(made, requests(50))
        outcomes, _ = ask(made, requests(50, system="you judge strictly"))
        assert {o.value for o in outcomes} == {"unsafe"}


def test_equal_requests_in_one_run_are_sent_once(tmp_path):
    (one,) = requests(1)
    twins = [call.ChatRequest(f"r{i}", one.messages, SAMPLING) for i in range(20)]
    with serve(lambda text, nth: 0.05) as endpoint:
        outcomes, _ = ask(models(tmp_path, endpoint.url), twins)
        assert endpoint.calls == 1
        assert sorted(o.row_id for o in outcomes) == sorted(t.row_id for t in twins)


def test_a_parser_fix_reads_stored_answers_without_a_call(tmp_path):
    with serve(lambda text, nth: completion("SAFE")) as endpoint:
        made = models(tmp_path, endpoint.url, salvage=0)
        broken, _ = ask(made, requests(20))
        assert {o.value for o in broken} == {None}
        endpoint.forget()
        mended = list(asker(made)("juror", requests(20), lambda a: a.text.lower()))
        assert {o.value for o in mended} == {"safe"}
        assert endpoint.calls == 0
        assert quarantine(tmp_path) == []


def test_a_poison_row_is_quarantined_and_the_others_are_kept(tmp_path):
    error = json.dumps({"error": {"message": "q7 is bad", "type": "BadRequestError"}})
    poison = (400, {"content-type": "application/json"}, error)
    with serve(lambda text, nth: poison if text == "q7" else completion()) as endpoint:
        made = models(tmp_path, endpoint.url)
        outcomes, usage = ask(made, requests(1000))
        assert sum(o.value == "safe" for o in outcomes) == 999
        assert quarantine(tmp_path) == [("row7", "rejected: HTTP 400 BadRequestError", 1)]
        assert usage.quarantined == 1
        endpoint.forget()
        again, _ = ask(made, requests(1000))
        assert endpoint.calls == 0
        assert sorted(map(repr, again)) == sorted(map(repr, outcomes))


def test_a_redriven_row_is_asked_again_and_leaves_the_quarantine(tmp_path):
    fixed = False

    def script(text, nth):
        return completion() if fixed or text != "q3" else (400, {}, "no")

    with serve(script) as endpoint:
        made = models(tmp_path, endpoint.url)
        ask(made, requests(10))
        fixed = True
        assert made.ledger.redrive("asset") == 1
        endpoint.forget()
        outcomes, _ = ask(made, requests(10))
        assert endpoint.calls == 1
        assert all(o.value == "safe" for o in outcomes)
        assert quarantine(tmp_path) == []


def test_an_unreadable_answer_is_salvaged_with_another_repeat_index(tmp_path):
    with serve(lambda text, nth: completion("hm" if nth == 1 else "safe")) as endpoint:
        made = models(tmp_path, endpoint.url, salvage=1)
        outcomes, _ = ask(made, requests(30))
        assert all(o.value == "safe" for o in outcomes)
        assert endpoint.calls == 60
        endpoint.forget()
        again, _ = ask(made, requests(30))
        assert endpoint.calls == 0
        assert {o.call_key for o in again} == {o.call_key for o in outcomes}


def test_refusals_are_detected_and_counted_by_model(tmp_path):
    with serve(lambda text, nth: completion("抱歉，我无法回答。")) as endpoint:
        outcomes, usage = ask(models(tmp_path, endpoint.url), requests(5))
        assert {o.reason for o in outcomes} == {"refusal"}
        assert usage.refusals == {"m": 5}


def test_a_quarter_of_faults_leaves_every_row_answered_or_quarantined(tmp_path):
    dice = random.Random(7)
    faults = [
        (429, {"retry-after": "0.01"}, ""),
        (500, {}, "oops"),
        "reset",
        "hang",
        "truncate",
        (200, {}, "<html>not json</html>"),
        completion("I'm sorry, I can't help with that."),
    ]

    def script(text, nth):
        return dice.choice(faults) if dice.random() < 0.25 else completion()

    with serve(script) as endpoint:
        made = models(tmp_path, endpoint.url, concurrency=128, timeout_s=0.25, attempts=4)
        outcomes, usage = ask(made, requests(10_000))
        assert len(outcomes) == len({o.row_id for o in outcomes}) == 10_000
        good = sum(o.value is not None for o in outcomes)
        bad = [o.reason for o in outcomes if o.value is None]
        assert good + len(bad) == 10_000
        assert all(bad)
        assert good > 9_500
        assert len(quarantine(tmp_path)) == len(bad)
        assert usage.errors.total() > 1000
        assert endpoint.calls > 10_000


def test_a_cap_on_calls_stops_cleanly_and_goes_on_after_raising_it(tmp_path):
    with serve() as endpoint:
        capped = models(tmp_path, endpoint.url, budgets={"asset": Cap(calls=500)})
        with pytest.raises(dg.Failure) as stop:
            ask(capped, requests(1000))
        assert "stage asset: 500 of 500 calls" in str(stop.value.description)
        assert "budgets" in str(stop.value.description)
        assert endpoint.calls == capped.ledger.count() == 500
        outcomes, usage = ask(models(tmp_path, endpoint.url), requests(1000), run_id="run-2")
        assert (usage.paid, usage.from_ledger, len(outcomes)) == (500, 500, 1000)
        assert endpoint.calls == 1000


@pytest.fixture
def no_wait_for_ever(monkeypatch):
    """An engine whose results never come is an error, not a test that hangs."""
    results = engine.Engine.results

    async def within(self):
        async with asyncio.timeout(10):
            return await results(self)

    monkeypatch.setattr(engine.Engine, "results", within)


@pytest.mark.usefixtures("no_wait_for_ever")
def test_a_cap_that_the_probe_uses_up_stops_cleanly_and_goes_on_after_raising_it(tmp_path):
    script = {PROBE: completion("qvx")}
    with serve(lambda text, nth: script.get(text, completion())) as endpoint:
        capped = models(tmp_path, endpoint.url, structured="auto", budgets={"asset": Cap(calls=1)})
        with pytest.raises(dg.Failure) as stop:
            ask(capped, requests(3, schema=CHOICE))
        assert "stage asset: 1 of 1 calls" in str(stop.value.description)
        assert "budgets" in str(stop.value.description)
        assert endpoint.by_text == {PROBE: 1}
        assert capped.ledger.count() == 1
        assert quarantine(tmp_path) == []
        raised = models(tmp_path, endpoint.url, structured="auto")
        outcomes, usage = ask(raised, requests(3, schema=CHOICE), run_id="run-2")
        assert [o.value for o in outcomes] == ["safe"] * 3
        assert (usage.paid, endpoint.by_text[PROBE]) == (3, 1)


def test_a_cap_on_the_run_counts_what_other_stages_spent(tmp_path):
    with serve() as endpoint:
        capped = models(tmp_path, endpoint.url, budgets={"run": Cap(calls=30)})
        ask(capped, requests(20))
        with pytest.raises(dg.Failure, match="run: 30 of 30 calls"):
            ask(capped, requests(60))
        assert endpoint.calls == 30
        ask(capped, requests(35), run_id="another run")
        assert endpoint.calls == 35


def test_a_cap_on_money_is_kept_to_within_one_request(tmp_path):
    price = {"m": Price(prompt=100_000.0, completion=0.0)}
    with serve() as endpoint:
        capped = models(tmp_path, endpoint.url, budgets={"asset": Cap(cost=50.0)}, prices=price)
        with pytest.raises(dg.Failure, match="cost"):
            ask(capped, requests(1000))
        # Of 1.0 a call, 4.3 are held for each until its answer tells its tokens.
        assert 45 <= endpoint.calls <= 50
        assert capped.ledger.spent().cost == pytest.approx(endpoint.calls * 1.0)


def test_a_dead_endpoint_stops_the_run_with_a_sentence_and_loses_nothing(tmp_path):
    with serve() as endpoint:
        url = endpoint.url
        made = models(tmp_path, url, give_up_after_s=0.3)
        stream = asker(made)("juror", requests(3000), parse)
        first = [next(stream) for _ in range(600)]
        assert all(o.value == "safe" for o in first)
    with pytest.raises(dg.Failure) as stop:
        list(stream)
    told = str(stop.value.description)
    assert "asset asset, role juror" in told
    assert url in told
    paid = made.ledger.count()
    assert paid >= 600
    with serve() as endpoint:
        fresh = models(tmp_path, endpoint.url)
        outcomes, usage = ask(fresh, requests(3000))
        assert len(outcomes) == 3000
        assert usage.paid == 3000 - paid


def test_several_endpoints_share_the_load_and_survive_one_that_dies(tmp_path):
    with serve() as one, serve(lambda text, nth: "reset") as broken, serve() as other:
        made = models(tmp_path, one.url, broken.url, other.url, concurrency=30)
        outcomes, _ = ask(made, requests(600))
        assert all(o.value == "safe" for o in outcomes)
        assert min(one.calls, other.calls) > 150


def test_retry_after_leaves_the_endpoint_alone(tmp_path):
    def script(text, nth):
        return (429, {"retry-after": "0.4"}, "") if text == "q0" and nth == 1 else completion()

    with serve(script) as endpoint:
        made = models(tmp_path, endpoint.url, concurrency=1)
        outcomes, _ = ask(made, requests(5))
        assert all(o.value == "safe" for o in outcomes)
        assert endpoint.times[1] - endpoint.times[0] >= 0.4


def test_an_endpoint_that_said_retry_after_rests_while_another_takes_its_request(tmp_path):
    asked = Counter()

    def script(name):
        def answer(text, nth):
            asked[name] += 1
            return (429, {"retry-after": "30"}, "") if asked.total() == 1 else completion()

        return answer

    with serve(script("one")) as one, serve(script("other")) as other:
        outcomes, _ = ask(models(tmp_path, one.url, other.url, concurrency=2), requests(5))
    assert [o.value for o in outcomes] == ["safe"] * 5
    assert sorted(asked.values()) == [1, 5]


def test_overload_cuts_concurrency(tmp_path):
    busy = {"n": 0}

    def script(text, nth):
        busy["n"] += 1
        return (503, {}, "") if busy["n"] % 3 == 0 and busy["n"] < 60 else 0.01

    with serve(script) as endpoint:
        made = models(tmp_path, endpoint.url, concurrency=32)
        one = asker(made)
        assert len(list(one("juror", requests(300), parse))) == 300
        assert one.usage.errors["HTTP 503"] > 0


def test_a_key_that_is_not_accepted_stops_at_once(tmp_path):
    with serve(lambda text, nth: (401, {}, "who are you")) as endpoint:
        made = models(tmp_path, endpoint.url, api_key="sk-planted-secret")
        with pytest.raises(dg.Failure) as stop:
            ask(made, requests(500))
        assert "API key" in str(stop.value.description)
        assert "sk-planted-secret" not in str(stop.value.description)
        assert endpoint.calls <= 64
        assert endpoint.headers[0]["Authorization"].endswith("secret")


def test_the_key_and_credentials_in_a_url_are_nowhere_in_the_ledger(tmp_path):
    with serve() as endpoint:
        url = endpoint.url.replace("http://", "http://user:sk-in-url@")
        ask(models(tmp_path, url, api_key="sk-planted-secret"), requests(5))
    content = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert b"sk-planted" not in content
    assert b"sk-in-url" not in content


def test_the_probe_finds_out_how_a_schema_binds_and_is_remembered(tmp_path):
    def script(text, nth):
        return completion("anything goes")

    with serve(script) as endpoint:
        made = models(tmp_path, endpoint.url, structured="auto")
        list(asker(made)("juror", requests(3, schema=CHOICE), lambda a: a.text))
        probes = [b for b in endpoint.bodies if "structured_outputs" in b or "response_format" in b]
        assert len(probes) == 2
        assert made.ledger.binding(endpoint.url, "m") == "prompt"
        endpoint.forget()
        list(asker(made)("juror", requests(4, schema=CHOICE), lambda a: a.text))
        assert endpoint.calls == 1


def test_an_endpoint_that_ignores_schemas_is_told_of_once_per_asset(tmp_path):
    with serve() as endpoint:
        made, told = models(tmp_path, endpoint.url, structured="auto"), []
        for _ in range(2):
            one = asker(made, told)
            list(one("juror", requests(3, schema=CHOICE), parse))
            list(one("juror", requests(5, schema=CHOICE), parse))
            shown = chat.without_credentials(endpoint.url)
            assert one.usage.bindings == {shown: "prompt"}
    notes = [line for line in told if "binds no answer schema" in line]
    assert len(notes) == 2
    assert all(shown in note for note in notes)


def test_an_endpoint_that_binds_or_is_declared_not_to_is_not_told_of(tmp_path):
    told = []
    with serve() as endpoint:
        made = models(tmp_path, endpoint.url, structured="prompt")
        list(asker(made, told)("juror", requests(3, schema=CHOICE), parse))
    assert not [line for line in told if "binds no answer schema" in line]


def test_a_model_that_changes_behind_its_name_is_told_as_drift(tmp_path):
    names = iter(["v1"] * 5 + ["v2"] * 9)
    with serve(lambda text, n: completion() | {"system_fingerprint": next(names)}) as endpoint:
        made, told = models(tmp_path, endpoint.url, concurrency=1), []
        first = asker(made, told)
        list(first("juror", requests(5), parse))
        assert first.usage.fingerprints == {}
        assert not [line for line in told if "drift" in line]
        second = asker(made, told)
        list(second("juror", requests(7), parse))
    assert second.usage.fingerprints == {"m@main": ["v1", "v2"]}
    assert [line for line in told if "drift" in line] == [
        "asset: juror: drift: m@main has answered under 2 fingerprints, last v2; "
        "if the model itself changed, declare another `revision` to ask it anew"
    ]


def test_without_a_schema_there_is_no_probe(tmp_path):
    with serve() as endpoint:
        ask(models(tmp_path, endpoint.url, structured="auto"), requests(3))
        assert endpoint.calls == 3


def test_answers_come_out_while_others_are_still_asked(tmp_path):
    with serve(lambda text, nth: 0.05) as endpoint:
        stream = asker(models(tmp_path, endpoint.url, concurrency=8))("juror", requests(400), parse)
        next(stream)
        assert endpoint.calls < 100
        stream.close()


def test_progress_tells_counts_and_rate(tmp_path):
    told = []
    with serve() as endpoint:
        one = asker(models(tmp_path, endpoint.url), told)
        list(one("juror", requests(10), parse, total=10))
    assert "asset: juror: 10 of 10 done, 10 calls paid" in told[-1]
    assert "120 tokens" in told[-1]


def test_a_slow_caller_is_not_taken_for_a_slow_engine(tmp_path):
    with serve(lambda text, nth: 0.02) as endpoint:
        made = models(tmp_path, endpoint.url, concurrency=8)
        one = asker(made)
        for seen, _ in enumerate(one("juror", requests(300), parse)):
            if seen % 100 == 50:
                until = time.monotonic() + 0.3
                while time.monotonic() < until:
                    pass
        assert endpoint.peak == 8


def test_a_request_that_always_times_out_is_given_up_after_its_attempts(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_MAX_OVERLOADS", 5)
    with serve(lambda text, nth: "hang" if text == "q1" else completion()) as endpoint:
        made = models(tmp_path, endpoint.url, timeout_s=0.1, attempts=3)
        outcomes, _ = ask(made, requests(3))
        reasons = {o.row_id: o.reason for o in outcomes}
        assert reasons == {"row0": None, "row1": "gave up: time-out after 0.1 s", "row2": None}
        assert endpoint.by_text["q1"] == 3


def test_each_redrive_gives_a_row_as_many_tries_as_the_first_time(tmp_path):
    with serve(lambda text, nth: completion("hm")) as endpoint:
        made = models(tmp_path, endpoint.url, salvage=1)
        for drives in (1, 2, 3):
            ask(made, requests(1))
            assert endpoint.calls == 2 * drives
            made.ledger.redrive("asset")
