"""The wire to one chat endpoint: OpenAI-compatible requests over httpx.

Sends one request and reads one answer, and says what kind of failure there was. Who asks, what is
stored and what is tried again is `resources.engine`.
"""

import asyncio
import email.utils
import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import httpx_aiohttp

from chillguard import calls
from resources.offline.app import app

OFFLINE = "offline"
Binding = Literal["structured_outputs", "response_format", "prompt"]
_OVERLOAD = frozenset({429, 503})
_PASSING = frozenset({408, 409, 425, 500, 502, 504})
_FORBIDDEN = {
    401: "the API key is missing or not accepted",
    402: "the account has no credit left",
    403: "the API key is missing or not accepted",
    404: "there is no such model or path; mend `model` or `url` of the role",
}
_MAX_BODY = 16 * 1024 * 1024
_MAX_KIND = 32
_CONNECT_WITHIN_S = 10.0
_METRICS_WITHIN_S = 2.0
# The same name with a suffix is the same queue by reason.
_WAITING = ("vllm:num_requests_waiting{", "vllm:num_requests_waiting ")


class Failure(Exception):
    """A request without an answer; its text says why, without a word of the request."""


class Refused(Failure):
    """The endpoint rejects this request; asking again would not help."""


class Overloaded(Failure):
    """429, 503 or a time-out; `retry_after_s` when the endpoint said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Failed(Failure):
    """A failure that may pass: transport error, 5xx, or an answer that is no chat completion."""


class Forbidden(Failure):
    """401 to 404: no request will be answered until key, credit, model name or URL is mended."""


@dataclass(frozen=True)
class Reply:
    """A raw answer and what came with it."""

    answer: calls.Answer
    prompt_tokens: int | None
    completion_tokens: int | None
    fingerprint: str | None


class Wire:
    """The way to one endpoint: an httpx transport, used without a client around it.

    A client would merge URLs, headers, cookies and redirects per call, for twice the CPU; a chat
    endpoint needs none of them. Url `offline` is the stand-in engine, in process.
    """

    def __init__(self, url: str, api_key: str | None, timeout_s: float, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._transport: httpx.AsyncBaseTransport = (
            httpx.ASGITransport(app=app)
            if url == OFFLINE
            else httpx_aiohttp.AiohttpTransport(limits=limits, trust_env=False)
        )
        base = httpx.URL("http://offline/v1" if url == OFFLINE else url)
        if api_key and base.userinfo:
            base = httpx.URL(str(base).replace(f"{base.userinfo.decode('ascii')}@", "", 1))
        self._completions = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        self._metrics = base.copy_with(path="/metrics")
        self._timeout_s = timeout_s
        self._headers = {"host": base.netloc.decode("ascii"), "content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"

    async def complete(self, body: Mapping[str, Any]) -> tuple[int, str | None, bytes]:
        """Status, Retry-After and body of a chat completion; raises a kind of `Failure`."""
        content = json.dumps(body, separators=(",", ":")).encode("ascii")
        request = self._request("POST", self._completions, self._timeout_s, content)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._transport.handle_async_request(request)
                received = await _received(response)
        except httpx.ConnectTimeout:
            # The transport reports every lost connection under this name.
            raise Failed("connection lost") from None
        except (httpx.TimeoutException, TimeoutError):
            raise Overloaded(f"time-out after {self._timeout_s:g} s") from None
        except httpx.TransportError as error:
            raise Failed(type(error).__name__) from None
        return response.status_code, response.headers.get("retry-after"), received

    async def queue_length(self) -> int | None:
        """Requests waiting in the engine, by its `/metrics`; None where there is no such page.

        Raises `Failed` when no answer comes.
        """
        request = self._request("GET", self._metrics, _METRICS_WITHIN_S)
        try:
            async with asyncio.timeout(_METRICS_WITHIN_S):
                response = await self._transport.handle_async_request(request)
                text = (await _received(response)).decode("utf-8", "replace")
        except (httpx.TransportError, TimeoutError):
            raise Failed("no metrics") from None
        if response.status_code in _PASSING | _OVERLOAD:
            raise Failed("no metrics for now")
        lines = [line for line in text.splitlines() if line.startswith(_WAITING)]
        try:
            return int(sum(float(line.split()[-1]) for line in lines)) if lines else None
        except (ValueError, OverflowError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _request(
        self, method: str, url: httpx.URL, timeout_s: float, content: bytes = b""
    ) -> httpx.Request:
        connect_s = min(_CONNECT_WITHIN_S, timeout_s)
        timeout = {"connect": connect_s, "read": timeout_s, "write": timeout_s, "pool": None}
        headers = {**self._headers, "content-length": str(len(content))}
        stream = httpx.ByteStream(content)
        return httpx.Request(
            method, url, headers=headers, stream=stream, extensions={"timeout": timeout}
        )


async def _received(response: httpx.Response) -> bytes:
    received = b""
    try:
        async for part in response.aiter_bytes():
            received += part
            if len(received) > _MAX_BODY:
                raise Refused("an answer of more than 16 MiB")
    except httpx.DecodingError:
        raise Failed("an answer that cannot be decoded") from None
    finally:
        await response.aclose()
    return received


def without_credentials(url: str) -> str:
    """Scheme, host, port and path of a URL: what may be stored and shown."""
    parts = urlsplit(url)
    if not parts.hostname:
        return url
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


async def ask(wire: Wire, model: str, request: calls.ChatRequest, binding: Binding) -> Reply:
    """One answer; raises a kind of `Failure`."""
    status, retry_after, body = await wire.complete(_body(model, request, binding))
    if status in _OVERLOAD:
        raise Overloaded(f"HTTP {status}", retry_after_s(retry_after))
    if status in _PASSING:
        raise Failed(f"HTTP {status}")
    if status in _FORBIDDEN:
        raise Forbidden(f"HTTP {status}: {_FORBIDDEN[status]}")
    if status != 200:
        raise Refused(f"HTTP {status}{_error_type(body)}")
    return _reply(body)


_WORD = "qvx"
PROBE = calls.ChatRequest(
    row_id="probe",
    messages=({"role": "user", "content": "1 + 1 = ?"},),
    sampling=calls.Sampling(max_tokens=16),
    answer_schema={"choice": [_WORD, _WORD + "z"]},
)


async def probe(send: Callable[[int, Binding], Awaitable[Reply]]) -> Binding:
    """How an endpoint binds a schema: found out by asking for a word nobody would say.

    An engine that silently ignores a constraint answers 200 with free text, so only the answer
    tells. `send` asks `PROBE` for the n-th time under a binding; its `Failure` goes through when
    the endpoint does not answer at all, or rejects even a plain question.
    """
    bindings: tuple[Binding, ...] = ("structured_outputs", "response_format")
    for number, binding in enumerate(bindings):
        try:
            reply = await send(number, binding)
        except Refused:
            continue
        if _WORD in reply.answer.text:
            return binding
    await send(len(bindings), "prompt")
    return "prompt"


def _body(model: str, request: calls.ChatRequest, binding: Binding) -> dict[str, Any]:
    sampling = request.sampling.model_dump(exclude={"top_logprobs"})
    body = {"model": model, "messages": [dict(m) for m in request.messages], **sampling}
    if request.sampling.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.sampling.top_logprobs}
    schema = request.answer_schema
    if schema and binding == "structured_outputs":
        choice = schema.get("choice")
        body["structured_outputs"] = {"choice": choice} if choice else {"json": schema}
    elif schema and binding == "response_format":
        named = {"name": "answer", "schema": _json_schema(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return body


def _json_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "string", "enum": schema["choice"]} if "choice" in schema else schema


def _reply(body: bytes) -> Reply:
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        content = choice["message"]["content"] or ""
        logprobs = (choice.get("logprobs") or {}).get("content")
        usage = document.get("usage") or {}
        tokens = _whole(usage.get("prompt_tokens")), _whole(usage.get("completion_tokens"))
        fingerprint = document.get("system_fingerprint")
        finish_reason = choice.get("finish_reason")
        # A lone surrogate can be neither stored nor sent on, and PostgreSQL stores no NUL.
        text = content.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Failed("HTTP 200, but not a chat completion") from None
    finish_reason = finish_reason if isinstance(finish_reason, str) else "unknown"
    fingerprint = fingerprint if isinstance(fingerprint, str) else None
    return Reply(calls.Answer(text, finish_reason, logprobs), *tokens, fingerprint)


def _whole(count: Any) -> int | None:
    return count if type(count) is int and count >= 0 else None


def _error_type(body: bytes) -> str:
    """The kind of error as the endpoint names it; its message may quote the request."""
    try:
        error = json.loads(body)
        kind = (error.get("error") or error)["type"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    known = isinstance(kind, str) and kind.isascii() and len(kind) <= _MAX_KIND
    return f" {kind}" if known else ""


def retry_after_s(header: str | None) -> float | None:
    """Seconds from a Retry-After header: a number, or an HTTP date."""
    if header is None:
        return None
    try:
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
