import asyncio
import email.utils
import socket
import time

import aiohttp
import httpx
import pytest

from chillguard.calls import call
from resources.models import chat, failures
from resources.models.completion import Reply
from tests.resources.fake_endpoint import answer_by, completion, serve

URL = "http://127.0.0.1:9/v1"
SECRET = "sk-quite-secret"


def _with_wire(work, url=URL, api_key=None, timeout_s=5.0):
    """The result of `work(wire)`."""

    async def once():
        wire = chat.Wire(url, api_key, timeout_s, 2)
        try:
            return await work(wire)
        finally:
            await wire.close()

    return asyncio.run(once())


def _ask(request, binding="structured_outputs", **wire):
    return _with_wire(lambda it: chat.ask(it, "some-model", request, binding), **wire)


@pytest.fixture
def one(requests):
    return requests("你好")[0]


def test_a_request_has_model_messages_and_sampling_and_nothing_else(endpoint, one):
    _ask(one)
    assert endpoint.bodies == [
        {
            "model": "some-model",
            "messages": [{"role": "user", "content": "你好"}],
            "temperature": 0.0,
            "top_p": 1.0,
            "max_tokens": 512,
        }
    ]


def test_sampling_is_sent_as_it_is_declared(endpoint):
    sampling = call.Sampling(temperature=0.7, top_p=0.9, max_tokens=5, top_logprobs=4)
    _ask(call.ChatRequest("r", ({"role": "user", "content": "x"},), sampling))
    sent = endpoint.bodies[0]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.7, 0.9, 5)
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 4)


CHOICE = {"choice": ["safe", "unsafe"]}
OBJECT = {"type": "object", "properties": {"prompt": {"type": "string"}}}
ENUM = {"type": "string", "enum": ["safe", "unsafe"]}


@pytest.mark.parametrize(
    ("binding", "schema", "bound"),
    [
        ("structured_outputs", CHOICE, {"structured_outputs": CHOICE}),
        ("structured_outputs", OBJECT, {"structured_outputs": {"json": OBJECT}}),
        (
            "response_format",
            OBJECT,
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": OBJECT}},
        ),
        (
            "response_format",
            CHOICE,
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": ENUM}},
        ),
        ("prompt", CHOICE, None),
        ("prompt", OBJECT, None),
        ("structured_outputs", None, None),
    ],
)
def test_a_schema_is_bound_as_the_endpoint_can(endpoint, requests, binding, schema, bound):
    [request] = requests("x", answer_schema=schema)
    _ask(request, binding)
    sent = {
        name: value
        for name, value in endpoint.bodies[0].items()
        if name in ("structured_outputs", "response_format", "guided_choice", "guided_json")
    }
    wanted = bound if binding == "structured_outputs" else {binding: bound}
    assert sent == (wanted if bound else {})


def test_the_key_is_sent_as_a_bearer_token_and_only_if_there_is_one(endpoint, one):
    _ask(one, api_key=SECRET)
    _ask(one)
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in endpoint.requests[1].headers


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_requests_go_below_the_path_of_the_endpoint(endpoint, one, url):
    _ask(one, url=url)
    assert str(endpoint.requests[0].url) == f"{URL}/chat/completions"


def test_a_reply_carries_answer_usage_and_fingerprint(endpoint, one):
    endpoint.reply = lambda n, body: endpoint.completion("好", "length", system_fingerprint="fp")
    reply = _ask(one)
    assert reply == Reply(call.Answer("好", "length"), 7, 3, "fp")


def test_log_probabilities_come_with_the_answer(endpoint, one):
    tokens = [{"token": "safe", "logprob": -0.1, "top_logprobs": []}]
    choice = {"message": {"content": "safe"}, "logprobs": {"content": tokens}}
    endpoint.reply = lambda n, body: httpx.Response(200, json={"choices": [choice]})
    assert _ask(one).answer.logprobs == tokens


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
@pytest.mark.parametrize("logprobs", [None, {}])
def test_what_an_endpoint_does_not_tell_is_none(endpoint, one, usage, logprobs):
    choice = {"message": {"content": None}, "logprobs": logprobs}
    endpoint.reply = lambda n, body: httpx.Response(200, json={"choices": [choice], "usage": usage})
    assert _ask(one) == Reply(call.Answer("", "unknown"), None, None, None)


