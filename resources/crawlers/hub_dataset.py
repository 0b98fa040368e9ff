"""Hub data sets: public corpora read as a stream, keeping rows that hold a keyword.

A corpus has no search, so it is scanned in order. The place in the stream is the cursor: a killed
scan goes on where it was and a later one reads on. Needs the library `datasets` (group `train`).
"""

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from chillguard import identity, keywords
from chillguard.tables.rows import SeedKeyword
from resources.crawlers.faults import Blocked
from resources.crawlers.http import Http
from resources.crawlers.source import NetworkSource, Page, Post, Query, moment

_ROWS = 1000


class HubDataset(NetworkSource):
    """Rows of a data set on the hub, or of a local folder of data files.

    `dataset` is its name, or the folder; `config`, `split`, `revision` and `data_files` are those
    of `datasets.load_dataset`; `text`, `id`, `url` and `time` name columns. `posts_per_query`
    bounds the posts of one scan, `max_pages` how many thousand rows it reads.
    """

    kind: Literal["hub_dataset"] = "hub_dataset"
    dataset: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    data_files: str | list[str] | None = None
    text: str = "text"
    id: str | None = None
    url: str | None = None
    time: str | None = None
    token_env: str | None = "HF_TOKEN"  # noqa: S105 - the name of a variable
    posts_per_query: int = Field(480_000, gt=0)
    max_pages: int = Field(1_000_000, gt=0)

    patience = 1_000_000
    reads_on = True

    _token: str | None = PrivateAttr(default=None)
    _rows: Any = PrivateAttr(default=None)
    _stream: Any = PrivateAttr(default=None)
    _finder: Any = PrivateAttr(default=None)

    def queries(self, keywords_: Iterable[SeedKeyword]) -> list[Query]:
        """One query, the scan; it looks for all keywords at once."""
        self._finder = keywords.Finder(keywords_, self.languages)
        return [Query(identity.digest("scan", self.dataset, self.config, self.split), None, "", "")]

    def headers(self, token: str | None) -> dict[str, str]:
        """None: the library itself sends the token."""
        self._token = token
        return {}

    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """The next thousand rows of the stream: those that hold a keyword."""
        self._open(cursor)
        posts, read = [], 0
        for row in self._read():
            read += 1
            self._check(row)
            text = row[self.text]
            if text and (keyword := self._finder.first(text)):
                posts.append(self._post(row, text, keyword))
        return Page(posts, json.dumps(self._rows.state_dict()) if read == _ROWS else None)

    def _read(self) -> list[Mapping[str, Any]]:
        # Not `take`: it reads a copy, and the place in the stream stays where it was.
        try:
            return list(itertools.islice(self._stream, _ROWS))
        except Exception as error:
            raise Blocked(f"{self.dataset} cannot be read: {type(error).__name__}") from None

    def _check(self, row: Mapping[str, Any]) -> None:
        for column in filter(None, (self.text, self.id, self.url, self.time)):
            if column not in row:
                raise Blocked(f"{self.dataset} has no column {column!r}: it has {sorted(row)}")
        if not isinstance(row[self.text], str | None):
            raise Blocked(f"column {self.text!r} of {self.dataset} is no text")

    def _post(self, row: Mapping[str, Any], text: str, keyword_id: str) -> Post:
        return Post(
            native_id=str(row[self.id]) if self.id else identity.text_hash(text),
            text=text,
            url=row.get(self.url) if self.url else None,
            posted_at=moment(row.get(self.time)) if self.time else None,
            keyword_id=keyword_id,
        )

    def _open(self, cursor: str | None) -> None:
        """Open the stream at the place of the cursor; later pages follow by themselves."""
        if self._rows is None:
            self._rows = self._load()
            if cursor:
                self._rows.load_state_dict(json.loads(cursor))
            self._stream = iter(self._rows)

    def _load(self) -> Any:
        try:
            import datasets
        except ImportError:
            raise Blocked("reading a hub data set needs the install group `train`") from None
        try:
            return datasets.load_dataset(
                self.dataset,
                self.config,
                split=self.split,
                revision=self.revision,
                data_files=self.data_files,
                streaming=True,
                token=self._token,
            )
        except (OSError, ValueError) as error:
            raise Blocked(f"data set {self.dataset} cannot be opened: {error}") from None
