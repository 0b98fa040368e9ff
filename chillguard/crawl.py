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
from chillguard.tables.reasons import Reason
from chillguard.text import language, matching

Row = dict[str, Any]


class CrawlConfig(BaseModel):
    """What a post must be to enter the corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = Field(8, ge=0)
    max_chars: int = Field(2000, ge=1)
    languages: tuple[str, ...] = ("zh", "en")


def posts(
    records: Iterable[Mapping[str, Any]],
    source: str,
    pool: pa.Table,
    terms: Mapping[str, bool],
    config: CrawlConfig,
    taken_down: Collection[str] = (),
) -> pa.Table:
    """The `crawled_posts/<source>` table; a record has `text` and maybe id, url, lang, keyword_id.

    A record that was admitted before has `admitted` in place of `text`. A text that a source holds
    twice, in whatever spelling, is kept once. Where the records name no id, the position among
    equal texts stands in for it. A post of which a mark is in `taken_down` is dropped without its
    text.
    """
    finder = keywords.Finder(pool.to_pylist())
    rows: list[Row] = []
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
        place = {"post_id": key, "native_id": native, "source": source, **terms}
        row = place | _content(record, admitted, finder)
        reason, evidence = _drop(row, admitted, seen.get(family), config)
        if reason is None:
            seen[family] = native
        rows.append(row | {"drop_reason": reason, "drop_evidence": evidence})
    return lineage.CRAWLED_POSTS.build(rows)


def _content(record: Mapping[str, Any], admitted: intake.Admitted, finder: keywords.Finder) -> Row:
    row: Row = {name: record.get(name) for name in ("url", "posted_at", "lang", "keyword_id")}
    row["text"] = admitted.text
    if admitted.text is not None:
        row["lang"] = language.declared(row["lang"]) or language.detect(admitted.text)
        row["keyword_id"] = row["keyword_id"] or finder.first(admitted.text)
    return row


def _drop(
    row: Row, admitted: intake.Admitted, twin: str | None, config: CrawlConfig
) -> tuple[str | None, str | None]:
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
