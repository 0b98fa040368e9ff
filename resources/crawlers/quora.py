"""Quora: an interface without a crawl.

No public API was found, and no terms that would permit reading pages by machine. What written
permission allows is exported and read through a `files` source; this kind keeps the place, and
refuses to be turned on.
"""

from typing import Literal

from resources.crawlers.faults import Blocked
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Query


class Quora(NetworkSource):
    """Never asked."""

    kind: Literal["quora"] = "quora"

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """Always refused."""
        raise Blocked(
            "Quora offers no API and no terms that permit crawling; export what written permission "
            "allows, and read it with a source of kind `files`"
        )
