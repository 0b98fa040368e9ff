"""The post index (paper section 3.1): which posts are embedded, under which terms.

Vectors come from `resources.vectors.embedding` and live in `resources.vectors.port`; the table
here is the manifest of what the index must hold.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from chillguard import identity
from chillguard.rows import intake
from chillguard.tables import lineage, rows
from chillguard.text import matching

_PAYLOAD = ("lang", "sources", "may_redistribute")
_EMBEDDED = ["point_id", "text", *_PAYLOAD]


class PostFilter(BaseModel):
    """Which posts may be retrieved; empty means all. Posts barred from training never are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    redistributable_only: bool = False


def manifest(crawled: Iterable[pa.Table], model: str, dimension: int) -> pa.Table:
    """The `post_index` table: every kept post once, under the strictest terms of its sources.

    Of copies, in whatever spelling, that of the first source is indexed.
    """
    found: dict[str, list[rows.Post]] = defaultdict(list)
    for table in crawled:
        for row in lineage.CRAWLED_POSTS.rows(table):
            if row["drop_reason"] is None:
                found[matching.family_id(rows.given(row["text"]))].append(row)
    return lineage.POST_INDEX.build(_indexed(same, model, dimension) for same in found.values())


def _indexed(same: list[rows.Post], model: str, dimension: int) -> rows.IndexedPost:
    """One post under the terms of all sources that hold its text."""
    first, terms = same[0], intake.inherited(same)
    post: rows.IndexedPost = {
        "post_id": first["post_id"],
        "point_id": "",
        "sources": sorted({row["source"] for row in same}),
        "text": rows.given(first["text"]),
        "lang": first["lang"],
        "embedding_model": model,
        "dimension": dimension,
        "retrievable": terms["may_train"],
        **terms,
    }
    # Another payload is another point, so that no point can hold outdated terms.
    post["point_id"] = identity.digest("point", post["post_id"], payload(post))
    return post


def without(index: pa.Table, left_out: Collection[str]) -> pa.Table:
    """The manifest with points that could not be embedded marked as not retrievable."""
    if not left_out:
        return index
    at_fault = pc.is_in(index["point_id"], pa.array(left_out, pa.string()))
    kept = pc.and_(index["retrievable"], pc.invert(at_fault))
    place = index.schema.get_field_index("retrievable")
    return index.set_column(place, index.schema.field(place), kept)


def points(index: pa.Table) -> dict[str, str]:
    """Post ids by the ids of the points that the vector store must hold."""
    kept = index.filter(index["retrievable"])
    return dict(zip(kept["point_id"].to_pylist(), kept["post_id"].to_pylist(), strict=True))


def due(index: pa.Table, there: pa.Array) -> tuple[pa.Table, list[str]]:
    """What brings a vector store with the points `there` up to the index: rows to add, ids to drop.

    Texts of like length stand beside one another.
    """
    keep = index["retrievable"]
    lacks = pc.and_(keep, pc.invert(pc.is_in(index["point_id"], there)))
    lacking = index.select(_EMBEDDED).filter(lacks)
    drop: list[str] = []
    # Where all that is there is wanted, nothing is to drop, and half of the comparing is spared.
    if len(there) > (pc.sum(keep).as_py() or 0) - lacking.num_rows:
        wanted = index["point_id"].filter(keep)
        drop = there.filter(pc.invert(pc.is_in(there, wanted))).to_pylist()
    lacking = lacking.append_column("length", pc.utf8_length(lacking["text"]))
    return lacking.sort_by([("length", "ascending"), ("point_id", "ascending")]), drop


def payload(row: Mapping[str, object]) -> dict[str, object]:
    """What a point carries beside its vectors: what a filter may ask for."""
    return {name: row[name] for name in _PAYLOAD}


def posts(index: pa.Table) -> dict[str, rows.RetrievablePost]:
    """Retrievable posts, by post id; with the `family_id` of what is made from them."""
    return {
        row["post_id"]: {**row, "family_id": matching.family_id(row["text"])}
        for row in lineage.POST_INDEX.rows(index)
        if row["retrievable"]
    }
