import asyncio
import logging
import sqlite3
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import dagster as dg
import httpx
import pytest

from chillguard.calls import call
from resources.models import chat, stream
from resources.models.budget import Price
from resources.models.llm import Asker, LanguageModels
from resources.models.model_server import ModelServer
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests.resources.fake_endpoint import answer_by, completion, serve

URL = "http://127.0.0.1:9/v1"
SECRET = "sk-quite-secret"
SALVAGE = 1_000_000
CHOICE = {"choice": ["x", "y"]}
QUEUE = 'vllm:num_requests_waiting{model="m"} 40\n'
LOG = logging.getLogger("some.asset")


@pytest.fixture
def ask(ledger):
    """A function that makes an asker of asset `some/asset`; its one role is `writer`."""

    def make(run_id="run", prices=None, **role):
        models = _models(ledger, prices, **role)
        return Asker(models, "some/asset", run_id, Progress("some/asset", LOG.info))

    return make


def _models(ledger, prices=None, **role):
    fields = {"role": "writer", "model": "m", "urls": [URL], "structured": "prompt", **role}
    return LanguageModels(roles=[ModelRole(**fields)], ledger=ledger, prices=prices or {})


def _text(answer):
    return answer.text


def _upper_only(answer):
    if not answer.text.isupper():
        raise call.Unreadable("not upper case")
    return answer.text


def _by_row(outcomes):
    return {one.row_id: one.value for one in outcomes}


def _table(ledger, columns, table="calls"):
    with sqlite3.connect(ledger.url.removeprefix("sqlite:///")) as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY key").fetchall()


def test_every_request_gets_the_outcome_of_its_own_answer(endpoint, ask, requests):
    found = list(ask(concurrency=3)("writer", iter(requests(*"abcdefgh")), _text))
    assert _by_row(found) == {f"row {text}": f"re {text}" for text in "abcdefgh"}
    assert [one.reason for one in found] == [None] * 8


def test_an_outcome_names_the_ledger_key_of_its_answer(endpoint, ask, requests, ledger):
    [request] = requests("a")
    [outcome] = ask(revision="r2")("writer", [request], _text)
    assert outcome.call_key == call.call_key("m", "r2", request, 0)
    assert ledger.answers([outcome.call_key]) == {outcome.call_key: call.Answer("re a", "stop")}


def test_no_requests_are_no_outcomes_and_no_calls(endpoint, ask):
    assert list(ask()("writer", [], _text)) == []
    assert endpoint.bodies == []


def test_nothing_is_asked_twice(endpoint, ask, requests):
    first = list(ask()("writer", requests(*"abc"), _text))
    again = ask()
    assert sorted(map(repr, again("writer", requests(*"abc"), _text))) == sorted(map(repr, first))
    assert endpoint.asked == ["a", "b", "c"]
    assert (again.usage.paid, again.usage.from_ledger) == (0, 3)


def test_only_what_is_new_is_asked(endpoint, ask, requests):
    list(ask()("writer", requests(*"ab"), _text))
    found = list(ask()("writer", requests(*"xaby"), _text))
    assert _by_row(found) == {f"row {text}": f"re {text}" for text in "abxy"}
    assert endpoint.asked == ["a", "b", "x", "y"]


