"""What goes wrong between the product's own client and a real vLLM engine, and what it costs."""

import asyncio
import itertools
import json
import time
from pathlib import Path

import dagster as dg
import httpx
import pytest

from chillguard.calls import call
from chillguard.labeling import jury
from chillguard.rows import records
from resources.models import chat, failures
from tests.integration.real_engine import (
    AT_ONCE,
    BENIGN,
    HARMFUL,
    JURORS,
    PROBES,
    Server,
    by_row,
    request,
    text_of,
    texts,
    turn,
    votes,
)

pytestmark = pytest.mark.engine


# What cannot be answered


def test_an_answer_cut_off_is_asked_anew_then_quarantined(ask, ledger):
    shape = {"type": "object", "properties": {"name": {"type": "string", "minLength": 40}},
             "required": ["name"]}  # fmt: skip
    asker = ask()
    asked = [request("p0", BENIGN, shape, max_tokens=6), *votes([HARMFUL])]
    asked[1] = request("p1", BENIGN, {"type": "object", "additionalProperties": False})
    found = by_row(asker("juror", asked, call.parse_json))
    assert found["p0"].value is None
    assert found["p0"].reason == "unreadable: cut off at max_tokens"
    assert found["p1"].value == {}
    key = call.call_key("juror-1", "main", asked[0], 0)
    held = ledger.quarantined([key])[key]
    assert (held.attempts, held.held, held.row_id) == (2, True, "p0")
    stored = ledger.answers([key, found["p0"].call_key])
    assert len(stored) == 2
    assert {answer.finish_reason for answer in stored.values()} == {"length"}
    assert asker.usage.paid == PROBES + 3


def test_an_over_long_prompt_is_quarantined_and_the_others_are_kept(ask, ledger):
    asked = votes([BENIGN, "好 " * 9000, HARMFUL])
    asker = ask()
    found = by_row(asker("juror", asked, jury.parse_vote))
    assert found["p0"].value.label == "safe"
    assert found["p2"].value.label == "unsafe"
    assert found["p1"].reason == "rejected: HTTP 400 BadRequestError"
    assert asker.usage.paid == ledger.count() == PROBES + 2
    key = call.call_key("juror-1", "main", asked[1], 0)
    assert ledger.quarantined([key])[key].reason == found["p1"].reason


def test_a_model_that_is_not_served_stops_the_stage_and_is_not_remembered(ask, engine, ledger):
    with pytest.raises(dg.Failure, match="HTTP 404: there is no such model"):
        list(ask("no-such-model")("juror", votes([BENIGN, HARMFUL]), jury.parse_vote))
    assert ledger.count() == 0
    assert ledger.binding(engine.url, "no-such-model") is None
    assert len(list(ask()("juror", votes([BENIGN, HARMFUL]), jury.parse_vote))) == 2
    assert ledger.count() == PROBES + 2


def test_lone_surrogates_are_rejected_at_the_door():
    source = records.SourceConfig(name="s", path=Path("s.jsonl"))
    rejects: list[records.Reject] = []
    rows = [records.Parsed(1, {"text": "好\ud83d"}), records.Parsed(2, {"text": "好"})]
    assert len(list(records.accept(rows, source, (), rejects))) == 1
    assert [reject.reason for reject in rejects] == ["holds a lone surrogate"]


def test_a_lone_surrogate_on_the_wire_is_an_error_of_its_row(ask):
    found = by_row(ask()("juror", votes([BENIGN, "好\ud83d"]), jury.parse_vote))
    assert found["p0"].value.label == "safe"
    assert found["p1"].reason


def test_the_engine_refuses_a_lone_surrogate(engine):
    body = {"model": JURORS[0], "messages": list(turn("好\ud83d")), "max_tokens": 2}
    reply = httpx.post(
        f"{engine.url}/chat/completions",
        content=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        timeout=60,
        trust_env=False,
    )
    assert reply.status_code == 400


def test_a_greedy_request_for_several_answers_is_refused(engine):
    reply = engine.ask(BENIGN, n=2, temperature=0, max_tokens=2)
    assert reply.status_code == 400
    assert "greedy" in reply.json()["error"]["message"]


# Never twice, never too many


