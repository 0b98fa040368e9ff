"""The embedded vector store: Qdrant's engine in process (`qdrant-edge-py`), one folder per home.

One process opens the folder at a time. Search is exact by default: at the paper's scale, all
queries are answered by going through all points sooner than an index is built (see
docs/explanation/benchmarks.md).
"""

import binascii
import functools
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chillguard.embedding import PostFilter
from resources.home.whole import draft_file, write_text
from resources.vectors.port import (
    DENSE,
    HYBRID_DEPTH,
    SPARSE,
    Collection,
    Scored,
    Vectors,
    VectorStore,
    conditions,
    refuse_other,
    stored,
    top,
)

_BATCH = 2048
_ID_BYTES, _ID_CHARS = 16, 32
_SCROLL = 50_000
_QUERIES = 32
_RRF_K = 2  # the engine's own default
_FLUSH_EVERY_S = 5.0
"""What a kill may cost: points put in since the last flush are embedded again by the next run."""


class EdgeStore(VectorStore):
    """Points in `folder`.

    With `exact` false an index (HNSW) is built after points were added, and searched with `ef`
    candidates. `quantization` int8 makes it smaller.
    """

    folder: str
    exact: bool = True
    ef: int = 256
    quantization: Literal["none", "int8"] = "none"

    @contextmanager
    def open(self, model: str, dimension: int, sparse: bool = False) -> Iterator["EdgeCollection"]:
        """The collection of `model`, made if it is not there."""
        path = Path(self.folder)
        marker = path / "collection.json"
        wanted = {"model": model, "dimension": dimension, "sparse": sparse}
        if marker.exists():
            refuse_other(str(path), json.loads(marker.read_text("utf-8")), wanted)
        shard = self._shard(path / "shard", marker.exists(), dimension, sparse)
        if not marker.exists():
            write_text(marker, json.dumps(wanted))
        try:
            collection = EdgeCollection(shard, Listing(path / "ids"), self.exact, self.ef)
            yield collection
            if collection.has_grown and not self.exact:
                shard.optimize()
            shard.flush()
            collection.remember()
        finally:
            shard.flush()
            shard.close()

    def _shard(self, path: Path, exists: bool, dimension: int, sparse: bool) -> Any:
        import qdrant_edge as edge

        try:
            if exists:
                return edge.EdgeShard.load(str(path))
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            shard = edge.EdgeShard.create(str(path), self._config(dimension, sparse))
        except Exception as error:  # the library raises one bare kind for all causes
            raise dg.Failure(
                f"vector store {path} cannot be opened ({error}): another run may hold it; if it "
                "is damaged, delete the folder and materialize asset post_index again"
            ) from None
        return shard

    def _config(self, dimension: int, sparse: bool) -> Any:
        import qdrant_edge as edge

        # The engine empties the page cache when it closes. Cold vectors are read by the first
        # search, the others by every opener, for seconds, also by one that only adds.
        cold = edge.Memory.Cold
        return edge.EdgeConfig(
            {DENSE: edge.EdgeVectorParams(dimension, edge.Distance.Cosine, memory=cold)},
            {SPARSE: edge.EdgeSparseVectorParams()} if sparse else None,
            # A point that a killed run did not flush is missing, and put in again by the next.
            wal_enabled=False,
            quantization_config=(
                edge.ScalarQuantizationConfig(edge.ScalarType.Int8)
                if self.quantization == "int8"
                else None
            ),
        )


