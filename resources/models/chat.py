"""The wire to one chat endpoint: OpenAI-compatible requests over aiohttp.

Sends one request and reads one answer, and says what kind of failure there was. What is tried
again, and after how long, is `resources.models.engine`.
"""

import asyncio
import email.utils
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp
import yarl
from pydantic_core import PydanticSerializationError, to_json

from chillguard.calls import call
from chillguard.calls.answer import plain
from resources.models import completion
from resources.models.completion import Reply
from resources.models.failures import Failed, Forbidden, Refused, TimedOut
from resources.offline import app

OFFLINE = "offline"
Binding = Literal["structured_outputs", "response_format", "prompt"]
# Status, body, Retry-After.
Received = tuple[int, bytes, str | None]
_MAX_BODY = 16 * 1024 * 1024
# Shorter ones cannot be told from words of an answer.
_MIN_SECRET = 6
_CONNECT_WITHIN_S = 10.0
_METRICS_WITHIN_S = 2.0
# vLLM and other servers on uvicorn close an idle connection after five seconds.
_KEEP_ALIVE_S = 4.0
# The same name with a suffix is the same queue by reason.
_WAITING = ("vllm:num_requests_waiting{", "vllm:num_requests_waiting ")


class Wire:
    """The way to one endpoint: connections of aiohttp, without an HTTP client around them.

    httpx over the same connections took 0.8 ms of CPU a call where this takes 0.5
    (`docs/explanation/benchmarks.md`). Url `offline` is the stand-in engine, in process, on the
    same bytes. Used in one event loop.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None,
        timeout_s: float,
        connections: int,
        secrets: Collection[str] = (),
    ) -> None:
        api_key = (api_key or "").strip() or None
        self.secrets = frozenset(secrets) | secrets_of(url) | ({api_key} if api_key else set())
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
        if status == 429 or status >= 500:
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
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or "@" in parts.path:
        # No URL that can be taken apart: what may be a name and a password ends at the last @.
        return re.split("[?#]", url, maxsplit=1)[0].rpartition("@")[2]
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def secrets_of(url: str) -> set[str]:
    """What of a URL must be shown nowhere: name and password, and the values of its query."""
    beginning, _, _ = re.split("[?#]", url, maxsplit=1)[0].rpartition("@")
    query = parse_qsl(url.partition("?")[2])
    given = beginning.rpartition("//")[2].split(":", 1)
    found = {*given, *map(unquote, given), *(value for _, value in query)}
    return {one for one in found if len(one) >= _MIN_SECRET}


async def ask(wire: Wire, model: str, request: call.ChatRequest, binding: Binding) -> Reply:
    """One answer; raises a kind of `Failure`."""
    status, body, retry_after = await wire.complete(_body(model, request, binding))
    return completion.read(status, body, retry_after_s(retry_after), wire.secrets)


_WORD = "qvx"
PROBE = call.ChatRequest(
    row_id="probe",
    messages=({"role": "user", "content": "1 + 1 = ?"},),
    # A reasoning model has to come to its answer.
    sampling=call.Sampling(max_tokens=512),
    answer_schema={"choice": [_WORD, _WORD + "z"]},
)


# An endpoint is asked so often at most to find out how it binds a schema.
PROBES = 3


async def probe(send: Callable[[int, Binding], Awaitable[Reply]]) -> tuple[Binding, bool]:
    """How an endpoint binds a schema, and whether that is certain.

    Found out by asking for a word nobody would say; mere thinking tells nothing.

    An engine that silently ignores a constraint answers 200 with free text, so only the answer
    tells. `send` asks `PROBE` for the n-th time under a binding; its `Failure` goes through when
    the endpoint does not answer at all, or rejects even a plain question.
    """
    bindings: tuple[Binding, ...] = ("structured_outputs", "response_format")
    certain = True
    for number, binding in enumerate(bindings):
        try:
            reply = await send(number, binding)
        except Refused:
            continue
        said = plain(reply.answer).text
        if _WORD in said:
            return binding, True
        certain &= bool(said.strip())
    await send(len(bindings), "prompt")
    return "prompt", certain


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
