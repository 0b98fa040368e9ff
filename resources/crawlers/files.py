"""The `files` source: posts from local files."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from chillguard.rows import records
from chillguard.tables.rows import SeedKeyword
from resources.inputs.files import accepted


class FilesCrawler(dg.ConfigurableResource):
    """Posts of one file; `source` is a `records.SourceConfig` in JSON form."""

    source: dict[str, Any]

    @property
    def config(self) -> records.SourceConfig:
        """The validated source."""
        return records.SourceConfig.model_validate(self.source)

    def crawl(
        self,
        keywords: Sequence[SeedKeyword],
        rejects: list[records.Reject],
        tell: Callable[[str], None],
        taken_down: Collection[str] = (),
    ) -> Iterator[Mapping[str, Any]]:
        """Good records of the file; the others are appended to `rejects`."""
        yield from accepted(self.config, (), rejects, tell)
