"""What the Qdrant adapter does beside the port: telling what goes wrong on the way."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import numpy as np
import pytest

from chillguard.embedding import PostFilter
from resources.vectors.port import Vectors
from resources.vectors.qdrant_store import MEMORY, QdrantStore

pytestmark = pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
KEY = "sk-quite-secret"


@pytest.fixture
def nobody():
    """A port at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@pytest.fixture
def answering():
    """A function that starts a server which answers everything the same; returns its port."""
    servers = []

    def start(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _failure(url, **more):
    store = QdrantStore(url=url, api_key=KEY, timeout_s=1, **more)
    with pytest.raises(dg.Failure) as caught:
        store.open("m", 16).__enter__()
    message = caught.value.description
    assert "\n" not in message
    assert KEY not in message
    return message


@pytest.mark.parametrize("grpc", [True, False])
def test_a_server_that_is_not_there_is_named_with_the_mend(nobody, grpc):
    message = _failure(f"http://user:sk-other@127.0.0.1:{nobody}", grpc=grpc)
    start = f"vector store http://127.0.0.1:{nobody}, collection 'posts' cannot be used ("
    assert message.startswith(start)
    assert message.endswith("start Qdrant there, or mend `vector_store` in the profile")
    assert "sk-other" not in message


@pytest.mark.parametrize(
    ("status", "body"), [(401, b"no"), (403, b""), (500, b"{}"), (200, b"hello"), (200, b"")]
)
def test_a_server_that_refuses_or_is_no_qdrant_is_named_in_one_sentence(answering, status, body):
    message = _failure(f"http://127.0.0.1:{answering(status, body)}", grpc=False)
    assert "collection 'posts' cannot be used (" in message


@pytest.fixture
def recording():
    """A server that has no collection yet and says yes to everything; returns port and requests."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            size = int(self.headers.get("content-length", 0))
            asked.append((self.path.partition("?")[0], json.loads(self.rfile.read(size) or "{}")))
            results = {
                "exists": {"exists": False},
                "index": {"operation_id": 1, "status": "completed"},
                "batch": [{"points": []}],
            }
            result = results.get(asked[-1][0].rpartition("/")[2], True)
            body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer()

        def do_PUT(self):
            self.answer()

        def do_POST(self):
            self.answer()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("quantization", ["none", "int8"])
@pytest.mark.parametrize("fields", [["lang", "sources", "terms"], ["terms"], []])
def test_the_collection_is_made_and_asked_as_the_settings_say(recording, quantization, fields):
    port, asked = recording
    settings = {"m": 24, "ef_construct": 300, "ef": 77, "quantization": quantization}
    store = QdrantStore(url=f"http://127.0.0.1:{port}", payload_indexes=fields, **settings)
    vectors = Vectors(np.eye(16, dtype=np.float32)[:1])
    with store.open("m@1", 16, sparse=True) as points:
        assert points.nearest(vectors, 5, PostFilter()) == [[]]
    (made,) = [body for path, body in asked if path == "/collections/posts" and body]
    on_disk = quantization == "int8"
    assert made["vectors"]["dense"] == {"size": 16, "distance": "Cosine", "on_disk": on_disk}
    assert set(made["sparse_vectors"]) == {"sparse"}
    assert made["hnsw_config"] == {"m": 24, "ef_construct": 300}
    scalar = {"scalar": {"type": "int8", "always_ram": True}}
    assert made.get("quantization_config") == (scalar if on_disk else None)
    assert made["metadata"] == {"model": "m@1", "dimension": 16, "sparse": True}
    indexed = [body for path, body in asked if path == "/collections/posts/index"]
    assert [body["field_name"] for body in indexed] == fields
    assert {body["field_schema"] for body in indexed} <= {"keyword"}
    (query,) = [body for path, body in asked if path.endswith("/query/batch")]
    params = query["searches"][0]["params"]
    rescored = {"rescore": True, "oversampling": 2.0}
    wanted = {"hnsw_ef": 77, "exact": False}
    assert {name: params[name] for name in wanted} == wanted
    assert params.get("quantization") == (rescored if on_disk else None)


def test_two_collections_of_one_server_are_two_stores():
    store = QdrantStore(url=MEMORY)
    other = QdrantStore(url=MEMORY, collection="other")
    other._client = store._connected()
    with store.open("m", 16), other.open("n", 8):
        pass
    with pytest.raises(dg.Failure, match="collection 'other' holds vectors of"):
        other.open("m", 16).__enter__()
