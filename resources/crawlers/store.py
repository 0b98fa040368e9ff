"""What network sources have brought so far: posts, and how far each query has come.

Posts are written as admitted (personal data replaced, screened text never), in one transaction with
the cursor of the next page, so that a killed crawl goes on at the page it was at. The tables stand
beside the ledger, at the same SQLAlchemy URL.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import sqlalchemy as sa

from chillguard import identity
from chillguard.rows import intake
from chillguard.tables.reasons import Reason, dropped
from resources import database
from resources.crawlers.http import Marks
from resources.crawlers.source import Post, Query

_METADATA = sa.MetaData()
POSTS = sa.Table(
    "crawl_posts",
    _METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("native_id", sa.String, primary_key=True),
    sa.Column("keyword_id", sa.String, comment="keyword that found it first"),
    sa.Column("url", sa.String),
    sa.Column("posted_at", sa.String, comment="ISO 8601, UTC"),
    sa.Column("lang", sa.String, comment="as the source tells; null = to be detected"),
    sa.Column("text", sa.Text, comment="personal data replaced; null = screened or taken down"),
    sa.Column("text_hash", sa.String, nullable=False),
    sa.Column("post_id", sa.String, comment="digest of the text as admitted"),
    sa.Column("drop_reason", sa.String),
    sa.Column("drop_evidence", sa.String),
    sa.Column("crawl_pass", sa.Integer, nullable=False, comment="pass that brought it"),
)
CURSORS = sa.Table(
    "crawl_cursors",
    _METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("query_id", sa.String, primary_key=True),
    sa.Column("crawl_pass", sa.Integer, nullable=False),
    sa.Column("cursor", sa.Text, comment="of the next page; null = the first"),
    sa.Column("done", sa.Boolean, nullable=False, comment="the query is finished in this pass"),
    sa.Column("pages", sa.Integer, nullable=False, comment="pages read in this pass"),
    sa.Column("posts", sa.Integer, nullable=False, comment="new posts in this pass"),
    sa.Column("newest", sa.String, comment="mark of this pass so far"),
    sa.Column("since", sa.String, comment="mark of the last finished pass"),
    sa.Column("again", sa.Boolean, comment="an earlier pass finished this query"),
)
PASSES = sa.Table(
    "crawl_passes",
    _METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("finished", sa.Boolean, nullable=False),
)
PAGES = sa.Table(
    "crawl_pages",
    _METADATA,
    sa.Column("source", sa.String, primary_key=True),
    sa.Column("url", sa.String, primary_key=True),
    sa.Column("etag", sa.String),
    sa.Column("modified", sa.String),
)


@dataclass(frozen=True)
class Position:
    """How far one query has come in the running pass."""

    cursor: str | None = None
    done: bool = False
    pages: int = 0
    posts: int = 0
    newest: str | None = None
    since: str | None = None
    again: bool = False


class PostStore(dg.ConfigurableResource):
    """Posts and cursors of all network sources at a SQLAlchemy URL."""

    url: str

    def begin(self, source: str) -> int:
        """The pass to go on with: the unfinished one, or a new one."""
        with self._engine().begin() as connection:
            row = connection.execute(sa.select(PASSES).where(PASSES.c.source == source)).first()
            if row and not row.finished:
                return int(row.number)
            number = row.number + 1 if row else 1
            database.replace(
                connection, PASSES, {"source": source, "number": number, "finished": False}
            )
            return number

    def finish(self, source: str) -> None:
        """Every query of the pass is done."""
        update = sa.update(PASSES).where(PASSES.c.source == source).values(finished=True)
        with self._engine().begin() as connection:
            connection.execute(update)

    def position(self, source: str, query: Query, number: int, reads_on: bool = False) -> Position:
        """Where the query is in this pass; at its beginning, since the mark of the last one."""
        where = (CURSORS.c.source == source, CURSORS.c.query_id == query.query_id)
        with self._engine().connect() as connection:
            row = connection.execute(sa.select(CURSORS).where(*where)).first()
        if row is None:
            return Position()
        if row.crawl_pass != number:
            cursor = row.cursor if reads_on else None
            if not row.done:  # rejected half-way: its older posts are still to come
                return Position(cursor, since=row.since)
            return Position(cursor, since=row.newest or row.since, again=True)
        return Position(
            row.cursor, row.done, row.pages, row.posts, row.newest, row.since, bool(row.again)
        )

    def add(
        self,
        source: str,
        query: Query,
        number: int,
        posts: Sequence[tuple[Post, intake.Admitted]],
        position: Position,
    ) -> None:
        """Keep the new posts of a page and where the query is now, in one transaction."""
        rows = [_row(source, number, post, admitted) for post, admitted in posts]
        place = {"source": source, "query_id": query.query_id, "crawl_pass": number}
        with self._engine().begin() as connection:
            database.insert_new(connection, POSTS, rows)
            database.replace(connection, CURSORS, place | vars(position))
            for post, _ in posts:
                if post.marks and post.url:
                    database.replace(
                        connection, PAGES, {"source": source, "url": post.url, **vars(post.marks)}
                    )

    def known(self, source: str, native_ids: Iterable[str]) -> dict[str, int]:
        """The pass that brought each post that is here already, by native id."""
        wanted = list(native_ids)
        query = sa.select(POSTS.c.native_id, POSTS.c.crawl_pass).where(
            POSTS.c.source == source, POSTS.c.native_id.in_(wanted)
        )
        with self._engine().connect() as connection:
            return {row.native_id: row.crawl_pass for row in connection.execute(query)}

    def records(self, source: str) -> Iterator[Mapping[str, Any]]:
        """All posts of a source, as `chillguard.crawl.posts` takes them."""
        query = sa.select(POSTS).where(POSTS.c.source == source).order_by(POSTS.c.native_id)
        with self._engine().connect() as connection:
            for row in connection.execution_options(yield_per=5000).execute(query):
                reason = Reason(row.drop_reason) if row.drop_reason else None
                admitted = intake.Admitted(row.text, row.text_hash, reason, row.drop_evidence)
                yield {
                    "id": row.native_id,
                    "post_id": row.post_id,
                    "admitted": admitted,
                    "url": row.url,
                    "posted_at": row.posted_at,
                    "lang": row.lang,
                    "keyword_id": row.keyword_id,
                }

    def marks(self, source: str, url: str) -> Marks | None:
        """What the server said of a page's version; None if it was never read."""
        where = (PAGES.c.source == source, PAGES.c.url == url)
        with self._engine().connect() as connection:
            row = connection.execute(sa.select(PAGES).where(*where)).first()
        return Marks(row.etag, row.modified) if row else None

    def take_down(self, posts: Mapping[str, Iterable[str]]) -> None:
        """Null the text of posts, by source and native id; the ids stay, so none comes again."""
        with self._engine().begin() as connection:
            for source, native_ids in posts.items():
                where = (POSTS.c.source == source, POSTS.c.native_id.in_(list(native_ids)))
                gone = {"text": None, **dropped(Reason.TAKEDOWN, "taken down")}
                connection.execute(sa.update(POSTS).where(*where).values(**gone))

    def _engine(self) -> sa.Engine:
        return database.engine(self.url, _METADATA)


def _row(source: str, number: int, post: Post, admitted: intake.Admitted) -> dict[str, Any]:
    return {
        "source": source,
        "native_id": post.native_id,
        "keyword_id": post.keyword_id,
        "url": post.url,
        "posted_at": post.posted_at,
        "lang": post.lang,
        "text": admitted.text,
        "text_hash": admitted.text_hash,
        "post_id": identity.post_id(admitted.text or admitted.text_hash),
        "drop_reason": admitted.drop_reason,
        "drop_evidence": admitted.drop_evidence,
        "crawl_pass": number,
    }
