"""The vector store: Qdrant's engine in process (`qdrant-edge-py`), one folder per home.

Holds one point per post, by post id. What is put in and what is asked for is decided elsewhere.
"""

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt

_BATCH = 1000
_QUERIES = 32


class VectorStore(dg.ConfigurableResource):
    """Points of one embedding model; one process opens the folder at a time."""

    folder: str
    exact: bool = True

    @contextmanager
    def open(self, model: str, dimension: int) -> Iterator["Collection"]:
        """The collection of `model`; refuses vectors of another model or dimension."""
        import qdrant_edge

        path = Path(self.folder)
        marker = path / "collection.json"
        wanted = {"model": model, "dimension": dimension}
        if marker.exists() and json.loads(marker.read_text("utf-8")) != wanted:
            raise dg.Failure(
                f"vector store {path} holds vectors of {marker.read_text('utf-8')}, this run "
                f"embeds with {wanted}: delete the folder to embed anew, or set another home"
            )
        shard = path / "shard"
        if marker.exists():
            opened = qdrant_edge.EdgeShard.load(str(shard))
        else:
            shutil.rmtree(shard, ignore_errors=True)
            shard.mkdir(parents=True)
            params = qdrant_edge.EdgeVectorParams(dimension, qdrant_edge.Distance.Cosine)
            opened = qdrant_edge.EdgeShard.create(str(shard), qdrant_edge.EdgeConfig(params))
            marker.write_text(json.dumps(wanted), "utf-8")
        try:
            yield Collection(opened, exact=self.exact)
        finally:
            opened.flush()
            opened.close()


class Collection:
    """An open collection."""

    def __init__(self, shard: Any, exact: bool) -> None:
        self._shard = shard
        self._exact = exact

    def ids(self) -> set[str]:
        """Ids of all points."""
        import qdrant_edge

        found: set[str] = set()
        offset = None
        while True:
            request = qdrant_edge.ScrollRequest(
                offset=offset, limit=_BATCH, with_payload=False, with_vector=False
            )
            records, offset = self._shard.scroll(request)
            found |= {uuid.UUID(str(record.id)).hex for record in records}
            if offset is None:
                return found

    def upsert(self, ids: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Add or replace points; `vectors` has one row per id."""
        import qdrant_edge

        for start in range(0, len(ids), _BATCH):
            points = [
                qdrant_edge.Point(str(uuid.UUID(key)), vectors[start + i], {})
                for i, key in enumerate(ids[start : start + _BATCH])
            ]
            self._shard.update(qdrant_edge.UpdateOperation.upsert_points(points))

    def delete(self, ids: Iterable[str]) -> None:
        """Remove points; unknown ids are ignored."""
        import qdrant_edge

        gone: list[Any] = [str(uuid.UUID(key)) for key in ids]
        if gone:
            self._shard.update(qdrant_edge.UpdateOperation.delete_points(gone))

    def nearest(self, vectors: npt.NDArray[np.float32], k: int) -> list[list[str]]:
        """Ids of the k nearest points per row of `vectors`, by (similarity, id)."""
        import qdrant_edge

        params = qdrant_edge.SearchParams(exact=self._exact)
        found: list[list[str]] = []
        for start in range(0, len(vectors), _QUERIES):
            requests = [
                qdrant_edge.QueryRequest(
                    limit=k, query=qdrant_edge.Query.Nearest(vector.tolist()), params=params
                )
                for vector in vectors[start : start + _QUERIES]
            ]
            for points in self._shard.query_batch(qdrant_edge.QueryBatchRequest(requests)):
                scored = sorted((-p.score, uuid.UUID(str(p.id)).hex) for p in points)
                found.append([key for _, key in scored])
        return found