class Listing:
    """The ids of a shard in a file, 16 bytes each: true from a clean close to the next change.

    The engine takes seconds to list the paper's corpus, more than to add a hundredth to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, count: int) -> pa.Array | None:
        """The ids; None where no file lists that many."""
        try:
            written = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if len(written) != _ID_BYTES * count:
            return None
        ends = np.arange(0, _ID_CHARS * count + 1, _ID_CHARS, dtype=np.int32)
        characters = binascii.hexlify(written)
        return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(characters))

    def drop(self) -> None:
        """Forget the file: the shard is about to change."""
        self._path.unlink(missing_ok=True)

    def write(self, parts: Iterable[pa.Array]) -> None:
        """List the ids; with one that stands twice the file lists too many, and is not believed."""
        with draft_file(self._path) as draft, draft.open("wb") as file:
            for ids in parts:
                characters = memoryview(ids.buffers()[2] or b"")[: _ID_CHARS * len(ids)]
                file.write(binascii.unhexlify(characters))


class EdgeCollection(Collection):
    """An open shard."""

    def __init__(self, shard: Any, listing: Listing, exact: bool, ef: int) -> None:
        self._shard = shard
        self._listing = listing
        self._exact = exact
        self._ef = ef
        # Parts, so that adding to them costs nothing; they may name a point twice.
        self._known: list[pa.Array] | None = None
        self._flushed_at = time.monotonic()
        self._indexed: set[str] = set()
        self.has_grown = False

    def ids(self) -> pa.Array:
        """Ids of all points, as strings in any order."""
        import qdrant_edge as edge

        if self._known is None:
            count = self._shard.count(edge.CountRequest(exact=True))
            listed = self._listing.read(count)
            self._known = [self._scrolled() if listed is None else listed]
        if len(self._known) > 1:
            self._known = [pa.concat_arrays(self._known).unique()]
        return self._known[0]

    def remember(self) -> None:
        """Write the ids down for the next opener, if they are known."""
        if self._known is not None:
            self._listing.write(self._known)

    def _scrolled(self) -> pa.Array:
        import qdrant_edge as edge

        found: list[str] = []
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=_SCROLL, with_payload=False, with_vector=False
            )
            records, offset = self._shard.scroll(request)
            found += [record.id.hex for record in records]
            if offset is None:
                return pa.array(found, pa.string())

    def upsert(
        self, ids: Sequence[str], vectors: Vectors, payloads: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add or replace points: one row of vectors and one payload per id."""
        import qdrant_edge as edge

        self._listing.drop()
        self.has_grown |= bool(ids)
        for start in range(0, len(ids), _BATCH):
            points = [
                edge.Point(ids[i], self._named(vectors, i), stored(payloads[i]))
                for i in range(start, min(start + _BATCH, len(ids)))
            ]
            self._shard.update(edge.UpdateOperation.upsert_points(points))
        if self._known is not None:
            self._known.append(pa.array(ids, pa.string()))
        if time.monotonic() - self._flushed_at > _FLUSH_EVERY_S:
            self._shard.flush()
            self._flushed_at = time.monotonic()

    def delete(self, ids: Iterable[str]) -> None:
        """Remove points; unknown ids are ignored."""
        import qdrant_edge as edge

        gone: list[Any] = list(ids)
        if gone:
            self._listing.drop()
            self._shard.update(edge.UpdateOperation.delete_points(gone))
            if self._known is not None:
                there = self.ids()
                self._known = [
                    there.filter(pc.invert(pc.is_in(there, pa.array(gone, pa.string()))))
                ]

    def nearest(self, vectors: Vectors, k: int, where: PostFilter) -> list[list[str]]:
        """Ids of the k nearest points per vector, by (similarity, id)."""
        import qdrant_edge as edge

        for field in conditions(where).keys() - self._indexed:
            # Made by the first filter that needs it, in seconds: each makes opening slower.
            keyword = edge.PayloadSchemaType.Keyword
            self._shard.update(edge.UpdateOperation.create_field_index(field, keyword))
            self._indexed.add(field)
        found: list[list[str]] = []
        for start in range(0, len(vectors), _QUERIES):
            numbers = range(start, min(start + _QUERIES, len(vectors)))
            batch = [self._request(vectors, i, k + 1, where) for i in numbers]
            answers = self._shard.query_batch(edge.QueryBatchRequest(batch))
            for i, points in zip(numbers, answers, strict=True):
                more = functools.partial(self._scored, vectors, i, where)
                found.append(top(k, _pairs(points), k + 1, more))
        return found

    def _scored(self, vectors: Vectors, i: int, where: PostFilter, limit: int) -> Scored:
        return _pairs(self._shard.query(self._request(vectors, i, limit, where)))

    def _named(self, vectors: Vectors, i: int) -> dict[str, Any]:
        import qdrant_edge as edge

        dense = vectors.dense[i].tolist()  # twice as fast through the library as an array
        if vectors.sparse is None:
            return {DENSE: dense}
        weights = vectors.sparse[i]
        return {DENSE: dense, SPARSE: edge.SparseVector(list(weights), list(weights.values()))}

    def _request(self, vectors: Vectors, i: int, k: int, where: PostFilter) -> Any:
        import qdrant_edge as edge

        named = self._named(vectors, i)
        params = edge.SearchParams(exact=self._exact, hnsw_ef=None if self._exact else self._ef)
        asked = {name: edge.Query.Nearest(vector, using=name) for name, vector in named.items()}
        condition = _filter(where)
        if SPARSE not in asked:
            return edge.QueryRequest(
                limit=k, query=asked[DENSE], filter=condition, params=params, with_payload=False
            )
        prefetches = [
            edge.Prefetch(limit=k * HYBRID_DEPTH, query=query, filter=condition, params=params)
            for query in asked.values()
        ]
        return edge.QueryRequest(limit=k, prefetches=prefetches, query=_fused(), with_payload=False)


def _fused() -> Any:
    import qdrant_edge as edge

    return edge.Fusion.Rrf(_RRF_K)


def _filter(where: PostFilter) -> Any:
    import qdrant_edge as edge

    must: list[Any] = [
        edge.FieldCondition(field, match=edge.MatchAny(words))
        for field, words in conditions(where).items()
    ]
    return edge.Filter(must=must) if must else None


def _pairs(points: Iterable[Any]) -> Scored:
    return [(point.score, point.id.hex) for point in points]
