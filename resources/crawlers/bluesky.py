"""Bluesky: posts by XRPC `app.bsky.feed.searchPosts`.

Parameters `q`, `limit` (100 at most) and `cursor`; the answer has `posts` and maybe `cursor`; error
`BadQueryString` rejects one query. `lang`, `since` and `sort` are newer and were not verified.
"""

from typing import Any, Literal

from resources.crawlers.faults import Blocked
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Post, Query, Url, key, moment

_LIMIT = 100


class Bluesky(NetworkSource):
    """Posts of the service at `url`."""

    kind: Literal["bluesky"] = "bluesky"
    url: Url = "https://api.bsky.app"
    token_env: str | None = "BLUESKY_TOKEN"  # noqa: S105 - the name of a variable

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """One page of 100 posts, latest first."""
        marks = {"cursor": cursor, "since": query.since}
        params = {
            "q": query.text,
            "limit": _LIMIT,
            "lang": query.lang,
            "sort": "latest",
            **{name: mark for name, mark in marks.items() if mark},
        }
        answer = await http.get_json(f"{self.url}/xrpc/app.bsky.feed.searchPosts", params)
        found = answer.get("posts") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise Blocked(f"{self.url} answers JSON without a list of posts")
        posts = [_post(one) for one in found]
        # A post may be dated in the future by its author: the service's own time bounds its mark.
        indexed = [moment(one.get("indexedAt")) for one in found]
        times = [
            min(filter(None, (post.posted_at, at)))
            for post, at in zip(posts, indexed, strict=True)
            if post.posted_at or at
        ]
        newest = max(times, default=None)
        return Page(posts, answer.get("cursor"), newest)


def _post(found: dict[str, Any]) -> Post:
    record = found.get("record") or {}
    uri = key(found, "uri")
    languages = record.get("langs") or [None]
    return Post(
        native_id=uri,
        text=str(record.get("text") or ""),
        url=uri,
        posted_at=moment(record.get("createdAt") or found.get("indexedAt")),
        lang=str(languages[0]).split("-")[0] if languages[0] else None,
    )
