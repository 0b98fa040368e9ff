"""The post index (paper section 3.1): which posts are embedded, under which terms.

Vectors come from `resources.embedding` and live in `resources.vector_store`; the table here is
the manifest of what the index must hold.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from chillguard import intake, schema

Row = dict[str, Any]


def manifest(crawled: Iterable[pa.Table], model: str, dimension: int) -> pa.Table:
    """The `post_index` table: every kept post once, under the strictest terms of its sources."""
    found: dict[str, list[Row]] = defaultdict(list)
    for table in crawled:
        for row in table.to_pylist():
            if row["drop_reason"] is None:
                found[row["post_id"]].append(row)
    return schema.POST_INDEX.build(_indexed(rows, model, dimension) for rows in found.values())


def _indexed(rows: list[Row], model: str, dimension: int) -> Row:
    terms = intake.inherited(rows)
    return {
        "post_id": rows[0]["post_id"],
        "sources": sorted({row["source"] for row in rows}),
        "text": rows[0]["text"],
        "lang": rows[0]["lang"],
        "embedding_model": model,
        "dimension": dimension,
        "retrievable": terms["may_train"],
        **terms,
    }


def retrievable(index: pa.Table) -> dict[str, Row]:
    """Rows that the index must hold, by post id."""
    return {row["post_id"]: row for row in index.to_pylist() if row["retrievable"]}