_KINDS = {
    failures.Refused: (400, 405, 413, 422, 301, 204),
    failures.Forbidden: (401, 402, 403, 404),
    failures.Overloaded: (429, 503),
    failures.Failed: (408, 409, 425, 500, 502, 504),
}


@pytest.mark.parametrize(
    ("kind", "status"), [(kind, status) for kind in _KINDS for status in _KINDS[kind]]
)
def test_a_status_is_one_kind_of_failure_and_its_body_is_not_quoted(endpoint, one, kind, status):
    endpoint.reply = lambda n, body: httpx.Response(status, text=f"你好 {SECRET}")
    with pytest.raises(failures.Failure) as caught:
        _ask(one, api_key=SECRET)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"HTTP {status}")
    assert SECRET not in str(caught.value)
    assert "你好" not in str(caught.value)
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "the API key is missing or not accepted"),
        (402, "the account has no credit left"),
        (403, "the API key is missing or not accepted"),
        (404, "there is no such model or path; mend `model` or `url` of the role"),
    ],
)
def test_a_status_that_no_request_gets_past_says_what_to_mend(endpoint, one, status, told):
    endpoint.reply = lambda n, body: httpx.Response(status, json={"error": {"type": "OtherError"}})
    with pytest.raises(failures.Forbidden) as caught:
        _ask(one)
    assert str(caught.value) == f"HTTP {status}: {told}"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": {"type": "BadRequestError", "message": "你好"}}, "HTTP 400 BadRequestError"),
        ({"type": "BadRequestError", "message": "你好"}, "HTTP 400 BadRequestError"),
        ({"error": {"type": "你好：in words"}}, "HTTP 400"),
        ({"error": {"type": 5}}, "HTTP 400"),
        ({"error": "你好"}, "HTTP 400"),
        ([1], "HTTP 400"),
        (None, "HTTP 400"),
    ],
)
def test_a_rejection_names_the_kind_of_error_at_most(endpoint, one, body, told):
    endpoint.reply = lambda n, _: httpx.Response(400, json=body)
    with pytest.raises(failures.Refused) as caught:
        _ask(one)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("-3", 0, 0),
        (email.utils.formatdate(time.time() + 360_000, usegmt=True), 300_000, 360_001),
        (email.utils.formatdate(time.time() - 3600, usegmt=True), 0, 0),
    ],
    ids=["seconds", "part of a second", "negative", "date to come", "date gone by"],
)
def test_an_overloaded_endpoint_says_when_to_come_back(endpoint, one, header, low, high):
    endpoint.reply = lambda n, body: httpx.Response(429, headers={"retry-after": header})
    with pytest.raises(failures.Overloaded) as caught:
        _ask(one)
    assert low <= caught.value.retry_after_s <= high


@pytest.mark.parametrize("headers", [{}, {"retry-after": "soon"}, {"retry-after": ""}])
def test_without_a_readable_retry_after_there_is_none(endpoint, one, headers):
    endpoint.reply = lambda n, body: httpx.Response(503, headers=headers)
    with pytest.raises(failures.Overloaded) as caught:
        _ask(one)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ConnectionTimeoutError, failures.Failed),
        (aiohttp.ServerDisconnectedError, failures.Failed),
        (aiohttp.ClientPayloadError, failures.Failed),
        (aiohttp.ClientOSError, failures.Failed),
        (ConnectionResetError, failures.Failed),
        (aiohttp.InvalidUrlClientError, failures.Forbidden),
        (aiohttp.NonHttpUrlClientError, failures.Forbidden),
        (aiohttp.SocketTimeoutError, failures.Overloaded),
        (TimeoutError, failures.Overloaded),
    ],
)
def test_a_transport_error_may_pass(endpoint, one, error, kind):
    def reply(number, body):
        raise error("quotes 你好")

    endpoint.reply = reply
    with pytest.raises(kind) as caught:
        _ask(one)
    assert "你好" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>welcome</body></html>",
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'"text"',
        b"null",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": "words"}]}',
        b'{"error": {"message": "quotes the prompt"}}',
    ],
)
def test_what_is_no_chat_completion_may_pass_and_is_not_quoted(endpoint, one, content):
    endpoint.reply = lambda n, body: httpx.Response(200, content=content)
    with pytest.raises(failures.Failed) as caught:
        _ask(one)
    assert str(caught.value) == "HTTP 200, but not a chat completion"


