"""Addresses, transport, charsets and times: what crawling has to know of the network below HTTP."""

import datetime as dt
import ipaddress
import re
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx
import httpx_aiohttp

_DAY_S = 86_400.0
_META_CHARSET = re.compile(rb"""<meta[^>]+charset=["']?([\w-]+)""", re.IGNORECASE)


class Transport(httpx_aiohttp.AiohttpTransport):
    """Sends a followed redirect without a body: an empty chunked one is refused by servers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response to a request whose body was read first."""
        await request.aread()
        return await super().handle_async_request(request)


class PrivateAddress(OSError):
    """A connection to a private address that nobody allowed."""


# Networks that carry an IPv4 address inside (NAT64, 6to4 and its relays, Teredo, IPv4-compatible):
# where they lead is decided behind a gateway, so none of them counts as public.
_CARRIERS = tuple(
    map(
        ipaddress.ip_network,
        ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "192.88.99.0/24"),
    )
)


def is_public(address: str) -> bool:
    """Whether an address, as it was resolved, is one host of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.is_site_local):
        return False
    carried = any(ip in network for network in _CARRIERS if network.version == ip.version)
    return ip.is_global and not ip.is_multicast and not carried


def addresses(hosts: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Addresses and ports of `host:port`s; raises `ValueError` for what is none."""
    found = set()
    for host in hosts:
        name, _, port = host.rpartition(":")
        try:
            resolved = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except (OSError, ValueError):
            raise ValueError(
                f"`limits.private_hosts` has {host!r}, which is no host:port that can be found"
            ) from None
        for *_, address in resolved:
            found.add((str(address[0]), int(address[1])))
    return frozenset(found)


def is_address(url: str) -> bool:
    """Whether it is an address of the web at all."""
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def decoded(named: str | None, body: bytes) -> str:
    """A page in the charset of its header, or of its own head; otherwise in UTF-8."""
    if named is None and (found := _META_CHARSET.search(body[:4096])):
        named = found[1].decode("ascii")
    try:
        return body.decode(named or "utf-8", "replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace")


def shown(url: str) -> str:
    """Scheme, host and path: what an error may tell of a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path


def until(reset: str) -> float | None:
    """Seconds until a moment given as unix time or in ISO 8601; a small number is seconds."""
    try:
        told = float(reset)
        return told if 0 <= told <= _DAY_S else max(0.0, told - time.time())
    except ValueError:
        pass
    try:
        return max(0.0, dt.datetime.fromisoformat(reset).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