@pytest.mark.parametrize("changed", [{"model": "other"}, {"revision": "other"}])
def test_another_model_is_asked_anew(endpoint, ask, requests, changed):
    list(ask()("writer", requests("a"), _text))
    list(ask(**changed)("writer", requests("a"), _text))
    assert len(endpoint.bodies) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"urls": ["http://127.0.0.1:10/v2"]},
        {"api_key": SECRET},
        {"timeout_s": 1.0},
        {"salvage": 0},
        {"structured": "response_format"},
        {"concurrency": 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_same_model_elsewhere_is_not_asked_anew(endpoint, ask, requests, changed):
    wanted = requests("a", answer_schema=CHOICE)
    list(ask()("writer", wanted, _text))
    list(ask(**changed)("writer", wanted, _text))
    assert len(endpoint.bodies) == 1


def test_a_repeat_is_another_request(endpoint, ask, requests):
    list(ask()("writer", [*requests("a"), *requests("a", repeat=1)], _text))
    assert len(endpoint.bodies) == 2


def test_a_long_stream_is_never_taken_all_at_once(endpoint, ask, requests, monkeypatch):
    monkeypatch.setattr(stream, "_CHUNK", 4)
    taken = []

    def source():
        for request in requests(*map(str, range(40))):
            taken.append(request.row_id)
            yield request

    found = 0
    for _ in ask(concurrency=1)("writer", source(), _text):
        found += 1
        assert len(taken) <= found + 12
    assert found == 40


def test_a_rejected_request_is_quarantined_and_the_others_are_kept(endpoint, ask, requests, ledger):
    endpoint.reply = lambda n, body: (
        httpx.Response(400)
        if body["messages"][0]["content"] == "bad"
        else endpoint.completion("fine")
    )
    asker = ask()
    found = list(asker("writer", requests("a", "bad", "c"), _text))
    assert _by_row(found) == {"row a": "fine", "row bad": None, "row c": "fine"}
    assert ledger.count() == 2
    assert endpoint.asked.count("bad") == 1
    assert asker.usage.quarantined == 1
    assert asker.usage.reasons == {"rejected: HTTP 400": 1}
    columns = "asset, role, model, row_id, reason, attempts, last_answer"
    assert _table(ledger, columns, "quarantine") == [
        ("some/asset", "writer", "m", "row bad", "rejected: HTTP 400", 1, None)
    ]


def test_a_quarantined_request_is_asked_again_only_when_it_is_redriven(
    endpoint, ask, requests, ledger
):
    endpoint.reply = lambda n, body: httpx.Response(400)
    [first] = ask()("writer", requests("a"), _text)
    endpoint.reply = lambda n, body: endpoint.completion("fine")
    [held] = ask()("writer", requests("a"), _text)
    assert held == first
    assert len(endpoint.bodies) == 1
    assert ledger.redrive() == 1
    [driven] = ask()("writer", requests("a"), _text)
    assert driven.value == "fine"
    assert _table(ledger, "key", "quarantine") == []


@pytest.mark.parametrize("structured", ["prompt", "auto"])
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "the API key is missing or not accepted"),
        (402, "the account has no credit left"),
        (403, "the API key is missing or not accepted"),
        (404, "there is no such model or path; mend `model` or `url` of the role"),
    ],
)
def test_a_status_that_no_request_gets_past_stops_with_asset_role_endpoint_and_mend(
    endpoint, ask, requests, ledger, structured, status, told
):
    endpoint.reply = lambda n, body: httpx.Response(status)
    asker = ask(urls=["http://user:in-url@127.0.0.1:9/v1"], structured=structured)
    with pytest.raises(dg.Failure) as caught:
        list(asker("writer", requests(*"abc", answer_schema=CHOICE), _text))
    assert caught.value.description == (
        f"asset some/asset, role writer: endpoint {URL}: HTTP {status}: {told}. Everything "
        "answered so far is in the ledger: mend the cause and run again, only the rest is asked"
    )
    assert _table(ledger, "key") == _table(ledger, "key", "quarantine") == []


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_after_a_stop_only_what_was_not_answered_is_asked(endpoint, ask, requests, ledger, status):
    endpoint.reply = lambda n, body: (
        endpoint.completion("first") if n == 1 else httpx.Response(status)
    )
    with pytest.raises(dg.Failure):
        list(ask(concurrency=1)("writer", requests(*"abc"), _text))
    assert _table(ledger, "answer") == [("first",)]
    endpoint.reply = lambda n, body: endpoint.completion("second")
    asker = ask()
    found = list(asker("writer", requests(*"abc"), _text))
    assert sorted(one.value for one in found) == ["first", "second", "second"]
    assert (asker.usage.paid, asker.usage.from_ledger) == (2, 1)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(500),
        httpx.Response(429),
        httpx.Response(200, text="<html></html>"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.SocketTimeoutError("slow"),
    ],
    ids=lambda failure: str(getattr(failure, "status_code", type(failure).__name__)),
)
def test_a_failure_that_passes_is_not_seen_by_the_stage(endpoint, ask, requests, failure):
    def reply(number, body):
        if number > 2:
            return endpoint.completion("fine")
        if isinstance(failure, Exception):
            raise failure
        return failure

    endpoint.reply = reply
    asker = ask()
    [outcome] = asker("writer", requests("a"), _text)
    assert outcome.value == "fine"
    assert len(endpoint.bodies) == 3
    # HTTP 200 may have been charged for, whatever came with it.
    charged = 2 * (isinstance(failure, httpx.Response) and failure.status_code == 200)
    assert (asker.usage.paid, asker.usage.quarantined) == (1 + charged, 0)
    assert asker.usage.errors.total() == 2