def test_an_answer_whose_encoding_is_broken_may_pass(one):
    broken = (200, {"content-encoding": "gzip"}, "no gzip at all")
    with serve(lambda text, nth: broken) as server, pytest.raises(failures.Failed):
        _ask(one, url=server.url)


def test_an_endless_answer_is_cut_off(one, monkeypatch):
    monkeypatch.setattr(chat, "_MAX_BODY", 100)
    endless = completion("x" * 200)
    with (
        serve(lambda text, nth: endless) as server,
        pytest.raises(failures.Refused, match="more than 16 MiB"),
    ):
        _ask(one, url=server.url)


def test_a_text_that_cannot_be_sent_is_rejected_and_never_changed(endpoint, requests):
    with pytest.raises(failures.Refused, match="lone surrogate"):
        _ask(requests("好\ud83d")[0])
    assert endpoint.bodies == []


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://localhost/v1", "somewhere"])
def test_an_address_that_is_no_http_url_is_told_at_once(one, url):
    with pytest.raises(failures.Forbidden, match="mend `url` of the role"):
        _ask(one, url=url)


def test_user_and_password_of_a_url_are_sent_unless_there_is_a_key(one):
    with serve(lambda text, nth: completion("yes")) as server:
        url = server.url.replace("http://", "http://user:word@")
        _ask(one, url=url)
        _ask(one, url=url, api_key=SECRET)
    sent = [headers["Authorization"] for headers in server.headers]
    assert sent == [aiohttp.encode_basic_auth("user", "word"), f"Bearer {SECRET}"]


def test_the_url_offline_is_the_stand_in_engine_in_process():
    message = {"role": "user", "content": "<text>\n请介绍一下相关法律规定。\n</text>"}
    request = call.ChatRequest("r", (message,), call.Sampling())
    reply = _with_wire(
        lambda wire: chat.ask(wire, "offline-juror-1", request, "prompt"), url=chat.OFFLINE
    )
    assert reply.answer == call.Answer("safe", "stop")
    assert reply.fingerprint == "offline"


def _probe(numbers=None):
    """What a probe of the endpoint finds; its numbers go to `numbers`."""

    async def work(wire):
        async def send(number, binding):
            if numbers is not None:
                numbers.append(number)
            return await chat.ask(wire, "m", chat.PROBE, binding)

        return await chat.probe(send)

    return _with_wire(work)


@pytest.mark.parametrize("binding", ["structured_outputs", "response_format"])
def test_the_probe_finds_what_really_binds(endpoint, binding):
    endpoint.reply = lambda n, body: endpoint.completion("qvx" if binding in body else "2")
    assert _probe() == (binding, True)


def test_a_probe_that_is_ignored_or_rejected_leaves_the_prompt(endpoint):
    endpoint.reply = lambda n, body: (
        httpx.Response(400) if "structured_outputs" in body else endpoint.completion("2")
    )
    numbers = []
    assert _probe(numbers) == ("prompt", True)
    assert numbers == [0, 1, 2]
    sent = [{"structured_outputs", "response_format"} & body.keys() for body in endpoint.bodies]
    assert sent == [{"structured_outputs"}, {"response_format"}, set()]


