"""The crawl of one network source: every query, page by page, from where the last run stopped.

What a page is, a source knows; what becomes of a post, `chillguard.crawl` decides. Personal data is
replaced and screened text left out before a post is stored for the first time.
"""

import asyncio
import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import TypeAdapter

from chillguard import identity
from chillguard.rate import Rate
from chillguard.rows import intake, records, removal
from chillguard.tables.rows import SeedKeyword
from chillguard.text import matching
from resources.crawlers.faults import BadQuery, Blocked, Fault
from resources.crawlers.http import Http
from resources.crawlers.kinds import Source
from resources.crawlers.source import NetworkSource, Page, Post, Query
from resources.crawlers.store import Position, PostStore

_TELL_EVERY_S = 5.0
_SOURCE: TypeAdapter[Any] = TypeAdapter(Source)


class NetworkCrawler(dg.ConfigurableResource):
    """Posts of one network source; `source` is a `kinds.Source` in JSON form."""

    source: dict[str, Any]
    store: dg.ResourceDependency[PostStore]
    token: str | None = None

    @property
    def config(self) -> NetworkSource:
        """The validated source."""
        found: NetworkSource = _SOURCE.validate_python(self.source)
        return found

    def crawl(
        self,
        keywords: Sequence[SeedKeyword],
        rejects: list[records.Reject],
        tell: Callable[[str], None],
        taken_down: Collection[str] = (),
    ) -> Iterator[Mapping[str, Any]]:
        """All posts of the source after crawling on; a query it rejects goes to `rejects`.

        Of a post of which a mark is in `taken_down`, the text is never stored.

        Raises `dg.Failure` when the source answers no query; what it brought before is kept, and
        the next run goes on there.
        """
        source = self.config
        if source.needs_token and not self.token:
            raise dg.Failure(
                f"source {source.name!r} needs credentials: set the environment variable "
                f"{source.token_env}, or set `enabled: false` for it in the profile"
            )
        run = _Run(source, self.store, tell, rejects, taken_down)
        try:
            asyncio.run(run.crawl(source.queries(keywords), source.headers(self.token)))
        except Fault as fault:
            named = f" (credentials: {source.token_env})" if source.token_env else ""
            raise dg.Failure(
                f"source {source.name!r}: {fault}{named}. What it brought so far is kept; mend the "
                "cause and run again, or set `enabled: false` for it in the profile"
            ) from None
        yield from self.store.records(source.name)


