"""Taxonomy and keywords (paper sections 2 and 3.1)."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from assets.pools import MODELS
from chillguard import keywords, taxonomy
from chillguard.settings import Settings
from prompts import fingerprint
from resources.home.releases import Releases
from resources.home.state import State
from resources.inputs.files import YamlFile
from resources.models.llm import LanguageModels

GROUP = "keywords"


@dg.asset(group_name=GROUP, name="taxonomy")
def taxonomy_asset(taxonomy_file: YamlFile) -> dg.MaterializeResult[pa.Table]:
    """One row per category: the risk taxonomy, macro and micro, with labels and definitions."""
    return result(taxonomy.rows(taxonomy.parse(taxonomy_file.load(), taxonomy_file.path)))


@dg.asset(group_name=GROUP, ins={"categories": dg.AssetIn("taxonomy")})
def seed_keywords(
    categories: pa.Table, seed_keywords_file: YamlFile
) -> dg.MaterializeResult[pa.Table]:
    """One row per seed keyword: neutral descriptive terms per micro category, two languages."""
    tree = taxonomy.from_rows(categories)
    return result(keywords.seed_rows(seed_keywords_file.load(), tree, seed_keywords_file.path))


@dg.asset(
    group_name=GROUP,
    ins={"categories": dg.AssetIn("taxonomy")},
    pool=MODELS,
    code_version=fingerprint(keywords.TEMPLATE),
)
def expanded_keywords(
    context: dg.AssetExecutionContext,
    categories: pa.Table,
    seed_keywords: pa.Table,
    settings: dg.ResourceParam[Settings],
    llm: LanguageModels,
    state: State,
    releases: Releases,
) -> dg.MaterializeResult[pa.Table]:
    """One row per keyword: the pool, seeds and expansions, that only ever grows."""
    state.require_keywords(len(releases.versions()))
    ask = llm.asker(context)
    tree = taxonomy.from_rows(categories)
    pool = keywords.expand(state.keywords(), seed_keywords, tree, settings.keywords, ask)
    state.save_keywords(pool)
    short = keywords.under_filled(pool, tree, settings.keywords)
    return result(pool, ask.usage, under_filled=short)
