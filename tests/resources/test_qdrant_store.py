"""What the Qdrant adapter does beside the port: telling what goes wrong on the way."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from resources.qdrant_store import MEMORY, QdrantStore

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


def test_two_collections_of_one_server_are_two_stores():
    store = QdrantStore(url=MEMORY)
    other = QdrantStore(url=MEMORY, collection="other")
    other._client = store._connected()
    with store.open("m", 16), other.open("n", 8):
        pass
    with pytest.raises(dg.Failure, match="collection 'other' holds vectors of"):
        other.open("m", 16).__enter__()
