"""RAG prompt synthesis (paper section 3.1 and appendix C.1)."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from chillguard import embedding, synthesis, taxonomy
from chillguard.settings import Settings
from prompts import fingerprint
from resources.embedding import Embedder
from resources.llm import LanguageModels
from resources.vector_store import VectorStore


@dg.asset(
    group_name="synthesis",
    ins={"categories": dg.AssetIn("taxonomy")},
    code_version=fingerprint(synthesis.TEMPLATE),
)
def synthesized_prompts(
    context: dg.AssetExecutionContext,
    categories: pa.Table,
    expanded_keywords: pa.Table,
    post_index: pa.Table,
    settings: dg.ResourceParam[Settings],
    embedder: dg.ResourceParam[Embedder],
    vector_store: VectorStore,
    llm: LanguageModels,
) -> dg.MaterializeResult[pa.Table]:
    """One row per RAG prompt asked for: a drawn post turned into a user query."""
    ask, config, known = llm.asker(context), settings.synthesis, taxonomy.from_rows(categories)
    queries = synthesis.queries(expanded_keywords, known, config)
    with vector_store.open(embedder.identity, embedder.dimension) as collection:
        vectors = embedder.embed([query.text for query in queries])
        nearest = collection.nearest(vectors, config.top_k)
    drawn = synthesis.draws(queries, nearest, embedding.retrievable(post_index), config)
    requests = synthesis.requests(drawn, known, config)
    rows = synthesis.rows(drawn, ask("synthesizer", requests, synthesis.parse))
    return result(rows, ask.usage)
