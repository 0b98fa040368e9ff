"""Weibo: the mobile site's JSON, or the paid search of the open platform.

Mobile (`container/getIndex`, undocumented): posts are cards of type 9, groups of type 11 hold more;
text is HTML; `ok` other than 1 on the first page means blocked or logged out. A long text ends in
`…全文` unless the card brings it whole (`longText`); a deleted post is a notice. Official
(`search/statuses/limited`): OAuth2, paid. Neither allows redistribution.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import model_validator

from resources.crawlers.faults import Blocked
from resources.crawlers.html import fragment_text
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Post, Query, Url, key, moment

_POST, _GROUP = 9, 11
_COUNT = 50
_CUT_OFF = re.compile(r"(?:…|\.{3}|\s)全文\s*$")
# Notices in place of a post, as the site writes them.
_GONE = re.compile(
    r"(?:抱歉[，,]?\s*)?(?:[此该]微博(?:已被|已不可见|因)|作者已设置仅展示|由于用户设置|该账号因)"
)
_NOTICE_CHARACTERS = 80


class Weibo(NetworkSource):
    """Posts by the mobile site (its token is a login cookie) or the official API (OAuth2)."""

    kind: Literal["weibo"] = "weibo"
    api: Literal["mobile", "official"] = "mobile"
    url: Url = "https://m.weibo.cn"
    token_env: str | None = "WEIBO_TOKEN"  # noqa: S105 - the name of a variable

    needs_token = True

    @model_validator(mode="before")
    @classmethod
    def _of_its_api(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("api") == "official":
            return {"url": "https://api.weibo.com", **given}
        return given

    def headers(self, token: str | None) -> dict[str, str]:
        """A cookie for the mobile site, OAuth2 for the official API."""
        if self.api == "official":
            return {"authorization": f"OAuth2 {token}"}
        return {"cookie": token or "", "referer": self.url, "x-requested-with": "XMLHttpRequest"}

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """One page; an empty one is the last."""
        number = int(cursor or 1)
        read = self._official if self.api == "official" else self._mobile
        posts = [_post(found) for found in await read(http, query, number)]
        newest = max((p.native_id for p in posts), key=lambda one: (len(one), one), default=None)
        whole = [post for post in posts if not _is_stub(post.text)]
        following = str(number + 1) if posts else None
        return Page(whole, following, newest, stubs=len(posts) - len(whole))

    async def _mobile(self, http: Http, query: Query, number: int) -> list[Mapping[str, Any]]:
        params = {
            "containerid": f"100103type=1&q={query.text}",
            "page_type": "searchall",
            "page": number,
        }
        answer = await http.get_json(f"{self.url}/api/container/getIndex", params)
        cards = (answer.get("data") or {}).get("cards") if isinstance(answer, dict) else None
        # Without any result the site answers ok=0 and an empty list.
        if cards is None or (answer.get("ok") != 1 and cards):
            raise Blocked(f"{self.url} answers without ok=1: blocked or logged out")
        return list(_mblogs(cards))

    async def _official(self, http: Http, query: Query, number: int) -> list[Mapping[str, Any]]:
        params = {"q": query.text, "page": number, "count": _COUNT}
        answer = await http.get_json(f"{self.url}/2/search/statuses/limited.json", params)
        found = answer.get("statuses") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise Blocked(f"{self.url} answers JSON without a list of statuses")
        return found


def _mblogs(cards: list[Any]) -> Iterator[Mapping[str, Any]]:
    for card in cards:
        if card.get("card_type") == _POST and card.get("mblog"):
            yield card["mblog"]
        elif card.get("card_type") == _GROUP:
            yield from _mblogs(card.get("card_group") or [])


def _post(found: Mapping[str, Any]) -> Post:
    own, long = key(found, "id"), found.get("longText")
    whole = long.get("longTextContent") if isinstance(long, Mapping) else None
    return Post(
        native_id=own,
        text=fragment_text(str(whole or found.get("text") or "")),
        url=f"https://m.weibo.cn/detail/{own}",
        posted_at=_moment(found.get("created_at")),
    )


def _is_stub(text: str) -> bool:
    is_notice = len(text) <= _NOTICE_CHARACTERS and _GONE.match(text)
    return bool(is_notice or _CUT_OFF.search(text))


def _moment(written: Any) -> str | None:
    """A time as Weibo writes it (`Sat Nov 21 09:00:00 +0800 2026`), in ISO 8601, UTC."""
    try:
        parsed = dt.datetime.strptime(str(written), "%a %b %d %H:%M:%S %z %Y")
    except ValueError:
        return None
    return moment(parsed.isoformat())
