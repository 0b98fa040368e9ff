"""A scripted chat endpoint on the loopback, for tests of what happens on the wire."""

import asyncio
import inspect
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

from resources.models import chat

Script = Callable[[str, int], Any]


def answer_by(monkeypatch: Any, handler: Callable[[httpx.Request], Any]) -> None:
    """Let every wire be answered by a function, which may be async, instead of over a network."""

    async def exchange(
        self: chat.Wire, method: str, url: Any, content: bytes = b""
    ) -> tuple[int, bytes, str | None]:
        request = httpx.Request(method, str(url), headers=self._headers, content=content)
        response = handler(request)
        if inspect.isawaitable(response):
            response = await response
        return response.status_code, response.content, response.headers.get("retry-after")

    monkeypatch.setattr(chat.Wire, "_exchange", exchange)


def completion(text: str = "safe", **choice: Any) -> dict[str, Any]:
    """A chat completion that says `text`."""
    message = {"role": "assistant", "content": text}
    return {
        "object": "chat.completion",
        "system_fingerprint": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2},
    }


@dataclass
class FakeEndpoint:
    """What the endpoint saw: bodies, times, calls by user text, peak in flight."""

    port: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    by_text: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    peak: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> int:
        return len(self.bodies)

    def forget(self) -> None:
        self.bodies.clear()
        self.times.clear()
        self.by_text.clear()


@contextmanager
def serve(script: Script | None = None, port: int = 0) -> Iterator[FakeEndpoint]:
    """Serve in a thread. `script(user_text, nth_call_for_it)` gives a dict (a completion), a
    (status, headers, body) tuple, or one of the words reset, hang, truncate; a float delays by so
    many seconds and then answers.
    """
    seen = FakeEndpoint()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        text = body["messages"][-1]["content"]
        seen.bodies.append(body)
        seen.headers.append(dict(request.headers))
        seen.times.append(time.monotonic())
        seen.by_text[text] += 1
        seen.in_flight += 1
        seen.peak = max(seen.peak, seen.in_flight)
        try:
            answer = script(text, seen.by_text[text]) if script else completion()
            return await _respond(request, answer)
        finally:
            seen.in_flight -= 1

    async def start() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        seen.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        runners.append(runner)
        started.set()

    runners: list[web.AppRunner] = []

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runners[0].cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def _respond(request: web.Request, answer: Any) -> web.StreamResponse:
    if isinstance(answer, float):
        await asyncio.sleep(answer)
        answer = completion()
    match answer:
        case "reset":
            request.transport.abort()  # type: ignore[union-attr]
            return web.Response()
        case "hang":
            await asyncio.sleep(5)
            return web.Response()
        case "truncate":
            whole = json.dumps(completion()).encode()
            return web.Response(body=whole[: len(whole) // 2], content_type="application/json")
        case (status, headers, text):
            return web.Response(status=status, headers=headers, text=text)
    return web.json_response(answer)
