"""A corpus under test: one database, and crawls of sources on the loopback into it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resources.crawlers.crawler import NetworkCrawler
from resources.crawlers.store import PostStore
from tests.resources.crawlers import fake_sites
from tests.resources.crawlers.fake_sites import Ask, Item, Site

TOKEN = "token-of-nobody"
LIMITS = {"requests_per_minute": 1e9, "timeout_s": 20.0, "attempts": 3}


def keyword(zh: str, en: str) -> dict[str, str]:
    return {"keyword_id": f"kw-{en}", "zh": zh, "en": en}


WEATHER = keyword("天气", "weather")
COOKING = keyword("做饭", "cooking")
TRAVEL = keyword("旅行", "travel")


@dataclass(frozen=True)
class Kind:
    """A network source: its settings, its token, and the site that it expects."""

    settings: dict[str, Any]
    answer: Any
    token: str | None = None

    def source(self, site: Site, limits: dict[str, Any] | None = None, **more: Any) -> Any:
        """The settings of the source for a site on the loopback."""
        bounds = {**LIMITS, "private_hosts": [site.host], **(limits or {})}
        return {"name": "here", "url": site.url, **self.settings, "limits": bounds, **more}


KINDS = {
    "mastodon by hashtag": Kind({"kind": "mastodon"}, fake_sites.mastodon_tag),
    "mastodon by search": Kind(
        {"kind": "mastodon", "by": "search"}, fake_sites.mastodon_search, TOKEN
    ),
    "bluesky": Kind({"kind": "bluesky"}, fake_sites.bluesky, TOKEN),
    "x recent": Kind({"kind": "x"}, fake_sites.x, TOKEN),
    "x archive": Kind({"kind": "x", "archive": True}, fake_sites.x, TOKEN),
    "searxng": Kind({"kind": "searxng"}, fake_sites.searxng),
    "weibo mobile": Kind({"kind": "weibo"}, fake_sites.weibo_mobile, TOKEN),
    "weibo official": Kind({"kind": "weibo", "api": "official"}, fake_sites.weibo_official, TOKEN),
}


def asked_about(ask: Ask) -> str:
    """The Chinese keyword of a request, whatever the site; empty where there is none."""
    whole = f"{ask.path} {' '.join(ask.params.values())}"
    return next((row["zh"] for row in (WEATHER, COOKING, TRAVEL) if row["zh"] in whole), "")


@dataclass
class Corpus:
    """Posts of all sources in one database, and what the crawls said of them."""

    path: Path
    rejects: list[Any] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def store(self) -> PostStore:
        return PostStore(url=f"sqlite:///{self.path}")

    def crawl(
        self,
        source: dict[str, Any],
        *keywords: dict[str, str],
        token: str | None = None,
        taken_down: Collection[str] = (),
    ) -> list[dict[str, Any]]:
        """Rows after a crawl; of one keyword, unless others are named."""
        crawler = NetworkCrawler(source=source, store=self.store, token=token)
        asked = list(keywords or [WEATHER])
        return list(crawler.crawl(asked, self.rejects, self.told.append, taken_down))

    def rows(self, name: str = "here") -> list[dict[str, Any]]:
        """Rows as they are, without a crawl."""
        return list(self.store.records(name))

    def numbers(self) -> list[int]:
        """Numbers of the posts that are here, ascending."""
        return sorted(int(str(row["url"]).rpartition("/")[2]) for row in self.rows())

    def table(self, name: str) -> Sequence[Any]:
        """A table of the database."""
        with sa.create_engine(f"sqlite:///{self.path}").connect() as connection:
            return connection.execute(sa.text(f"SELECT * FROM {name}")).all()

    def bytes_on_disk(self) -> bytes:
        """The database and its log, as they lie there."""
        return b"".join(path.read_bytes() for path in self.path.parent.glob("*"))


def paged(kind: Kind, found: dict[str, list[Item]], size: int = 3) -> Any:
    """A script: the posts of each keyword, so many on a page."""
    return lambda ask: kind.answer(found.get(asked_about(ask), []), ask, size)