def test_a_second_identical_run_makes_no_call(ask, engine, ledger):
    asked = votes(text for text, _ in texts(20))
    first = {o.row_id: o.value for o in ask()("juror", asked, jury.parse_vote)}
    before, paid = engine.answered(), ledger.count()
    again = ask()
    second = {o.row_id: o.value for o in again("juror", asked, jury.parse_vote)}
    assert second == first
    assert engine.answered() == before
    assert ledger.count() == paid == PROBES + 20
    assert (again.usage.paid, again.usage.from_ledger) == (0, 20)


def long_requests(count, length):
    """One short request, then long ones: a forced answer has a known number of tokens."""
    forced = {"choice": ["x" * length]}
    sampling = {"temperature": 1.0, "max_tokens": length + 20}
    rest = [request(f"long{n}", f"{n}", forced, repeat=n, **sampling) for n in range(count)]
    return [request("short", BENIGN, {"choice": ["x"]}), *rest]


def test_closing_early_aborts_what_is_running(ask, engine):
    outcomes = ask(structured="structured_outputs")("juror", long_requests(12, 6000), text_of)
    assert next(outcomes).row_id == "short"
    assert engine.gauge("vllm:num_requests_running") >= 8
    outcomes.close()
    deadline = time.monotonic() + 10
    while engine.gauge("vllm:num_requests_running") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert engine.gauge("vllm:num_requests_running") == 0
    assert engine.gauge("vllm:num_requests_waiting") == 0


async def queue_length(url):
    wire = chat.Wire(url, None, 10.0, 4)
    try:
        return await wire.queue_length()
    except failures.Failed:
        return "no answer in time"
    finally:
        await wire.close()


def test_the_queue_is_as_long_as_the_engine_says(ask, engine):
    assert asyncio.run(queue_length(engine.url)) == 0
    asker = ask(structured="structured_outputs", concurrency=AT_ONCE + 36)
    outcomes = asker("juror", long_requests(AT_ONCE + 35, 6000), text_of)
    assert next(outcomes).row_id == "short"
    readings = []
    try:
        deadline = time.monotonic() + 30
        # A busy engine answers late, and its queue moves: only a reading between two equal ones
        # of a patient client can be held against them.
        while time.monotonic() < deadline:
            before = engine.gauge("vllm:num_requests_waiting")
            found = asyncio.run(queue_length(engine.url))
            readings.append((before, found, engine.gauge("vllm:num_requests_waiting")))
            if before and before == readings[-1][2] and found != "no answer in time":
                break
        assert readings[-1][0] == readings[-1][1] == readings[-1][2] > 0, readings
    finally:
        outcomes.close()


# An engine that dies


def test_an_engine_killed_in_mid_run_costs_only_what_was_in_flight(
    engine_home, models_folder, ask, ledger, tmp_path
):
    server = Server(engine_home / "bin/vllm", models_folder, tmp_path / "engine.log")
    server.start()
    try:
        asked = long_requests(200, 400)
        short = [
            request(f"short{n}", f"短 {n}", {"choice": ["xx"]}, max_tokens=8) for n in range(40)
        ]
        asked = [*asked[:1], *short, *asked[1:]]
        settings = {"concurrency": 240, "give_up_after_s": 3.0, "server": server}
        outcomes = ask(**settings)("juror", asked, text_of)
        seen = list(itertools.islice(outcomes, 20))
        server.kill()
        with pytest.raises(dg.Failure) as failure:
            seen.extend(outcomes)
        told = failure.value.description
        assert "asset jury_votes/juror_1, role juror" in told
        assert server.url in told
        paid = ledger.count() - PROBES
        assert 20 <= len(seen) <= paid <= len(asked) - 100
        assert {o.reason for o in seen} == {None}
        assert len(ledger.answers([o.call_key for o in seen])) == len(seen)
        keys = [call.call_key("juror-1", "main", one, one.repeat) for one in asked]
        assert ledger.quarantined(keys) == {}

        server.start()
        again = ask(**settings)
        found = by_row(again("juror", asked, text_of))
        assert len(found) == len(asked)
        assert {outcome.reason for outcome in found.values()} == {None}
        assert again.usage.paid == len(asked) - paid
        assert again.usage.from_ledger == paid
        assert ledger.count() == PROBES + len(asked)
    finally:
        server.stop()