@pytest.mark.parametrize("url", ["http://host:port/v1", "http://host:99999/v1", "http://[::1/v1"])
def test_a_url_that_cannot_be_read_is_told_with_its_role(ask, requests, url):
    with pytest.raises(dg.Failure, match=r"role writer: .* mend `url`"):
        list(ask(urls=[url])("writer", requests("a"), _text))


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_request_that_always_fails_is_given_up_after_its_attempts(
    endpoint, ask, requests, attempts
):
    endpoint.reply = lambda n, body: (
        httpx.Response(500)
        if body["messages"][0]["content"] == "bad"
        else endpoint.completion("fine")
    )
    found = list(ask(attempts=attempts)("writer", requests("a", "bad"), _text))
    [given_up] = [one for one in found if one.value is None]
    assert given_up.reason == "gave up: HTTP 500"
    assert endpoint.asked.count("bad") == attempts


def test_an_answer_is_in_the_ledger_before_it_is_parsed(endpoint, ask, requests, ledger):
    stored = []

    def parse(answer):
        stored.extend(_table(ledger, "answer"))
        raise RuntimeError("a bug of the parser")

    [outcome] = ask(salvage=0)("writer", requests("a"), parse)
    assert stored == [("re a",)]
    assert outcome.reason == "unreadable: the parser failed (RuntimeError)"


def test_a_mended_parser_reads_stored_answers_without_a_call(endpoint, ask, requests):
    broken = list(ask(salvage=0)("writer", requests(*"ab"), _upper_only))
    assert [one.reason for one in broken] == ["unreadable: not upper case"] * 2
    endpoint.bodies.clear()
    mended = list(ask(salvage=0)("writer", requests(*"ab"), _text))
    assert _by_row(mended) == {"row a": "re a", "row b": "re b"}
    assert endpoint.bodies == []


@pytest.mark.parametrize(("temperature", "again"), [(0.0, 0.5), (0.7, 0.7)])
def test_an_unreadable_answer_is_asked_again_under_a_repeat_index_of_its_own(
    endpoint, ask, requests, ledger, temperature, again
):
    endpoint.reply = lambda n, body: endpoint.completion("bad" if n == 1 else "GOOD")
    [request] = requests("a")
    request = replace(request, sampling=call.Sampling(temperature=temperature))
    asker = ask()
    [outcome] = asker("writer", [request], _upper_only)
    assert outcome.value == "GOOD"
    asked_again = replace(request, sampling=call.Sampling(temperature=again))
    assert outcome.call_key == call.call_key("m", "main", asked_again, SALVAGE)
    assert sorted(_table(ledger, "repeat_index, answer")) == [(0, "bad"), (SALVAGE, "GOOD")]
    assert (asker.usage.paid, asker.usage.quarantined) == (2, 0)


def test_only_the_first_attempt_of_a_greedy_request_is_greedy(endpoint, ask, requests, ledger):
    list(ask(salvage=3)("writer", requests("a"), _upper_only))
    assert [body["temperature"] for body in endpoint.bodies] == [0.0, 0.5, 0.5, 0.5]
    assert ledger.count() == 4


def test_only_the_unreadable_ones_are_salvaged(endpoint, ask, requests):
    endpoint.reply = lambda n, body: endpoint.completion(body["messages"][0]["content"])
    found = list(ask()("writer", requests("A", "b", "C"), _upper_only))
    assert _by_row(found) == {"row A": "A", "row b": None, "row C": "C"}
    assert endpoint.asked == ["A", "C", "b", "b"]


@pytest.mark.parametrize("salvage", [0, 1, 3])
def test_salvage_ends_after_as_many_tries_as_the_role_says(
    endpoint, ask, requests, ledger, salvage
):
    asker = ask(salvage=salvage)
    [outcome] = asker("writer", requests("a"), _upper_only)
    assert outcome.reason == "unreadable: not upper case"
    assert len(endpoint.bodies) == salvage + 1
    assert asker.usage.quarantined == 1
    assert _table(ledger, "attempts, last_answer", "quarantine") == [(salvage + 1, "re a")]


def test_a_salvaged_row_costs_nothing_the_next_time(endpoint, ask, requests):
    endpoint.reply = lambda n, body: endpoint.completion("bad" if n == 1 else "GOOD")
    list(ask()("writer", requests("a"), _upper_only))
    asker = ask()
    [outcome] = asker("writer", requests("a"), _upper_only)
    assert (outcome.value, len(endpoint.bodies)) == ("GOOD", 2)
    assert (asker.usage.paid, asker.usage.from_ledger) == (0, 2)


