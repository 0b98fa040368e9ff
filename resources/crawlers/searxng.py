"""SearXNG: results of an own search instance, and the pages behind them.

`GET /search?format=json` must be enabled in the instance's settings, otherwise it answers 403. The
results are titles and snippets; with `fetch_pages`, the pages are read too, where robots.txt lets.
"""

from typing import Any, Literal

from chillguard import identity
from resources.crawlers.faults import Blocked, Fault
from resources.crawlers.html import fragment_text, page_text
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Post, Query, Url, moment

_LANGUAGES = {"zh": "zh-CN", "en": "en"}


class Searxng(NetworkSource):
    """Results of the instance at `url`, a snippet or a page each."""

    kind: Literal["searxng"] = "searxng"
    url: Url
    categories: str = "general"
    fetch_pages: bool = False

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """One page of results; an empty one is the last."""
        number = int(cursor or 1)
        params = {
            "q": query.text,
            "format": "json",
            "language": _LANGUAGES[query.lang],
            "categories": self.categories,
            "pageno": number,
        }
        try:
            answer = await http.get_json(f"{self.url}/search", params)
        except Blocked as fault:
            raise Blocked(
                f"{fault}; enable `json` under `search.formats` in the instance's settings.yml"
            ) from None
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            raise Blocked(f"{self.url} answers JSON without a list of results")
        found = [await self._post(http, one) for one in results if one.get("url")]
        return Page(
            [post for post in found if post and post.text],
            str(number + 1) if results else None,
            unchanged=found.count(None),
        )

    async def _post(self, http: Http, result: dict[str, Any]) -> Post | None:
        """A result as a post; None for a page that has not changed since it was read."""
        url, posted_at = str(result["url"]), moment(result.get("publishedDate"))
        text = fragment_text(f"{result.get('title') or ''}\n{result.get('content') or ''}")
        if self.fetch_pages:
            try:
                read = await http.get_page(url)
            except Fault:
                if http.was_read(url):
                    return None
                return Post(identity.digest("url", url), text, url, posted_at)
            if read is None:
                return None
            page, marks = read
            text = page_text(page, url) or text
            # A page that changed is another post.
            return Post(identity.digest("url", url, text), text, url, posted_at, marks=marks)
        return Post(identity.digest("url", url), text, url, posted_at)