@dataclass
class _Run:
    """One run over one source."""

    source: NetworkSource
    store: PostStore
    tell: Callable[[str], None]
    rejects: list[records.Reject]
    taken_down: Collection[str]
    done: int = 0
    brought: int = 0
    told_at: float = 0.0
    rejected: int = 0
    stubs: int = 0
    capped: int = 0

    async def crawl(self, queries: Sequence[Query], headers: Mapping[str, str]) -> None:
        """Bring every query of the pass to its end, several at once; closes the pass."""
        self.began_at = self.told_at = time.monotonic()
        number = self.store.begin(self.source.name)
        waiting = iter(enumerate(queries, 1))
        marks = functools.partial(self.store.marks, self.source.name)
        async with Http(self.source.limits, headers, marks) as http:
            workers = [
                asyncio.create_task(self._work(http, waiting, number, len(queries)))
                for _ in range(self.source.limits.concurrency)
            ]
            try:
                finished = await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                self._tell(http, len(queries))
        if queries and self.rejected == len(queries):
            raise Blocked(f"every query is rejected; the last one: {self.rejects[-1].reason}")
        self._tell_left_out(finished)
        if all(finished):
            self.store.finish(self.source.name)

    async def _work(
        self, http: Http, waiting: Iterable[tuple[int, Query]], number: int, total: int
    ) -> bool:
        """Take queries until none is left; False when the run's requests are used up first."""
        for line, query in waiting:
            try:
                if not await self._query(http, query, number):
                    return False
            except BadQuery as fault:
                self.rejected += 1
                self.rejects.append(
                    records.Reject(self.source.name, line, f"query {query.query_id}", str(fault))
                )
            self.done += 1
            if time.monotonic() - self.told_at > _TELL_EVERY_S:
                self._tell(http, total)
        return True

    async def _query(self, http: Http, query: Query, number: int) -> bool:
        at = self.store.position(self.source.name, query, number, self.source.reads_on)
        query = dataclasses.replace(query, since=at.since)
        seen: set[str] = set()
        idle = 0
        while not at.done:
            if self.source.max_requests is not None and http.requests >= self.source.max_requests:
                return False
            page = await self._page(http, query, at.cursor)
            self.stubs += page.stubs
            ids = {post.native_id for post in page.posts}
            idle = 0 if ids - seen else idle + 1
            seen |= ids
            at = self._keep(query, number, page, at, given_up=idle >= self.source.patience)
        return True

    async def _page(self, http: Http, query: Query, cursor: str | None) -> Page:
        try:
            return await self.source.page(http, query, cursor)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            where = getattr(self.source, "url", self.source.kind)
            raise Blocked(
                f"{where} answers JSON of another shape than documented ({type(error).__name__})"
            ) from None

    def _keep(
        self, query: Query, number: int, page: Page, at: Position, given_up: bool
    ) -> Position:
        """Store a page; returns where the query is then."""
        source = self.source
        known = self.store.known(source.name, [post.native_id for post in page.posts])
        new = {post.native_id: post for post in page.posts if post.native_id not in known}
        kept = list(new.values())[: source.posts_per_query - at.posts]
        # Everything on the page came in an earlier pass: from here on, nothing is new.
        caught_up = (
            at.again
            and not source.reads_on
            and bool(page.posts or page.unchanged)
            and all(known.get(p.native_id, number) < number for p in page.posts)
        )
        after = Position(
            cursor=at.cursor if source.reads_on and page.next is None else page.next,
            done=given_up
            or caught_up
            or page.next is None
            or page.next == at.cursor
            or at.posts + len(kept) >= source.posts_per_query
            or at.pages + 1 >= source.max_pages,
            pages=at.pages + 1,
            posts=at.posts + len(kept),
            newest=_later(at.newest, page.newest),
            since=at.since,
            again=at.again,
        )
        is_full = after.posts >= source.posts_per_query or after.pages >= source.max_pages
        self.capped += is_full and page.next not in (None, at.cursor)
        admitted = [(_for(query, post), self._admit(post)) for post in kept]
        self.store.add(source.name, query, number, admitted, after)
        self.brought += len(kept)
        return after

    def _admit(self, post: Post) -> intake.Admitted:
        admitted = intake.admit(post.text)
        stands_for = admitted.text or admitted.text_hash
        key, family = identity.post_id(stands_for), matching.family_id(stands_for)
        marks = removal.marks(key, post.native_id, self.source.name, post.url, family)
        return admitted if marks.isdisjoint(self.taken_down) else intake.taken_down(admitted)

    def _tell_left_out(self, finished: Sequence[bool]) -> None:
        """Say what a limit or the source itself kept away: no row shows it."""
        source = self.source
        told = []
        if self.stubs:
            told.append(f"{self.stubs:,} entries were no whole posts (cut off or deleted)")
        if self.capped:
            told.append(
                f"{self.capped:,} queries ended at `posts_per_query` ({source.posts_per_query:,}) "
                f"or `max_pages` ({source.max_pages:,}), and the source has more"
            )
        if not all(finished):
            told.append(
                f"`max_requests` ({source.max_requests:,}) is used up: the next run goes on there"
            )
        if told:
            self.tell(f"crawled_posts/{source.name}: {'; '.join(told)}")

    def _tell(self, http: Http, total: int) -> None:
        self.told_at = time.monotonic()
        seconds = self.told_at - self.began_at
        line = (
            f"crawled_posts/{self.source.name}: {self.done:,} of {total:,} queries, "
            f"{http.requests:,} requests, {self.brought:,} new posts, "
            f"{Rate(http.requests, seconds).per_s:,.1f} requests/s"
        )
        eta_s = Rate(self.done, seconds).eta_s(total - self.done)
        if self.done < total and eta_s is not None:
            line += f", ETA {eta_s:,.0f} s"
        self.tell(line)


def _for(query: Query, post: Post) -> Post:
    return post if post.keyword_id else dataclasses.replace(post, keyword_id=query.keyword_id)


def _later(one: str | None, other: str | None) -> str | None:
    """The later of two marks: numeric ids by length first, ISO times as they are."""
    marks = [mark for mark in (one, other) if mark]
    return max(marks, key=lambda mark: (len(mark), mark)) if marks else None