def test_what_was_taken_down_is_never_asked_again(endpoint, ask, requests, ledger):
    list(ask()("writer", requests(*"ab"), _text))
    key = call.call_key("m", "main", requests("a")[0], 0)
    with sqlite3.connect(ledger.url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE calls SET answer = NULL WHERE key = ?", [key])
    endpoint.bodies.clear()
    found = {one.row_id: one for one in ask()("writer", requests(*"ab"), _text)}
    assert (found["row a"].value, found["row a"].reason) == (None, "taken down")
    assert found["row b"].value == "re b"
    assert endpoint.bodies == []


def test_usage_adds_up_over_the_calls_of_an_asset(endpoint, ask, requests):
    asker = ask(prices={"m": Price(prompt=2.0, completion=10.0)})
    list(asker("writer", requests(*"ab"), _text))
    list(asker("writer", requests(*"abc"), _text))
    usage = asker.usage
    assert (usage.paid, usage.from_ledger, usage.quarantined) == (3, 2, 0)
    assert (usage.prompt_tokens, usage.completion_tokens) == (21, 9)
    assert usage.cost == pytest.approx((21 * 2.0 + 9 * 10.0) / 1e6)


def test_a_model_without_a_price_costs_an_unknown_amount(endpoint, ask, requests, ledger):
    asker = ask(prices={"another": Price(prompt=2.0, completion=10.0)})
    list(asker("writer", requests("a"), _text))
    assert asker.usage.cost == 0
    assert _table(ledger, "cost") == [(None,)]


def test_a_paid_call_is_booked_with_asset_role_run_and_model(endpoint, ask, requests, ledger):
    endpoint.reply = lambda n, body: endpoint.completion("yes", "eos", system_fingerprint="fp")
    prices = {"m": Price(prompt=1.0, completion=1.0)}
    list(ask(run_id="run 7", revision="r2", prices=prices)("writer", requests("a"), _text))
    [row] = _table(ledger, "asset, role, run_id, model, revision, repeat_index, answer")
    assert row == ("some/asset", "writer", "run 7", "m", "r2", 0, "yes")
    columns = "finish_reason, endpoint, prompt_tokens, completion_tokens, cost, fingerprint"
    [row] = _table(ledger, columns)
    assert row == ("stop", URL, 7, 3, pytest.approx(1e-5), "fp")


def test_no_more_than_the_concurrency_is_under_way(monkeypatch, ask, requests, endpoint):
    under_way, most = 0, 0

    async def reply(request):
        nonlocal under_way, most
        if request.method == "GET":
            return httpx.Response(404)
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return endpoint.completion("yes")

    answer_by(monkeypatch, reply)
    list(ask(concurrency=3)("writer", requests(*"abcdefghij"), _text))
    assert most == 3


_REPLIES = {
    "answered": httpx.Response(200, json={"choices": [{"message": {"content": "a"}}]}),
    "rejected": httpx.Response(400, text=SECRET),
    "unauthorised": httpx.Response(401, text=SECRET),
    "failing": httpx.Response(500, text=SECRET),
}


@pytest.mark.parametrize("kind", _REPLIES)
def test_the_key_is_in_no_ledger_file_log_line_or_error(
    endpoint, ask, requests, ledger, tmp_path, caplog, capfd, kind
):
    caplog.set_level(logging.DEBUG)
    endpoint.reply = lambda n, body: _REPLIES[kind]
    asker = ask(api_key=SECRET, urls=[URL.replace("//", f"//user:{SECRET}@")])
    said = ""
    try:
        said = str(list(asker("writer", requests("a"), _text)))
    except dg.Failure as failure:
        said = f"{failure} {failure.description} {failure.metadata} {failure.__cause__}"
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert said
    printed = capfd.readouterr()
    everywhere = [said, str(asker.usage), caplog.text, printed.out, printed.err]
    assert not [text for text in everywhere if SECRET in text]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_no_text_of_a_prompt_or_answer_is_logged(endpoint, ask, requests, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    endpoint.reply = lambda n, body: (
        httpx.Response(500, text="private page")
        if n == 1
        else endpoint.completion("private answer")
    )
    list(ask()("writer", requests("private question"), _upper_only))
    printed = capfd.readouterr()
    assert caplog.text
    assert "private" not in caplog.text + printed.out + printed.err


def test_an_unbound_role_is_named_with_the_mend(ledger):
    with pytest.raises(dg.Failure) as caught:
        _models(ledger).role("judge")
    assert caught.value.description == (
        "the profile binds no model to role 'judge'; add it under `roles`"
    )


def test_a_role_is_known_by_declared_model_and_revision(ledger):
    assert _models(ledger).identity("writer") == "m@main"
    assert _models(ledger, revision="r2").identity("writer") == "m@r2"


@pytest.mark.parametrize(("count", "each"), [(1, 10), (2, 5), (3, 4)])
def test_several_urls_share_the_concurrency_of_their_role(endpoint, ledger, count, each):
    models = _models(ledger, concurrency=10)
    found = models.endpoints(models.role("writer"), [f"http://127.0.0.1:{n}" for n in range(count)])
    assert [one.limiter.most for one in found] == [each] * count


@pytest.mark.parametrize(
    ("structured", "url", "binding"),
    [
        ("auto", URL, None),
        ("auto", chat.OFFLINE, "structured_outputs"),
        ("response_format", URL, "response_format"),
        ("prompt", URL, "prompt"),
    ],
)
def test_only_an_endpoint_of_unknown_binding_is_probed(endpoint, ledger, structured, url, binding):
    models = _models(ledger, structured=structured)
    [found] = models.endpoints(models.role("writer"), [url])
    assert found.binding == binding


def test_what_a_probe_found_is_not_found_out_again(endpoint, ledger):
    ledger.save_binding(URL, "m", "response_format")
    models = _models(ledger, structured="auto")
    [found] = models.endpoints(models.role("writer"), [URL.replace("//", "//user:word@")])
    assert found.binding == "response_format"


@pytest.mark.parametrize(
    ("answers", "numbers"),
    [
        (["qvx"], [0]),
        (["2", "qvx"], [0, 1]),
        (["2", "2", "2"], [0, 1, 2]),
        ([None, "qvx"], [1]),
        ([None, None, "2"], [2]),
    ],
    ids=["first binds", "second binds", "none binds", "first rejected", "both rejected"],
)
def test_every_answer_to_a_probe_is_paid_for(endpoint, ask, requests, ledger, answers, numbers):
    replies = [httpx.Response(400) if one is None else endpoint.completion(one) for one in answers]
    endpoint.reply = lambda n, body: (
        replies[n - 1] if n <= len(replies) else endpoint.completion("fine")
    )
    asker = ask(structured="auto", urls=[URL.replace("//", "//user:word@")])
    [outcome] = asker("writer", requests("a", answer_schema=CHOICE), _text)
    assert outcome.value == "fine"
    rows = dict(_table(ledger, "key, repeat_index"))
    assert rows.pop(outcome.call_key) == 0
    assert rows == {call.call_key("m", URL, chat.PROBE, number): number for number in numbers}
    columns = "asset, role, run_id, model, endpoint, prompt_tokens, completion_tokens"
    assert set(_table(ledger, columns)) == {("some/asset", "writer", "run", "m", URL, 7, 3)}
    paid = len(numbers) + 1
    assert asker.usage.paid == asker.budget.calls == paid
    assert (asker.usage.prompt_tokens, asker.usage.completion_tokens) == (7 * paid, 3 * paid)
    assert asker.budget.tokens == 10 * paid


def test_the_probe_of_each_endpoint_is_paid_for(endpoint, ask, requests, ledger):
    endpoint.reply = lambda n, body: endpoint.completion("qvx")
    urls = [URL, "http://127.0.0.1:10/v1"]
    asker = ask(structured="auto", urls=urls)
    outcomes = list(asker("writer", requests(*"ab", answer_schema=CHOICE), _text))
    probes = {call.call_key("m", url, chat.PROBE, 0) for url in urls}
    asked = {outcome.call_key for outcome in outcomes}
    assert {key for (key,) in _table(ledger, "key")} == probes | asked
    assert asker.usage.paid == ledger.count() == 4


@pytest.fixture
def metrics(endpoint, monkeypatch):
    """The engine's `/metrics`: gives `pages` in turn, counts looks and those that are over."""
    seen = SimpleNamespace(pages=[], looks=0, over=0)

    async def answer(request):
        if request.method == "POST":
            return endpoint(request)
        seen.looks += 1
        try:
            page = seen.pages.pop(0)
            if page == "hang":
                await asyncio.Event().wait()
            if isinstance(page, Exception):
                raise page
            return page if isinstance(page, httpx.Response) else httpx.Response(200, text=page)
        finally:
            seen.over += 1

    answer_by(monkeypatch, answer)
    return seen


def _only_endpoint(ledger):
    models = _models(ledger)
    [found] = models.endpoints(models.role("writer"), [URL])
    return found


def test_a_metrics_page_that_hangs_holds_no_answer_back(metrics, ask, requests, monkeypatch):
    monkeypatch.setattr(chat, "_METRICS_WITHIN_S", 20.0)
    metrics.pages = ["hang"]
    outcomes = ask()("writer", requests("a"), _text)
    assert next(outcomes).value == "re a"
    assert (metrics.looks, metrics.over) == (1, 0)
    assert list(outcomes) == []
    assert metrics.over == 1


@pytest.mark.parametrize(
    ("first", "looks", "limit"),
    [
        (QUEUE, 2, 1),
        ("hang", 2, 24),
        (aiohttp.SocketTimeoutError("slow"), 2, 24),
        (aiohttp.ServerDisconnectedError(), 2, 24),
        ("another_metric 5\n", 1, 64),
        (httpx.Response(404), 1, 64),
    ],
    ids=["the metric", "hangs", "time-out", "connection lost", "without the metric", "no page"],
)
def test_only_a_page_without_the_metric_ends_the_looks_at_the_queue(
    metrics, ledger, monkeypatch, first, looks, limit
):
    monkeypatch.setattr(chat, "_METRICS_WITHIN_S", 0.05)
    metrics.pages = [first, QUEUE]
    found = _only_endpoint(ledger)

    async def look_twice():
        for _ in range(2):
            found.start_poll()
            await found.poll

    asyncio.run(look_twice())
    assert (metrics.looks, found.limiter.limit) == (looks, limit)


def test_a_look_at_the_queue_begins_when_the_last_one_is_over(metrics, ledger):
    metrics.pages = ["hang", QUEUE]
    found = _only_endpoint(ledger)

    async def look():
        found.start_poll()
        hanging = found.poll
        await asyncio.sleep(0)
        found.start_poll()
        assert found.poll is hanging
        hanging.cancel()
        await asyncio.wait([hanging])
        found.start_poll()
        await found.poll

    asyncio.run(look())
    assert metrics.looks == 2


def test_an_asker_books_on_the_running_asset_and_run(endpoint, ledger, requests):
    @dg.asset(key=["jury_votes", "juror_1"])
    def votes(context: dg.AssetExecutionContext, llm: LanguageModels) -> None:
        list(llm.asker(context)("writer", requests("a"), _text))

    run = dg.materialize([votes], resources={"llm": _models(ledger)})
    assert _table(ledger, "asset, run_id") == [("jury_votes/juror_1", run.run_id)]


def test_a_key_from_the_environment_reaches_the_endpoint_only(
    endpoint, ledger, requests, monkeypatch
):
    monkeypatch.setenv("SOME_KEY", SECRET)

    @dg.asset
    def asked(context: dg.AssetExecutionContext, llm: LanguageModels) -> None:
        list(llm.asker(context)("writer", requests("a"), _text))

    resources = {"llm": _models(ledger, api_key=dg.EnvVar("SOME_KEY"))}
    with dg.DagsterInstance.ephemeral() as instance:
        found = dg.materialize([asked], resources=resources, instance=instance)
        events = [str(event) for event in instance.all_logs(found.run_id)]
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert events
    assert not [event for event in events if SECRET in event]


def test_a_role_with_a_server_of_its_own_is_asked_there_while_it_runs(
    ledger, requests, monkeypatch
):
    with serve(lambda text, nth: completion("from the server")) as server:

        class Running:
            def __enter__(self):
                return server.url

            def __exit__(self, *_):
                stopped.append(server.calls)

        stopped = []
        monkeypatch.setattr(ModelServer, "running", lambda self: Running())
        own = ModelServer(role="writer", model="m", served_name="m")
        role = ModelRole(role="writer", model="m", urls=[URL], structured="prompt")
        models = LanguageModels(roles=[role], ledger=ledger, servers=[own])
        asker = Asker(models, "some/asset", "run", Progress("some/asset", LOG.info))
        [outcome] = asker("writer", requests("a"), _text)
    assert outcome.value == "from the server"
    assert stopped == [1]
