"""An embeddings endpoint on the loopback, and everything it may answer."""

import json
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import numpy as np
import pytest
import tenacity

from resources.vectors.embedding import EndpointEmbedder

DIMENSION = 4
KEY = "sk-quite-secret"
TEXTS = [f"第{number}句话" for number in range(10)]


def _vector(text):
    """A vector that tells the text, of length seven and more."""
    return [7.0, *(float(ord(letter)) for letter in text[:3])]


def _entries(texts):
    return [{"index": n, "embedding": _vector(text)} for n, text in enumerate(texts)]


class Endpoint:
    """Answers by `reply(number, texts)`: a document, bytes, or a status; keeps what came."""

    def __init__(self):
        self.asked, self.headers = [], []
        self.reply = lambda number, texts: {"data": _entries(texts)}
        self._lock = threading.Lock()

    def answer(self, request):
        length = int(request.headers["content-length"])
        body = json.loads(request.rfile.read(length))
        with self._lock:
            self.asked.append(body)
            self.headers.append(dict(request.headers))
            number = len(self.asked)
        found = self.reply(number, body["input"])
        status, content = (found, b"") if isinstance(found, int) else (200, found)
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
        request.send_response(status)
        request.send_header("content-length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@pytest.fixture
def endpoint():
    found = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            found.answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def embedder(endpoint, monkeypatch):
    """A function that makes an embedder of the endpoint; it tries again without a pause."""
    monkeypatch.setattr(tenacity.nap, "time", types.SimpleNamespace(sleep=lambda seconds: None))

    def make(**more):
        settings = {"url": endpoint.url, "model": "m", "dimension": DIMENSION, "api_key": KEY}
        return EndpointEmbedder(**{**settings, **more})

    return make


def _expected(texts):
    found = np.array([_vector(text) for text in texts])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _failure(embedder, texts=TEXTS[:2]):
    with pytest.raises(dg.Failure) as caught:
        embedder.embed(texts)
    message = caught.value.description
    assert message.startswith("embedding endpoint http://127.0.0.1:")
    assert message.endswith("; mend `embedder` in the profile, or start the endpoint")
    assert KEY not in message
    assert "\n" not in message
    assert not [text for text in texts if text in message]
    return message


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_texts_go_out_in_batches_and_come_back_in_order_and_of_unit_length(
    endpoint, embedder, batch_size
):
    found = embedder(batch_size=batch_size).embed(tuple(TEXTS))
    assert (found.dense.shape, found.dense.dtype) == ((10, DIMENSION), np.float32)
    assert found.sparse is None
    assert np.allclose(found.dense, _expected(TEXTS), atol=1e-6)
    assert np.allclose(np.linalg.norm(found.dense, axis=1), 1, atol=1e-6)
    assert sorted(text for body in endpoint.asked for text in body["input"]) == TEXTS
    assert max(len(body["input"]) for body in endpoint.asked) <= batch_size
    assert len(endpoint.asked) == -(-10 // batch_size)


def test_a_request_names_the_model_and_carries_the_key(endpoint, embedder):
    embedder(url=endpoint.url + "/").embed(TEXTS[:1])
    assert endpoint.asked == [{"model": "m", "input": TEXTS[:1], "encoding_format": "float"}]
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"


def test_without_a_key_none_is_sent(endpoint, embedder):
    embedder(api_key=None).embed(TEXTS[:1])
    assert "authorization" not in {name.lower() for name in endpoint.headers[0]}


def test_no_texts_ask_nothing(endpoint, embedder):
    assert embedder().embed([]).dense.shape == (0, DIMENSION)
    assert endpoint.asked == []


def test_vectors_are_paired_by_their_index_whatever_their_order(endpoint, embedder):
    endpoint.reply = lambda number, texts: {"data": _entries(texts)[::-1]}
    assert np.allclose(embedder().embed(TEXTS).dense, _expected(TEXTS), atol=1e-6)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_pass_is_tried_again(endpoint, embedder, status):
    endpoint.reply = lambda number, texts: status if number < 3 else {"data": _entries(texts)}
    assert np.allclose(embedder().embed(TEXTS).dense, _expected(TEXTS), atol=1e-6)
    assert len(endpoint.asked) == 3


def test_what_does_not_pass_is_told_after_the_last_attempt(endpoint, embedder):
    endpoint.reply = lambda number, texts: 503
    assert "model m: HTTP 503; " in _failure(embedder(attempts=3))
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
def test_a_refusal_is_told_at_once(endpoint, embedder, status):
    endpoint.reply = lambda number, texts: status
    assert f"model m: HTTP {status}; " in _failure(embedder())
    assert len(endpoint.asked) == 1


def test_an_endpoint_that_is_not_there_is_told_by_its_error(embedder):
    assert "ConnectError" in _failure(embedder(url="http://127.0.0.1:9/v1", attempts=2))


def test_credentials_in_the_url_are_not_told(endpoint, embedder):
    endpoint.reply = lambda number, texts: 401
    url = endpoint.url.replace("http://", "http://user:sk-other@")
    assert "sk-other" not in _failure(embedder(url=url))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"data": null}',
        b'{"data": [null, null]}',
        b'{"data": [{"embedding": [1, 2, 3, 4]}, {"embedding": [1, 2, 3, 4]}]}',
        b'{"data": [{"index": 0}, {"index": 1}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": "AAAA"}]}',
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2, 3, 4]}]}',
        b'{"data": [{"index": 0, "embedding": {}}, {"index": 1, "embedding": {}}]}',
        json.dumps({"error": {"message": "no such model"}}).encode(),
    ],
)
def test_an_answer_without_embeddings_is_told_as_such(endpoint, embedder, body):
    endpoint.reply = lambda number, texts: body
    assert "model m: no list of embeddings; " in _failure(embedder())
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("vectors", "shape"),
    [([[1.0] * 5] * 2, "(2, 5)"), ([[1.0] * 4], "(1, 4)"), ([[1.0] * 4] * 3, "(3, 4)"), ([], "0")],
)
def test_vectors_of_another_number_or_length_are_told_by_their_shape(
    endpoint, embedder, vectors, shape
):
    data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    endpoint.reply = lambda number, texts: {"data": data}
    message = _failure(embedder())
    assert shape in message
    assert "expected (2, 4)" in message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_vector_that_is_not_finite_is_refused_and_called_so(endpoint, embedder, number):
    row = f"[{number}, 0, 0, 1]"
    data = ", ".join(f'{{"index": {n}, "embedding": {row}}}' for n in range(2))
    endpoint.reply = lambda number, texts: f'{{"data": [{data}]}}'.encode()
    assert "not finite" in _failure(embedder())


def test_one_failing_batch_fails_the_whole(endpoint, embedder):
    def reply(number, texts):
        return 400 if TEXTS[5] in texts else {"data": _entries(texts)}

    endpoint.reply = reply
    assert "HTTP 400" in _failure(embedder(batch_size=2), TEXTS)
