"""The refresh plan: what the next run would ask and cost, before anything is paid."""

import functools
from typing import Any

import dagster as dg

from assets import cleaning
from assets.metadata import plan_metadata, plan_text
from assets.pools import VECTOR_STORE
from chillguard import annotation, keywords, taxonomy
from chillguard.labeling import anchors, review
from chillguard.lineage import plan
from chillguard.settings import Settings
from resources.crawlers.corpus import Corpus
from resources.home.collected import collected
from resources.home.releases import Releases
from resources.home.review import Review
from resources.home.state import State
from resources.home.tables import Tables
from resources.inputs.files import SourceFiles, YamlFile
from resources.models.llm import LanguageModels
from resources.models.planner import Planner
from resources.translation import Translator
from resources.vectors.retrieval import Retrieval

# Nothing depends on it and it on nothing: it stands beside the lineage.
PLAN = dg.AssetKey("refresh_plan")
# A plan is no input: a new one makes nothing stale.
_VERSION = dg.DataVersion("plan")


def _earlier(
    state: State, releases: Releases, tables: Tables, corpus: Corpus, settings: Settings
) -> dict[str, Any]:
    state.require_keywords(len(releases.versions()))
    names = {"index": "post_index", "clean": "clean_prompts", "reviewed": "review_decisions"}
    last = {name: tables.read(key) for name, key in names.items()}
    released = frozenset(releases.released_ids())
    grown = {"pool": state.keywords(), "extra_queries": state.extra_queries()}
    of_releases = {"released": released, "releases": len(releases.versions())}
    departed = functools.partial(
        cleaning.departed, releases=releases, state=state, config=settings.cleaning
    )
    new_posts = corpus.may_bring(tables.made_at("post_index"))
    return {
        **{**last, **grown, **of_releases},
        "collected": collected,
        "departed": departed,
        "new_posts": new_posts,
    }


def refresh_plan(jurors: list[str]) -> dg.AssetsDefinition:
    """The asset `refresh_plan`; it makes a table in the metadata and pays for nothing."""

    @dg.asset(key=PLAN, group_name="plan", pool=VECTOR_STORE)
    def refresh_plan(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        taxonomy_file: YamlFile,
        seed_keywords_file: YamlFile,
        real_prompt_files: SourceFiles,
        public_files: SourceFiles,
        anchor_file: YamlFile,
        reviews: Review,
        retrieval: Retrieval,
        tables: Tables,
        corpus: Corpus,
        translator: dg.ResourceParam[Translator],
        llm: LanguageModels,
        state: State,
        releases: Releases,
    ) -> dg.MaterializeResult[None]:
        """One row per stage and role: calls at least and at most, tokens, money, hours."""
        tree = taxonomy.parse(taxonomy_file.load(), taxonomy_file.path)
        inputs = plan.Inputs(
            taxonomy=tree,
            seeds=keywords.seed_rows(seed_keywords_file.load(), tree, seed_keywords_file.path),
            real=annotation.real_rows(real_prompt_files.records(tree.codes, [])),
            public=annotation.public_rows(public_files.records((), [])),
            anchors=anchors.parse(anchor_file.load(), tree, anchor_file.path),
            decisions=[*review.decisions(reviews.parsed(), tree.codes, reviews.reviewers, [])],
            jurors=jurors,
            **_earlier(state, releases, tables, corpus, settings),
            nearest=functools.partial(retrieval.nearest, tell=context.log.info),
            translate=translator.local(context.log.info),
        )
        stages = Planner(llm).plan(inputs, settings)
        context.log.info(f"refresh plan\n{plan_text(stages)}")
        return dg.MaterializeResult(metadata=plan_metadata(stages), data_version=_VERSION)

    return refresh_plan
