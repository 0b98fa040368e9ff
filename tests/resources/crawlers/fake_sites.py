"""Network sources on the loopback: a scripted HTTP server, and the shape in which each answers."""

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_NEWEST = dt.datetime(2026, 11, 21, 9, 0, tzinfo=dt.timezone(dt.timedelta(hours=8)))


@dataclass(frozen=True)
class Ask:
    """One request as it arrived; names of headers in lower case."""

    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer that is no JSON document with status 200."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Bytes written to the connection as they are, one piece after the other."""

    pieces: Callable[[], Iterator[bytes]]


Script = Callable[[Ask], Any]


@dataclass
class Site:
    """A running server: what it was asked, and how it answers now."""

    script: Script
    port: int = 0
    asks: list[Ask] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def paths(self) -> list[str]:
        return [ask.path for ask in self.asks]


class _Handler(BaseHTTPRequestHandler):
    """Answers by the script of the server's site."""

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        ask = Ask(unquote(parts.path), dict(parse_qsl(parts.query)), headers)
        site.asks.append(ask)
        if headers.get("transfer-encoding") == "chunked":
            while self.rfile.readline().strip():
                pass
        with suppress(OSError):  # the asker may leave before the end
            self._answer(site.script(ask))

    def _answer(self, answer: Any) -> None:
        if isinstance(answer, Raw):
            for piece in answer.pieces():
                self.wfile.write(piece)
            return
        reply = answer if isinstance(answer, Reply) else Reply(body=answer)
        body = reply.body
        kind = "text/html; charset=utf-8"
        if not isinstance(body, bytes | str):
            body, kind = json.dumps(body), "application/json"
        body = body if isinstance(body, bytes) else body.encode("utf-8")
        self.send_response(reply.status)
        headers = {"content-type": kind, "content-length": str(len(body)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serve(script: Script) -> Iterator[Site]:
    """Serve in threads. What `script(ask)` gives is a JSON document, a `Reply` or a `Raw`."""
    site = Site(script)

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site = site  # type: ignore[attr-defined]
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass(frozen=True)
class Item:
    """A post of a fake site; the greater its number, the newer it is."""

    number: int
    text: str = ""
    lang: str | None = "zh"

    @property
    def at(self) -> dt.datetime:
        return _NEWEST + dt.timedelta(minutes=self.number)

    @property
    def iso(self) -> str:
        return self.at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def items(*numbers: int, about: str = "天气") -> list[Item]:
    """Posts, newest first; each text stands once."""
    found = [Item(number, f"第{number}条:{about}很好,适合出门走走。") for number in numbers]
    return sorted(found, key=lambda item: -item.number)


def status(item: Item, **more: Any) -> dict[str, Any]:
    """A post as Mastodon gives it."""
    return {
        "id": str(item.number),
        "content": f"<p>{item.text}</p>",
        "url": f"https://social.example/notes/{item.number}",
        "created_at": item.at.isoformat(),
        "language": item.lang,
        "reblog": None,
        **more,
    }


def bluesky_post(item: Item, **more: Any) -> dict[str, Any]:
    """A post as Bluesky gives it."""
    record = {
        "text": item.text,
        "createdAt": item.at.isoformat(),
        "langs": [item.lang] if item.lang else [],
    }
    return {
        "uri": f"at://did:example:1/app.bsky.feed.post/{item.number}",
        "record": {**record, **more},
        "indexedAt": item.at.isoformat(),
    }


def tweet(item: Item, **more: Any) -> dict[str, Any]:
    """A post as X gives it."""
    found = {"id": str(item.number), "text": item.text, "created_at": item.at.isoformat()}
    return {**found, "lang": item.lang, **more}


def result(item: Item, **more: Any) -> dict[str, Any]:
    """A result as SearXNG gives it."""
    return {
        "url": f"https://pages.example/{item.number}",
        "title": item.text,
        "content": "",
        "publishedDate": item.at.isoformat(),
        **more,
    }


def mblog(item: Item, **more: Any) -> dict[str, Any]:
    """A post as Weibo gives it."""
    written = item.at.strftime("%a %b %d %H:%M:%S %z %Y")
    return {"id": str(item.number), "text": f"{item.text}<br />", "created_at": written, **more}


def mastodon_tag(found: Sequence[Item], ask: Ask, size: int) -> Any:
    below = int(ask.params.get("max_id", 10**9))
    above = int(ask.params.get("since_id", 0))
    return [status(item) for item in found if above < item.number < below][:size]


def mastodon_search(found: Sequence[Item], ask: Ask, size: int) -> Any:
    at = int(ask.params["offset"]) // 40 * size
    return {"statuses": [status(item) for item in found[at : at + size]]}


def bluesky(found: Sequence[Item], ask: Ask, size: int) -> Any:
    there = [item for item in found if item.iso >= ask.params.get("since", "")]
    at = int(ask.params.get("cursor", 0))
    answer: dict[str, Any] = {"posts": [bluesky_post(item) for item in there[at : at + size]]}
    return answer | ({"cursor": str(at + size)} if at + size < len(there) else {})


def x(found: Sequence[Item], ask: Ask, size: int) -> Any:
    there = [item for item in found if item.number > int(ask.params.get("since_id", 0))]
    at = int(ask.params.get("next_token", "t0")[1:])
    page = there[at : at + size]
    meta: dict[str, Any] = {"result_count": len(page)}
    if not page:
        return {"meta": meta}
    meta |= {"newest_id": str(page[0].number), "oldest_id": str(page[-1].number)}
    meta |= {"next_token": f"t{at + size}"} if at + size < len(there) else {}
    return {"data": [tweet(item) for item in page], "meta": meta}


def searxng(found: Sequence[Item], ask: Ask, size: int) -> Any:
    at = (int(ask.params["pageno"]) - 1) * size
    return {"query": ask.params["q"], "results": [result(i) for i in found[at : at + size]]}


def weibo_mobile(found: Sequence[Item], ask: Ask, size: int) -> Any:
    at = (int(ask.params["page"]) - 1) * size
    page = [{"card_type": 9, "mblog": mblog(item)} for item in found[at : at + size]]
    if not page:
        return {"ok": 1 if at == 0 else 0, "msg": "这里还没有内容", "data": {"cards": []}}
    group = {"card_type": 11, "card_group": page[1:]}
    return {"ok": 1, "data": {"cards": [{"card_type": 4}, page[0], group]}}


def weibo_official(found: Sequence[Item], ask: Ask, size: int) -> Any:
    at = (int(ask.params["page"]) - 1) * size
    return {"statuses": [mblog(item) for item in found[at : at + size]]}
