"""RAG prompt synthesis (paper section 3.1 and appendix C.1)."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from assets.pools import VECTOR_STORE
from chillguard import embedding, taxonomy
from chillguard.settings import Settings
from chillguard.synthesis import rag, twins
from prompts import fingerprint
from resources.home.state import State
from resources.models.llm import LanguageModels
from resources.vectors.retrieval import Retrieval


@dg.asset(
    group_name="synthesis",
    pool=VECTOR_STORE,
    ins={"categories": dg.AssetIn("taxonomy")},
    code_version=f"{fingerprint(rag.TEMPLATE)}-{fingerprint(twins.TEMPLATE)}",
)
def synthesized_prompts(
    context: dg.AssetExecutionContext,
    categories: pa.Table,
    expanded_keywords: pa.Table,
    post_index: pa.Table,
    settings: dg.ResourceParam[Settings],
    retrieval: Retrieval,
    llm: LanguageModels,
    state: State,
) -> dg.MaterializeResult[pa.Table]:
    """One row per RAG prompt asked for: a drawn post turned into a user query."""
    ask, config, tree = llm.asker(context), settings.synthesis, taxonomy.from_rows(categories)
    queries = rag.queries(expanded_keywords, tree, config, state.extra_queries())
    texts = [query.text for query in queries]
    nearest = retrieval.nearest(texts, config.top_k, config.posts, post_index, context.log.info)
    drawn = rag.draws(queries, nearest, embedding.posts(post_index), config)
    return result(rag.generate(drawn, tree, config, settings.guards, ask), ask.usage)
