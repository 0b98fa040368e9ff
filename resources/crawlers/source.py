"""What a network source is: its settings, what it is asked, and the pages that it answers.

One class per kind of source, each in a file of its own, says how a query becomes a page of posts.
How requests travel is `resources.crawlers.http`; the loop over queries and pages is
`resources.crawlers.crawler`.
"""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.tables.rows import SeedKeyword
from resources.crawlers.http import Http, Limits, Marks


@dataclass(frozen=True)
class Query:
    """One keyword in one language; `since` is the newest mark of the last finished pass."""

    query_id: str
    keyword_id: str | None
    text: str
    lang: str
    since: str | None = None


@dataclass(frozen=True)
class Post:
    """One post as a source gives it: plain text, and its own id, url, time and language.

    `marks` is the version of the page it was read from, where it was one.
    """

    native_id: str
    text: str
    url: str | None = None
    posted_at: str | None = None
    lang: str | None = None
    keyword_id: str | None = None
    marks: Marks | None = None

    def __post_init__(self) -> None:
        for name in ("native_id", "text", "url", "posted_at", "lang"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, storable(value))


@dataclass(frozen=True)
class Page:
    """Posts of one request, and the cursor of the next page; None after the last one.

    `newest` marks how far a pass has come, in whatever form the source takes as `since`; `stubs`
    counts entries that hold no whole text (cut off, or deleted by their authors).
    """

    posts: Sequence[Post]
    next: str | None
    newest: str | None = None
    unchanged: int = 0
    stubs: int = 0

    def __post_init__(self) -> None:
        for mark in (self.next, self.newest):
            if mark is not None and not isinstance(mark, str):
                raise TypeError("a cursor that is no text")


class NetworkSource(BaseModel, ABC):
    """Settings common to all network sources; all are off until `enabled`.

    Caps: `posts_per_query` and `max_pages` in one pass, `max_requests` of one run. Terms are
    closed until somebody who read those of the source opens them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    enabled: bool = False
    languages: tuple[Literal["zh", "en"], ...] = ("zh",)
    posts_per_query: int = Field(200, gt=0)
    max_pages: int = Field(50, gt=0)
    max_requests: int | None = Field(None, gt=0)
    limits: Limits = Limits()
    token_env: str | None = None
    may_redistribute: bool = False
    may_train: bool = False

    needs_token: ClassVar[bool] = False
    reads_on: ClassVar[bool] = False
    """Whether a pass begins where the last one ended, and not at the newest post."""
    patience: ClassVar[int] = 3
    """Pages without a new post after which a query is taken for finished."""

    @property
    def terms(self) -> dict[str, bool]:
        """Terms of every post of this source."""
        return {"may_redistribute": self.may_redistribute, "may_train": self.may_train}

    def queries(self, keywords: Iterable[SeedKeyword]) -> list[Query]:
        """What is asked: each keyword in each language, by default."""
        return [
            Query(
                identity.digest("crawl", row["keyword_id"], lang),
                row["keyword_id"],
                row[lang],
                lang,
            )
            for row in keywords
            for lang in self.languages
        ]

    def headers(self, token: str | None) -> dict[str, str]:
        """Headers of every request."""
        return {"authorization": f"Bearer {token}"} if token else {}

    @abstractmethod
    async def page(self, http: Http, query: Query, cursor: str | None) -> Page:
        """One page of a query; `cursor` None is the first. Raises a kind of `http.Fault`."""


Url = Annotated[str, AfterValidator(lambda url: url.rstrip("/"))]


def key(found: Mapping[str, Any], name: str) -> str:
    """An id as text. Raises `TypeError` or `KeyError` for what is none."""
    value = found[name]
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise TypeError("an id that is none")
    return str(value)


def storable(text: Any) -> str:
    """A text without what no database takes: NUL, and halves of surrogate pairs."""
    if not isinstance(text, str):
        raise TypeError("a field that is no text")
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def moment(written: Any) -> str | None:
    """A time in ISO 8601, UTC, whole seconds; None for what is no time."""
    try:
        parsed = dt.datetime.fromisoformat(str(written))
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=dt.UTC)
        parsed = parsed.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return f"{parsed.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
