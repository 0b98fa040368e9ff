"""The wire to one chat endpoint: OpenAI-compatible requests over httpx.

Sends one request and reads one answer. Who asks, what is stored and what happens to a failure is
`resources.llm`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import httpx_aiohttp
import stamina

from chillguard import calls
from resources.offline.app import app

OFFLINE = "offline"
_RETRY_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_ATTEMPTS = 6


class Refused(Exception):
    """The endpoint will not answer this request; asking again would not help."""


class Unavailable(Exception):
    """The endpoint does not answer; the request may be asked again later."""


class _TryAgain(Exception):
    """A failure that passes: a transport error, 429 or 5xx."""


@dataclass(frozen=True)
class Reply:
    """A raw answer and what came with it."""

    answer: calls.Answer
    latency_ms: float
    prompt_tokens: int | None
    completion_tokens: int | None
    fingerprint: str | None


def client(url: str, api_key: str | None, timeout_s: float, concurrency: int) -> httpx.AsyncClient:
    """A client for one endpoint; url `offline` is the stand-in engine, in process."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    if url == OFFLINE:
        transport: httpx.AsyncBaseTransport = httpx.ASGITransport(app=app)
        url = "http://offline/v1"
    else:
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        transport = httpx_aiohttp.AiohttpTransport(limits=limits, trust_env=False)
    return httpx.AsyncClient(
        transport=transport, base_url=url, headers=headers, timeout=timeout_s, trust_env=False
    )


async def ask(http: httpx.AsyncClient, model: str, request: calls.ChatRequest) -> Reply:
    """One answer; transport errors, 429 and 5xx are tried again with growing pauses.

    Raises `Refused` for a request that the endpoint rejects, `Unavailable` when tries run out.
    """
    started = time.monotonic()
    try:
        async for attempt in stamina.retry_context(on=_TryAgain, attempts=_ATTEMPTS, timeout=None):
            with attempt:
                response = await _post(http, _body(model, request))
    except _TryAgain as error:
        raise Unavailable(str(error)) from None
    return _reply(response, (time.monotonic() - started) * 1000)


async def _post(http: httpx.AsyncClient, body: Mapping[str, Any]) -> httpx.Response:
    try:
        response = await http.post("/chat/completions", json=body)
    except httpx.TransportError as error:
        raise _TryAgain(f"{type(error).__name__}: {error}") from None
    if response.status_code in _RETRY_STATUS:
        raise _TryAgain(f"HTTP {response.status_code}")
    if response.status_code in (401, 403):
        raise Unavailable(f"HTTP {response.status_code}: the API key is missing or not accepted")
    if response.status_code != 200:
        raise Refused(f"HTTP {response.status_code}")
    return response


def _body(model: str, request: calls.ChatRequest) -> dict[str, Any]:
    body = {
        "model": model,
        "messages": [dict(message) for message in request.messages],
        **request.sampling.model_dump(),
    }
    schema = request.answer_schema
    if schema and "choice" in schema:
        body["structured_outputs"] = {"choice": schema["choice"]}
    elif schema:
        named = {"name": "answer", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _reply(response: httpx.Response, latency_ms: float) -> Reply:
    try:
        document = response.json()
        choice = document["choices"][0]
        text = choice["message"]["content"]
        answer = calls.Answer(text or "", choice.get("finish_reason") or "unknown")
    except (ValueError, LookupError, TypeError):
        raise Refused("HTTP 200, but not a chat completion") from None
    usage = document.get("usage") or {}
    return Reply(
        answer,
        latency_ms,
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        document.get("system_fingerprint"),
    )
