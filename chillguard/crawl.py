"""Crawled posts (paper section 3.1): from a source's records to rows of one corpus.

How a source is read or crawled is `resources.crawlers`; this decides what becomes a row.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from chillguard import identity, intake, language, schema

Row = dict[str, Any]


class CrawlConfig(BaseModel):
    """What a post must be to enter the corpus."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_chars: int = 8
    max_chars: int = 2000
    languages: tuple[str, ...] = ("zh", "en")


def posts(
    records: Iterable[Mapping[str, Any]],
    source: str,
    keywords: pa.Table,
    terms: Mapping[str, bool],
    config: CrawlConfig,
) -> pa.Table:
    """The `crawled_posts/<source>` table; a record has `text` and maybe id, url, lang.

    A text that a source holds twice is kept once. Where the records name no id, the position
    among equal texts stands in for it.
    """
    known = [
        (row["zh"].lower(), row["en"].lower(), row["keyword_id"]) for row in keywords.to_pylist()
    ]
    rows: list[Row] = []
    seen: dict[str, str] = {}
    times: dict[tuple[str, str], int] = {}
    for record in records:
        admitted = intake.admit(record["text"])
        key = identity.post_id(admitted.text or admitted.text_hash)
        native = record.get("id") or key
        times[key, native] = times.get((key, native), -1) + 1
        row: Row = {
            "post_id": key,
            "native_id": _numbered(native, times[key, native], own=bool(record.get("id"))),
            "source": source,
            "url": record.get("url"),
            "text": admitted.text,
            **terms,
        }
        if admitted.text is not None:
            row["lang"] = record.get("lang") or language.detect(admitted.text)
            row["keyword_id"] = _keyword(admitted.text, known)
        reason, evidence = _drop(row, admitted, seen, config)
        if reason is None:
            seen[key] = row["native_id"]
        rows.append(row | {"drop_reason": reason, "drop_evidence": evidence})
    return schema.CRAWLED_POSTS.build(rows)


def _drop(
    row: Row, admitted: intake.Admitted, seen: Mapping[str, str], config: CrawlConfig
) -> tuple[str | None, str | None]:
    if admitted.text is None:
        return admitted.drop_reason, admitted.drop_evidence
    if row["post_id"] in seen:
        return "duplicate", f"same text as {seen[row['post_id']]}"
    if len(admitted.text) < config.min_chars:
        return "too_short", f"{len(admitted.text)} characters"
    if len(admitted.text) > config.max_chars:
        return "too_long", f"{len(admitted.text)} characters"
    if row["lang"] not in config.languages:
        return "language", f"detected {row['lang']}"
    return None, None


def _numbered(native: str, time: int, own: bool) -> str:
    """A source's own id the first time; otherwise with the number of its repetition."""
    return native if own and not time else f"{native}-{time}"


def _keyword(text: str, known: Iterable[tuple[str, str, str]]) -> str | None:
    lowered = text.lower()
    return next((key for zh, en, key in known if zh in lowered or en in lowered), None)
