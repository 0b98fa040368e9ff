"""The offline stand-ins behind HTTP, in a process of their own: late by a little, and counting.

Run as a script it serves until standard input ends; the first line is the port. `/bodies` tells
how often it was asked, how many requests were distinct, and how many are in flight.
"""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

from harness import ROOT, Server

DELAY_S = 0.02


class StandIns(Server):
    """The endpoint of a drill."""

    def __init__(self, delay_s: float = DELAY_S) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(delay_s)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self._root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        self.url = f"{self._root}/v1"

    def settled(self) -> dict[str, int]:
        """The counts once nothing comes any more."""
        before, now = {}, self.bodies()
        while now != before or now["inFlight"]:
            time.sleep(0.1)
            before, now = now, self.bodies()
        return now


class Counting:
    """The stand-in application, counting what it is asked."""

    def __init__(self, app: Any, delay_s: float) -> None:
        self._app = app
        self._delay_s = delay_s
        self._asked: Counter[bytes] = Counter()
        self._in_flight = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or tell the counts."""
        if scope["path"] == "/bodies":
            counts = {"asked": self._asked.total(), "distinct": len(self._asked)}
            told = json.dumps({**counts, "inFlight": self._in_flight})
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": told.encode()})
        elif scope["method"] == "POST":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = hashlib.sha256()

        async def read() -> Any:
            event = await receive()
            body.update(event.get("body", b""))
            # What its sender could not finish was not asked.
            if event["type"] == "http.request" and not event.get("more_body"):
                self._asked[body.digest()] += 1
                await asyncio.sleep(self._delay_s)
            return event

        self._in_flight += 1
        try:
            await self._app(scope, read, send)
        finally:
            self._in_flight -= 1


def main() -> None:
    """Serve until standard input ends."""
    import uvicorn

    from resources.offline.app import app

    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    config = uvicorn.Config(Counting(app, float(sys.argv[1])), lifespan="off", log_level="critical")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
