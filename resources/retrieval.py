"""Retrieval over the index as it stands: embedder and vector store in one step."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from chillguard import embedding, synthesis
from resources.embedding import Embedder
from resources.tables import Tables
from resources.vector_store import VectorStore


class Retrieval(dg.ConfigurableResource):
    """The nearest posts of queries, by the tables and the index of the last run."""

    embedder: dg.ResourceDependency[Embedder]
    vector_store: dg.ResourceDependency[VectorStore]
    tables: dg.ResourceDependency[Tables]

    def nearest(
        self, queries: Sequence[synthesis.Query], k: int
    ) -> tuple[list[list[str]], Mapping[str, Any]]:
        """Per query the ids of its nearest posts, and all posts by id; none without an index."""
        index = self.tables.read("post_index")
        if index is None:
            return [[] for _ in queries], {}
        posts = embedding.retrievable(index)
        with self.vector_store.open(self.embedder.identity, self.embedder.dimension) as collection:
            vectors: np.ndarray[Any, Any] = self.embedder.embed([query.text for query in queries])
            found = collection.nearest(vectors, k)
        return [[key for key in ids if key in posts] for ids in found], posts