def test_an_endpoint_that_rejects_even_a_plain_question_is_not_taken_for_one_that_cannot_bind(
    endpoint,
):
    endpoint.reply = lambda n, body: httpx.Response(400)
    with pytest.raises(failures.Refused):
        _probe()
    assert len(endpoint.bodies) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, failures.Forbidden),
        (404, failures.Forbidden),
        (429, failures.Overloaded),
        (500, failures.Failed),
    ],
)
def test_a_probe_that_gets_no_answer_finds_nothing_out(endpoint, status, kind):
    endpoint.reply = lambda n, body: httpx.Response(status)
    with pytest.raises(kind):
        _probe()
    assert len(endpoint.bodies) == 1


def test_no_more_is_asked_once_a_probe_has_found_out(endpoint):
    endpoint.reply = lambda n, body: endpoint.completion("qvxz")
    assert _probe() == ("structured_outputs", True)
    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    ("page", "waiting"),
    [
        ('vllm:num_requests_waiting{model="m"} 3.0\nother 5\n', 3),
        ('vllm:num_requests_waiting{m="a"} 3.0\nvllm:num_requests_waiting{m="b"} 4.0\n', 7),
        ("# HELP other\nother 5\n", None),
        ("", None),
    ],
)
def test_the_queue_of_an_engine_is_read_from_its_metrics(monkeypatch, page, waiting):
    seen = []

    def answer(request):
        seen.append((request.method, str(request.url)))
        return httpx.Response(200, text=page)

    answer_by(monkeypatch, answer)
    assert _with_wire(lambda wire: wire.queue_length()) == waiting
    assert seen == [("GET", "http://127.0.0.1:9/metrics")]


@pytest.mark.parametrize(
    "error", [aiohttp.SocketTimeoutError, aiohttp.ClientConnectionError, TimeoutError]
)
def test_no_answer_about_the_queue_is_not_an_engine_that_tells_nothing(monkeypatch, error):
    def fail(request):
        raise error("slow")

    answer_by(monkeypatch, fail)
    with pytest.raises(failures.Failed):
        _with_wire(lambda wire: wire.queue_length())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:8000/v1?key=secret#x", "http://host:8000/v1"),
        ("https://host/v1", "https://host/v1"),
        ("offline", "offline"),
    ],
)
def test_what_is_shown_of_a_url_holds_no_credentials(url, shown):
    assert chat.without_credentials(url) == shown


def test_over_a_real_connection_body_key_and_answer_arrive(one):
    with serve(lambda text, nth: completion("好的")) as server:
        reply = _ask(one, url=server.url, api_key=SECRET)
    assert reply.answer.text == "好的"
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "你好"}]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ((400, {}, "no"), failures.Refused),
        ((401, {}, "no"), failures.Forbidden),
        ((500, {}, "no"), failures.Failed),
        ((429, {}, "no"), failures.Overloaded),
        ((200, {"content-type": "text/html"}, "<html></html>"), failures.NoCompletion),
        ("reset", failures.Failed),
        ("truncate", failures.NoCompletion),
    ],
    ids=str,
)
def test_over_a_real_connection_a_failure_is_of_its_kind(one, script, kind):
    with serve(lambda text, nth: script) as server, pytest.raises(failures.Failure) as caught:
        _ask(one, url=server.url)
    assert type(caught.value) is kind


def test_an_endpoint_that_takes_too_long_is_overloaded(one):
    with serve(lambda text, nth: "hang") as server:
        with pytest.raises(failures.Overloaded) as caught:
            _ask(one, url=server.url, timeout_s=0.1)
        assert str(caught.value) == "time-out after 0.1 s"


def test_a_port_where_nobody_listens_may_come_up(one):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(failures.Failed):
        _ask(one, url=f"http://127.0.0.1:{port}/v1")


def test_no_proxy_of_the_environment_is_used(monkeypatch, one):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serve(lambda text, nth: completion("direct")) as server:
        assert _ask(one, url=server.url).answer.text == "direct"
