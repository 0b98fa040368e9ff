"""robots.txt (RFC 9309): which pages of a host a crawler may read, and how fast."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
from protego import Protego

_ALL_BARRED = "User-agent: *\nDisallow: /"
Get = Callable[[str], Awaitable[tuple[httpx.Response, bytes] | None]]


class Robots:
    """The rules of every host for `agent`; `get` reads a file, or gives None where it cannot."""

    def __init__(self, agent: str, get: Get) -> None:
        self._agent = agent
        self._get = get
        self._rules: dict[str, Protego] = {}

    async def allows(self, url: str) -> bool:
        """Whether the page may be read; not while the host's rules cannot be."""
        return bool((await self._of(url)).can_fetch(url, self._agent))

    async def delay_s(self, url: str) -> float:
        """Seconds between two requests that the host asks for."""
        return float((await self._of(url)).crawl_delay(self._agent) or 0.0)

    async def _of(self, url: str) -> Protego:
        parts = urlsplit(url)
        if parts.netloc not in self._rules:
            found = await self._get(f"{parts.scheme}://{parts.netloc}/robots.txt")
            self._rules[parts.netloc] = Protego.parse(_text(*found) if found else _ALL_BARRED)
        return self._rules[parts.netloc]


def _text(response: httpx.Response, body: bytes) -> str:
    if response.status_code == 200:
        return body.decode("utf-8", "replace")
    return "" if 400 <= response.status_code < 500 else _ALL_BARRED
