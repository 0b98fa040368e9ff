"""The post index (paper section 3.1)."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from assets.crawl import key_part
from assets.metadata import result
from assets.pools import VECTOR_STORE
from chillguard import embedding
from resources.vectors.retrieval import Retrieval


def post_index(sources: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `post_index` over all `sources`."""
    parts = [key_part(source) for source in sources]

    @dg.asset(
        group_name="embedding",
        pool=VECTOR_STORE,
        ins={f"posts_{part}": dg.AssetIn(["crawled_posts", part]) for part in parts},
    )
    def post_index(
        context: dg.AssetExecutionContext, retrieval: Retrieval, **posts: pa.Table
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per indexed post: the manifest of what the vector store holds."""
        embedder = retrieval.embedder
        index = embedding.manifest(posts.values(), embedder.identity, embedder.dimension)
        embedded, deleted, reasons = retrieval.index(index, context.log.info)
        index = embedding.without(index, reasons)
        for point, reason in reasons.items():
            context.log.warning(f"post_index: point {point} is left out: {reason}")
        return result(index, newly_embedded=embedded, deleted_points=deleted, left_out=len(reasons))

    return post_index
