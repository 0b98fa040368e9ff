"""X: API v2 recent and archive search.

`GET /2/tweets/search/recent` covers seven days, `/all` the archive. Pages by `next_token`; `data`
may be absent. Without `start_time`, the archive answers the last 30 days alone. The developer
terms bar redistributing text (ids only) and training foundation models with it: the terms of this
source stay closed unless a contract says else. Reads are paid per post.
"""

from typing import Any, Literal

from resources.crawlers.faults import BadQuery, Blocked
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Post, Query, Url, key, moment


class X(NetworkSource):
    """Posts of the API at `url`; `archive` searches from `start_time` on."""

    kind: Literal["x"] = "x"
    url: Url = "https://api.x.com"
    archive: bool = False
    start_time: str = "2006-03-21T00:00:00Z"
    token_env: str | None = "X_BEARER_TOKEN"  # noqa: S105 - the name of a variable

    needs_token = True

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """One page: 100 posts of the last days, or 500 of the archive."""
        start = self.start_time if self.archive and not query.since else None
        marks = {"next_token": cursor, "since_id": query.since, "start_time": start}
        params = {
            "query": f'"{query.text}" lang:{query.lang} -is:retweet',
            "max_results": 500 if self.archive else 100,
            "tweet.fields": "created_at,lang,note_tweet",
            **{name: mark for name, mark in marks.items() if mark},
        }
        kind = "all" if self.archive else "recent"
        url = f"{self.url}/2/tweets/search/{kind}"
        try:
            answer = await http.get_json(url, params)
        except BadQuery:
            # A mark older than the seven days that recent search covers is rejected.
            if params.pop("since_id", None) is None:
                raise
            answer = await http.get_json(url, params)
        if not isinstance(answer, dict) or not isinstance(answer.get("meta"), dict):
            raise Blocked(f"{self.url} answers JSON without `meta`")
        meta = answer["meta"]
        posts = [_post(one) for one in answer.get("data") or []]
        return Page(posts, meta.get("next_token"), meta.get("newest_id"))


def _post(found: dict[str, Any]) -> Post:
    own, note = key(found, "id"), found.get("note_tweet")
    # Of a long post `text` holds the beginning alone.
    whole = note.get("text") if isinstance(note, dict) else None
    return Post(
        native_id=own,
        text=str(whole or found.get("text") or ""),
        url=f"https://x.com/i/status/{own}",
        posted_at=moment(found.get("created_at")),
        lang=str(found["lang"]).split("-")[0] if found.get("lang") else None,
    )
