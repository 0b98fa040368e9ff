"""Prompt rewriting (paper section 3.1 and appendix C.2)."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from assets.pools import MODELS
from chillguard import taxonomy
from chillguard.rewriting import rewrites
from chillguard.settings import Settings
from chillguard.tables import lineage
from resources.home.collected import collected
from resources.models.llm import LanguageModels


@dg.asset(
    group_name="rewriting",
    pool=MODELS,
    ins={"categories": dg.AssetIn("taxonomy")},
    code_version=rewrites.version(),
)
def rewritten_prompts(
    context: dg.AssetExecutionContext,
    categories: pa.Table,
    annotated_prompts: pa.Table,
    settings: dg.ResourceParam[Settings],
    llm: LanguageModels,
) -> dg.MaterializeResult[pa.Table]:
    """One row per rewrite asked for: an annotated prompt by one rewriting method."""
    ask = llm.asker(context)
    tree = taxonomy.from_rows(categories)
    rows = rewrites.rewrite(annotated_prompts, tree, settings.rewriting, settings.guards, ask)
    return result(collected(lineage.REWRITTEN_PROMPTS, rows), ask.usage)
