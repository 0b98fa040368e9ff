"""HTTP for crawlers: polite, bounded, and kept off private networks.

Per host a rate and a number of connections; robots.txt for pages; Retry-After and rate-limit
headers; bodies bounded in size and time. What is asked for and what it means is a source's matter.
"""

import asyncio
import json
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import tenacity
from aiolimiter import AsyncLimiter
from pydantic import BaseModel, ConfigDict, Field

from resources.crawlers.faults import BadQuery, Blocked, Fault, Passing, refused
from resources.crawlers.network import (
    PrivateAddress,
    Transport,
    addresses,
    decoded,
    is_address,
    is_public,
    shown,
    until,
)
from resources.crawlers.robots import Robots
from resources.models.chat import retry_after_s

AGENT = "chillguard"
_PASSING = frozenset({408, 425, 500, 502, 503, 504})
_PAGE_TYPES = ("text/html", "application/xhtml+xml", "text/plain")


class Limits(BaseModel):
    """How politely and how patiently a host is asked.

    A crawl that is killed asks again for the pages that were under way: `concurrency` at most.
    `private_hosts` names `host:port` on private networks that may be asked, such as an own search
    instance; every other private address is refused, also behind a name or a redirect.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: float = Field(30.0, gt=0)
    concurrency: int = Field(1, gt=0)
    attempts: int = Field(4, gt=0)
    timeout_s: float = Field(30.0, gt=0)
    max_wait_s: float = Field(900.0, ge=0)
    max_body_bytes: int = Field(5 * 1024 * 1024, gt=0)
    max_redirects: int = Field(5, ge=0)
    private_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Marks:
    """What a server said of a page's version, for a conditional request."""

    etag: str | None = None
    modified: str | None = None


