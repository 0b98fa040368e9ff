"""The post index (paper section 3.1)."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from chillguard import embedding
from resources.embedding import Embedder
from resources.vector_store import VectorStore


def post_index(sources: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `post_index` over all `sources`."""

    @dg.asset(
        group_name="embedding",
        ins={f"posts_{name}": dg.AssetIn(["crawled_posts", name]) for name in sources},
    )
    def post_index(
        embedder: dg.ResourceParam[Embedder], vector_store: VectorStore, **posts: pa.Table
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per indexed post: the manifest of what the vector store holds."""
        index = embedding.manifest(posts.values(), embedder.identity, embedder.dimension)
        wanted = embedding.retrievable(index)
        with vector_store.open(embedder.identity, embedder.dimension) as collection:
            there = collection.ids()
            collection.delete(there - wanted.keys())
            missing = sorted(wanted.keys() - there)
            collection.upsert(missing, embedder.embed([wanted[key]["text"] for key in missing]))
        return result(index, newly_embedded=len(missing))

    return post_index
