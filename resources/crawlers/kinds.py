"""Every kind of network source, told apart by `kind`."""

from typing import Annotated

from pydantic import Field

from resources.crawlers.bluesky import Bluesky
from resources.crawlers.hub_dataset import HubDataset
from resources.crawlers.mastodon import Mastodon
from resources.crawlers.quora import Quora
from resources.crawlers.searxng import Searxng
from resources.crawlers.weibo import Weibo
from resources.crawlers.x import X

Source = Annotated[
    Bluesky | HubDataset | Mastodon | Quora | Searxng | Weibo | X, Field(discriminator="kind")
]