class Http:
    """Requests of one source; use as an asynchronous context manager.

    `headers` go with every API request, never with a page; `marks` tells what is known of a page.
    """

    def __init__(
        self, limits: Limits, headers: Mapping[str, str], marks: Callable[[str], Marks | None]
    ) -> None:
        self._limits = limits
        self._marks = marks
        self._headers = dict(headers)
        self._rates: dict[str, AsyncLimiter] = defaultdict(self._rate)
        self._rooms: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(limits.concurrency)
        )
        self._robots = Robots(AGENT, self._robots_file)
        try:
            self._trusted = addresses(limits.private_hosts)
        except ValueError as error:
            raise Blocked(str(error)) from None
        self.requests = 0

    async def __aenter__(self) -> "Http":
        self._client = httpx.AsyncClient(
            transport=Transport(client=self._session),
            headers={"user-agent": AGENT},
            max_redirects=self._limits.max_redirects,
            timeout=self._limits.timeout_s,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get_json(self, url: str, params: Mapping[str, Any]) -> Any:
        """The JSON document that an API answers; redirects are not followed."""
        response, body = await self._get(url, dict(params), self._headers, follow=False)
        where = shown(url)
        if response.is_redirect:
            raise Blocked(f"{where} redirects to {shown(response.headers.get('location', ''))}")
        if response.status_code != 200:
            raise refused(where, response.status_code, body)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no content type").split(";")[0]
            raise Blocked(
                f"{where} answers {kind} instead of JSON: blocked or logged out"
            ) from None

    async def get_page(self, url: str) -> tuple[str, Marks] | None:
        """A page's HTML and its version; None when it has not changed since it was last read.

        Raises `Fault` where robots.txt bars the page or it is no text.
        """
        known = self._marks(url) or Marks()
        headers = {"if-none-match": known.etag, "if-modified-since": known.modified}
        given = {name: value for name, value in headers.items() if value}
        response, body = await self._followed(url, given)
        if response.status_code == 304 and given:
            return None
        if response.status_code != 200:
            raise Fault(f"HTTP {response.status_code}")
        if not response.headers.get("content-type", "text/html").startswith(_PAGE_TYPES):
            raise Fault("not a text page")
        marks = Marks(response.headers.get("etag"), response.headers.get("last-modified"))
        return decoded(response.charset_encoding, body), marks

    async def _followed(self, url: str, headers: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        """The page at the end of all redirects; each host on the way has its rules and its rate."""
        for _ in range(self._limits.max_redirects + 1):
            if not is_address(url):
                raise Fault("not a web address")
            await self._heed_robots(url)
            response, body = await self._get(url, {}, headers, follow=False)
            if response.next_request is None:
                return response, body
            url = str(response.next_request.url)
        raise Fault(f"{shown(url)}: too many redirects")

    async def _heed_robots(self, url: str) -> None:
        host = urlsplit(url).netloc
        if not await self._robots.allows(url):
            raise Fault(f"robots.txt of {host} bars the page")
        delay_s = await self._robots.delay_s(url)
        if delay_s > self._limits.max_wait_s:
            raise Fault(f"robots.txt of {host} asks to wait {delay_s:,.0f} s between pages")
        if delay_s > self._rates[host].time_period:
            self._rates[host] = AsyncLimiter(1, delay_s)

    async def _robots_file(self, url: str) -> tuple[httpx.Response, bytes] | None:
        try:
            return await self._get(url, {}, {}, follow=True)
        except Fault:
            return None

    def was_read(self, url: str) -> bool:
        """Whether a page was ever read."""
        return self._marks(url) is not None

    async def _get(
        self, url: str, params: dict[str, Any], headers: Mapping[str, str], follow: bool
    ) -> tuple[httpx.Response, bytes]:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Passing),
            stop=tenacity.stop_after_attempt(self._limits.attempts),
            wait=_wait,
            reraise=True,
        )
        return await retrying(self._get_once, url, params, headers, follow)

    async def _get_once(
        self, url: str, params: dict[str, Any], headers: Mapping[str, str], follow: bool
    ) -> tuple[httpx.Response, bytes]:
        host = urlsplit(url).netloc
        # Counted before the wait for a turn, so that a cap on requests holds for several workers.
        self.requests += 1
        async with self._rooms[host], self._rates[host]:
            try:
                async with (
                    asyncio.timeout(self._limits.timeout_s),
                    self._client.stream(
                        "GET", url, params=params, headers=headers, follow_redirects=follow
                    ) as response,
                ):
                    body = await self._received(response)
            except TimeoutError:
                raise Passing(
                    f"{shown(url)}: time-out after {self._limits.timeout_s:g} s"
                ) from None
            except httpx.TooManyRedirects:
                raise Fault(f"{shown(url)}: too many redirects") from None
            except (httpx.HTTPError, aiohttp.ClientError) as error:
                raise _transport_fault(url, error) from None
            except (httpx.InvalidURL, ValueError) as error:
                raise Fault(
                    f"{shown(url)} cannot be asked: {type(error).__name__} in address or headers"
                ) from None
        self._raise_if_passing(url, response)
        return response, body

    def _raise_if_passing(self, url: str, response: httpx.Response) -> None:
        status = response.status_code
        if status != 429 and status not in _PASSING:
            return
        wait_s = retry_after_s(response.headers.get("retry-after"))
        for name in ("x-rate-limit-reset", "x-ratelimit-reset", "ratelimit-reset"):
            if wait_s is None and (reset := response.headers.get(name)):
                wait_s = until(reset)
        reason = f"{shown(url)} answers HTTP {status}"
        if wait_s is not None and wait_s > self._limits.max_wait_s:
            raise Blocked(f"{reason} and asks to wait {wait_s:,.0f} s: run again after that")
        raise Passing(reason, wait_s)

    async def _received(self, response: httpx.Response) -> bytes:
        received = bytearray()
        async for part in response.aiter_bytes():
            received += part
            if len(received) > self._limits.max_body_bytes:
                raise BadQuery(
                    f"{shown(str(response.url))}: an answer of more than "
                    f"{self._limits.max_body_bytes:,} bytes"
                )
        return bytes(received)

    def _rate(self) -> AsyncLimiter:
        # One token at a time: no burst, whatever the rate.
        return AsyncLimiter(1, 60.0 / self._limits.requests_per_minute)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(socket_factory=self._socket)
        return aiohttp.ClientSession(connector=connector, trust_env=False)

    def _socket(self, info: Any) -> socket.socket:
        """A socket to an address as it was resolved, so that no name can point inwards."""
        family, kind, protocol, _, address = info
        if not is_public(address[0]) and address[:2] not in self._trusted:
            # One text for all: of several that differ the connector makes a plain OSError.
            raise PrivateAddress("a private address")
        return socket.socket(family, kind, protocol)


def _transport_fault(url: str, error: Exception) -> Fault:
    """Blocked for a private address, passing for everything else that a network does."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddress):
            return Blocked(
                f"{shown(url)} leads to a private address, which is refused; if the host is "
                "meant, name it as host:port under `limits.private_hosts`"
            )
        cause = cause.__cause__ or cause.__context__
    return Passing(f"{shown(url)}: {type(error).__name__}")


def _wait(state: tenacity.RetryCallState) -> float:
    fault = state.outcome.exception() if state.outcome else None
    told = fault.wait_s if isinstance(fault, Passing) else None
    return told if told is not None else min(30.0, 0.5 * 2.0**state.attempt_number)
