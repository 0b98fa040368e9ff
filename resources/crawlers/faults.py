"""Requests of a crawl without a usable answer: who is to blame, and what may go on all the same."""

import json

# Said of the query that was asked; every other refusal is said of whoever asks.
_OF_THE_QUERY = frozenset({400, 413, 414, 422})
# XRPC tells of a token that ran out with HTTP 400.
_OF_THE_TOKEN = frozenset({"AuthMissing", "ExpiredToken", "InvalidToken"})


class Fault(Exception):
    """A request without a usable answer; its text says why, without credentials or query."""


class BadQuery(Fault):
    """The source rejects this query; the others may go on."""


class Passing(Fault):
    """A fault that may pass; `wait_s` when the source said how long."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Blocked(Fault):
    """No query will be answered until credentials or settings are mended."""


def refused(where: str, status: int, body: bytes) -> Fault:
    """What an answer other than 200 says: something of the query, or of whoever asks."""
    told = f"{where} answers HTTP {status}"
    if status in (401, 403) or (status == 400 and _error_name(body) in _OF_THE_TOKEN):
        return Blocked(f"{told}: not authorised")
    if status == 404:
        return Blocked(f"{told}: there is no such page")
    if status == 402:
        return Blocked(f"{told}: the account has no credit left")
    if status in _OF_THE_QUERY:
        return BadQuery(told)
    return Blocked(f"{told}: it refuses whoever asks, whatever the query")


def _error_name(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("error", "")) if isinstance(document, dict) else ""
