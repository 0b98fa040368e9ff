"""Retrieval: embedder and vector store in one step, for filling the index and for asking it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from chillguard import embedding
from resources.models.progress import Pace
from resources.vectors.embedding import Embedder
from resources.vectors.port import Vectors, VectorStore

_CHUNK = 2048
_QUERIES = 256
# More than a few texts at fault are a fault of the model.
_MOST_LEFT_OUT = 100


class Retrieval(dg.ConfigurableResource):
    """The index of posts: `index` brings it up to the manifest, `nearest` asks it."""

    embedder: dg.ResourceDependency[Embedder]
    vector_store: dg.ResourceDependency[VectorStore]

    def index(
        self, manifest: pa.Table, tell: Callable[[str], None]
    ) -> tuple[int, int, dict[str, str]]:
        """Embed what the index lacks and delete what it should not hold; returns both counts, and
        why points are left out whose text makes the model fail, by their id.

        Goes in chunks of like length, each in the index before the next: what was embedded when a
        run is killed need not be embedded again.
        """
        embedder = self.embedder
        with self.vector_store.open(
            embedder.identity, embedder.dimension, embedder.sparse
        ) as collection:
            missing, gone = embedding.due(manifest, collection.ids())
            collection.delete(gone)
            pace = Pace("post_index", "posts embedded", missing.num_rows, tell)
            left_out: dict[str, str] = {}
            for chunk in missing.to_batches(_CHUNK):
                for rows, vectors in self._embedded(chunk.to_pylist(), left_out):
                    payloads = [embedding.payload(row) for row in rows]
                    collection.upsert([row["point_id"] for row in rows], vectors, payloads)
                pace.add(chunk.num_rows)
        return missing.num_rows - len(left_out), len(gone), left_out

    def _embedded(
        self, rows: list[dict[str, Any]], left_out: dict[str, str]
    ) -> Iterator[tuple[list[dict[str, Any]], Vectors]]:
        """Rows with their vectors; a row whose text alone makes the model fail is left out."""
        try:
            yield rows, self.embedder.embed([row["text"] for row in rows])
        except dg.Failure as failure:
            if len(left_out) >= _MOST_LEFT_OUT or not self._answers():
                raise
            if len(rows) == 1:
                left_out[rows[0]["point_id"]] = failure.description or "no vector"
                return
            for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
                yield from self._embedded(half, left_out)

    def _answers(self) -> bool:
        """Whether a plain text gets its vector: else the model is at fault, and no text."""
        try:
            self.embedder.embed(["1"])
        except dg.Failure:
            return False
        return True

    def remove(self, manifest: pa.Table, post_ids: Collection[str]) -> int:
        """Delete the points of posts; returns how many there were."""
        embedder = self.embedder
        known = embedding.points(manifest)
        gone = [key for key, post in known.items() if post in post_ids]
        with self.vector_store.open(
            embedder.identity, embedder.dimension, embedder.sparse
        ) as collection:
            collection.delete(gone)
        return len(gone)

    def nearest(
        self,
        texts: Sequence[str],
        k: int,
        where: embedding.PostFilter,
        manifest: pa.Table,
        tell: Callable[[str], None],
    ) -> list[list[str]]:
        """Per text the ids of its k nearest posts, by similarity."""
        embedder = self.embedder
        known = embedding.points(manifest)
        pace = Pace("post_index", "queries searched", len(texts), tell)
        found: list[list[str]] = []
        with self.vector_store.open(
            embedder.identity, embedder.dimension, embedder.sparse
        ) as collection:
            for start in range(0, len(texts), _QUERIES):
                vectors = embedder.embed(texts[start : start + _QUERIES])
                for keys in collection.nearest(vectors, k, where):
                    found.append([known[key] for key in keys if key in known])
                    pace.add(1)
        return found
