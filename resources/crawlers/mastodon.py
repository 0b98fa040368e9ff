"""Mastodon: public statuses of one server, by full-text search or by hashtag.

`GET /api/v2/search` with `offset` needs a token with `read:search`, and a server that searches
statuses; `GET /api/v1/timelines/tag/:hashtag` pages by `max_id` and needs none. Each server has its
own rules: read them before turning it on.
"""

import re
from typing import Any, Literal

from resources.crawlers.faults import Blocked
from resources.crawlers.html import fragment_text
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Post, Query, Url, key, moment

_LIMIT = 40
_NOT_IN_TAG = re.compile(r"\W+")


class Mastodon(NetworkSource):
    """Statuses of the server at `url`; `by` hashtag or search."""

    kind: Literal["mastodon"] = "mastodon"
    url: Url
    by: Literal["hashtag", "search"] = "hashtag"
    token_env: str | None = "MASTODON_TOKEN"  # noqa: S105 - the name of a variable

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """One page of 40 statuses."""
        if self.by == "search":
            return await self._search(http, query, int(cursor or 0))
        tag = _NOT_IN_TAG.sub("", query.text)
        marks = {"max_id": cursor, "since_id": query.since}
        params = {"limit": _LIMIT, **{name: mark for name, mark in marks.items() if mark}}
        statuses = await http.get_json(f"{self.url}/api/v1/timelines/tag/{tag}", params)
        return self._page(statuses, lambda last: last)

    async def _search(self, http: Http, query: Query, offset: int) -> Page:
        params = {"q": query.text, "type": "statuses", "limit": _LIMIT, "offset": offset}
        answer = await http.get_json(f"{self.url}/api/v2/search", params)
        statuses = answer.get("statuses") if isinstance(answer, dict) else None
        return self._page(statuses, lambda _: str(offset + _LIMIT))

    def _page(self, statuses: Any, following: Any) -> Page:
        if not isinstance(statuses, list):
            raise Blocked(f"{self.url} answers JSON that is no list of statuses")
        posts = [self._post(status) for status in statuses if status.get("reblog") is None]
        ids = [key(status, "id") for status in statuses]
        newest = max(ids, key=lambda one: (len(one), one), default=None)
        return Page(posts, following(ids[-1]) if ids else None, newest)

    def _post(self, status: dict[str, Any]) -> Post:
        return Post(
            native_id=key(status, "id"),
            text=fragment_text(str(status.get("content") or "")),
            # The address that people see names the author.
            url=f"{self.url}/api/v1/statuses/{key(status, 'id')}",
            posted_at=moment(status.get("created_at")),
            lang=(status.get("language") or "").split("-")[0] or None,
        )
