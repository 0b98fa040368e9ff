"""The wire to one chat endpoint: OpenAI-compatible requests over aiohttp.

Sends one request and reads one answer, and says what kind of failure there was. What is tried
again, and after how long, is `resources.models.engine`.
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

import aiohttp
import yarl
from pydantic_core import PydanticSerializationError, to_json

from chillguard.calls import call
from resources.offline import app

OFFLINE = "offline"
Binding = Literal["structured_outputs", "response_format", "prompt"]
# Status, body, Retry-After.
Received = tuple[int, bytes, str | None]
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
# vLLM and other servers on uvicorn close an idle connection after five seconds.
_KEEP_ALIVE_S = 4.0
# The same name with a suffix is the same queue by reason.
_WAITING = ("vllm:num_requests_waiting{", "vllm:num_requests_waiting ")


class Failure(Exception):
    """A request without an answer; its text says why, without a word of the request."""


class Refused(Failure):
    """The endpoint rejects this request; asking again would not help."""


class Overloaded(Failure):
    """429, 503 or `TimedOut`; `retry_after_s` when the endpoint said so."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class TimedOut(Overloaded):
    """No answer in time: the endpoint is full, or this request is too much for it."""


class Failed(Failure):
    """A failure that may pass: transport error, 5xx, or an answer that is no chat completion."""


class Forbidden(Failure):
    """401 to 404: no request will be answered until key, credit, model name or URL is mended."""


@dataclass(frozen=True)
class Reply:
    """A raw answer and what came with it."""

    answer: call.Answer
    prompt_tokens: int | None
    completion_tokens: int | None
    fingerprint: str | None


class Wire:
    """The way to one endpoint: connections of aiohttp, without an HTTP client around them.

    httpx over the same connections took 0.8 ms of CPU a call where this takes 0.5
    (`docs/explanation/benchmarks.md`). Url `offline` is the stand-in engine, in process, on the
    same bytes. Used in one event loop.
    """

    def __init__(self, url: str, api_key: str | None, timeout_s: float, connections: int) -> None:
        self._offline = url == OFFLINE
        base = yarl.URL("http://offline/v1" if self._offline else url)
        if api_key and base.user:
            base = base.with_user(None)
        path = base.path.rstrip("/") + "/chat/completions"
        self._completions = base.with_path(path, keep_query=True)
        self._metrics = base.with_path("/metrics")
        self._timeout_s = timeout_s
        self._connections = connections
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, body: Mapping[str, Any]) -> Received:
        """Status, body and Retry-After of a chat completion; raises a kind of `Failure`."""
        try:
            content = to_json(body)
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange("POST", self._completions, content)
        except PydanticSerializationError:
            raise Refused("a lone surrogate in the request, which cannot be sent") from None
        except aiohttp.ConnectionTimeoutError:
            raise Failed(f"no connection within {_CONNECT_WITHIN_S:g} s") from None
        except TimeoutError:
            raise TimedOut(f"time-out after {self._timeout_s:g} s") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise Forbidden("no HTTP address; mend `url` of the role") from None
        except aiohttp.ClientConnectorCertificateError:
            raise Forbidden("its certificate is not accepted") from None
        except aiohttp.ClientConnectorError:
            raise Failed("no connection") from None
        except (aiohttp.ClientError, OSError):
            raise Failed("connection lost") from None

    async def queue_length(self) -> int | None:
        """Requests waiting in the engine, by its `/metrics`; None where there is no such page.

        Raises `Failed` when no answer comes.
        """
        try:
            async with asyncio.timeout(_METRICS_WITHIN_S):
                status, page, _ = await self._exchange("GET", self._metrics)
        except (aiohttp.ClientError, OSError):
            raise Failed("no metrics") from None
        if status in _PASSING | _OVERLOAD:
            raise Failed("no metrics for now")
        lines = page.decode("utf-8", "replace").splitlines()
        found = [line for line in lines if line.startswith(_WAITING)]
        try:
            return int(sum(float(line.split()[-1]) for line in found)) if found else None
        except (ValueError, OverflowError):
            return None

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    async def _exchange(self, method: str, url: yarl.URL, content: bytes = b"") -> Received:
        if self._offline:
            return *app.respond(url.path, content), None
        session = self._session = self._session or self._opened()
        headers = self._headers
        async with session.request(
            method, url, data=content or None, headers=headers, allow_redirects=False
        ) as response:
            received = b""
            while part := await response.content.readany():
                received += part
                if len(received) > _MAX_BODY:
                    raise Refused("an answer of more than 16 MiB")
            return response.status, received, response.headers.get("retry-after")

    def _opened(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, keepalive_timeout=_KEEP_ALIVE_S
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=_CONNECT_WITHIN_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )


def without_credentials(url: str) -> str:
    """Scheme, host, port and path of a URL: what may be stored and shown."""
    parts = urlsplit(url)
    if not parts.hostname:
        return url
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


async def ask(wire: Wire, model: str, request: call.ChatRequest, binding: Binding) -> Reply:
    """One answer; raises a kind of `Failure`."""
    status, body, retry_after = await wire.complete(_body(model, request, binding))
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
PROBE = call.ChatRequest(
    row_id="probe",
    messages=({"role": "user", "content": "1 + 1 = ?"},),
    sampling=call.Sampling(max_tokens=16),
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


def _body(model: str, request: call.ChatRequest, binding: Binding) -> dict[str, Any]:
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
    return Reply(call.Answer(text, finish_reason, logprobs), *tokens, fingerprint)


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
