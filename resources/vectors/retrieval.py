"""Retrieval: embedder and vector store in one step, for filling the index and for asking it."""

from collections.abc import Callable, Collection, Sequence

import dagster as dg
import pyarrow as pa

from chillguard import embedding
from resources.models.progress import Pace
from resources.vectors.embedding import Embedder
from resources.vectors.port import VectorStore

_CHUNK = 2048
_QUERIES = 256


class Retrieval(dg.ConfigurableResource):
    """The index of posts: `index` brings it up to the manifest, `nearest` asks it."""

    embedder: dg.ResourceDependency[Embedder]
    vector_store: dg.ResourceDependency[VectorStore]

    def index(self, manifest: pa.Table, tell: Callable[[str], None]) -> tuple[int, int]:
        """Embed what the index lacks and delete what it should not hold; returns both counts.

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
            for chunk in missing.to_batches(_CHUNK):
                rows = chunk.to_pylist()
                vectors = embedder.embed([row["text"] for row in rows])
                payloads = [embedding.payload(row) for row in rows]
                collection.upsert([row["point_id"] for row in rows], vectors, payloads)
                pace.add(len(rows))
        return missing.num_rows, len(gone)

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
