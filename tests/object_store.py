"""A local object store of the tests' own: moto's S3 server in a process of its own.

And a gate before it that stops in the middle of an upload, so that a writer can be killed there.
"""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_READY_WITHIN_S = 60


@contextmanager
def server() -> Iterator[str]:
    """Run a store with the bucket `tables`; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    url = f"http://127.0.0.1:{port}"
    try:
        _make_bucket(process, f"{url}/tables")
        yield url
    finally:
        process.terminate()
        process.wait()


def _make_bucket(process: subprocess.Popen, url: str) -> None:
    until = time.monotonic() + _READY_WITHIN_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(urllib.request.Request(url, method="PUT")):
            return
        time.sleep(0.05)
    raise AssertionError("the object store did not start")


@contextmanager
def gate(store: str, after: int) -> Iterator[tuple[str, threading.Event]]:
    """A URL before the store that lets `after` bytes through, and the event that they have come."""
    host, _, port = store.removeprefix("http://").partition(":")
    shut = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection((host, int(port))) as behind:
                answers = threading.Thread(target=_pass, args=(behind, client), daemon=True)
                answers.start()
                if _pass(client, behind, after) == 0:
                    shut.set()
                # Nothing more is passed on until the writer is gone.
                with suppress(OSError):
                    while client.recv(65536):
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", shut


def _pass(source: socket.socket, target: socket.socket, most: int | None = None) -> int:
    """How many of `most` bytes have not come when the source ends."""
    left = sys.maxsize if most is None else most
    with suppress(OSError):
        while left and (some := source.recv(min(left, 4096))):
            target.sendall(some)
            left -= len(some)
    return left
