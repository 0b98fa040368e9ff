"""Crawled posts (paper section 3.1): from a source's records to rows of one corpus.

How a source is read or crawled is `resources.crawlers`; this decides what becomes a row.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity, keywords
from chillguard.rows import intake, removal
from chillguard.tables import lineage
from chillguard.tables.reasons import KEPT, Reason, drop
from chillguard.tables.rows import Post, Terms
from chillguard.text import language, matching

# From a file, or from the store of what was crawled.
Record = Mapping[str, Any]


class CrawlConfig(BaseModel):
    """What a post must be to enter the corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = Field(8, ge=0)
    max_chars: int = Field(2000, ge=1)
    languages: tuple[str, ...] = ("zh", "en")


def posts(
    records: Iterable[Record],
    source: str,
    pool: pa.Table,
    terms: Terms,
    config: CrawlConfig,
    taken_down: Collection[str] = (),
) -> pa.Table:
    """The `crawled_posts/<source>` table; a record has `text` and maybe id, url, lang, keyword_id.

    A record that was admitted before has `admitted` in place of `text`. A text that a source holds
    twice, in whatever spelling, is kept once. Where the records name no id, the position among
    equal texts stands in for it. A post of which a mark is in `taken_down` is dropped without its
    text.
    """
    finder = keywords.Finder(lineage.EXPANDED_KEYWORDS.rows(pool))
    rows: list[Post] = []
    seen: dict[str, str] = {}
    times: dict[tuple[str, str], int] = {}
    for record in records:
        admitted = record.get("admitted") or intake.admit(record["text"])
        key = record.get("post_id") or identity.post_id(admitted.text or admitted.text_hash)
        own = record.get("id") or key
        times[key, own] = times.get((key, own), -1) + 1
        native = _numbered(own, times[key, own], own=bool(record.get("id")))
        family = matching.family_id(admitted.text or admitted.text_hash)
        marks = removal.marks(key, native, source, record.get("url"), family)
        if not marks.isdisjoint(taken_down):
            admitted = intake.taken_down(admitted)
        row = _row(record, admitted, (key, native, source), terms, finder)
        reason, evidence = _fault(row, admitted, seen.get(family), config)
        if reason is None:
            seen[family] = native
        else:
            if reason == Reason.TOO_LONG and admitted.text:
                row["text"] = admitted.text[: config.max_chars]
            drop(row, reason, evidence)
        rows.append(row)
    return lineage.CRAWLED_POSTS.build(rows)


def _row(
    record: Record,
    admitted: intake.Admitted,
    place: tuple[str, str, str],
    terms: Terms,
    finder: keywords.Finder,
) -> Post:
    """A post as it was read; `place` is its id, the source's own id and the source."""
    post_id, native_id, source = place
    row: Post = {
        "post_id": post_id,
        "native_id": native_id,
        "source": source,
        "url": record.get("url"),
        "posted_at": record.get("posted_at"),
        "keyword_id": record.get("keyword_id"),
        "text": admitted.text,
        "lang": record.get("lang"),
        **terms,
        **KEPT,
    }
    if admitted.text is not None:
        row["lang"] = language.declared(row["lang"]) or language.detect(admitted.text)
        row["keyword_id"] = row["keyword_id"] or finder.first(admitted.text)
    return row


def _fault(
    row: Post, admitted: intake.Admitted, twin: str | None, config: CrawlConfig
) -> tuple[Reason | None, str | None]:
    if admitted.text is None:
        return admitted.drop_reason, admitted.drop_evidence
    if twin is not None:
        return Reason.DUPLICATE, f"same text as {twin}"
    if len(admitted.text) < config.min_chars:
        return Reason.TOO_SHORT, f"{len(admitted.text)} characters"
    if len(admitted.text) > config.max_chars:
        return Reason.TOO_LONG, f"{len(admitted.text)} characters"
    if row["lang"] not in config.languages:
        return Reason.LANGUAGE, f"detected {row['lang']}"
    return None, None


def _numbered(native: str, time: int, own: bool) -> str:
    """A source's own id the first time; otherwise with the number of its repetition."""
    return native if own and not time else f"{native}-{time}"
