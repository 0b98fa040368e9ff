"""The refresh plan: what the next run would ask and cost, before anything is paid."""

import dagster as dg

from assets.metadata import plan_metadata
from chillguard import annotation, keywords, plan, taxonomy
from chillguard.settings import Settings
from resources.files import SourceFiles, YamlFile
from resources.llm import LanguageModels
from resources.planner import Planner
from resources.releases import Releases
from resources.retrieval import Retrieval
from resources.state import State
from resources.tables import Tables
from resources.translation import Translator

# What has no other upstream depends on it, so that a run that plans begins with the plan.
PLAN = dg.AssetKey("refresh_plan")
# A plan is no input: a new one makes nothing stale.
_VERSION = dg.DataVersion("plan")


def refresh_plan(jurors: list[str]) -> dg.AssetsDefinition:
    """The asset `refresh_plan`; it makes a table in the metadata and pays for nothing."""

    @dg.asset(key=PLAN, group_name="plan")
    def refresh_plan(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        taxonomy_file: YamlFile,
        seed_keywords_file: YamlFile,
        real_prompt_files: SourceFiles,
        public_files: SourceFiles,
        retrieval: Retrieval,
        tables: Tables,
        translator: dg.ResourceParam[Translator],
        llm: LanguageModels,
        state: State,
        releases: Releases,
    ) -> dg.MaterializeResult[None]:
        """One row per stage and role: new calls, calls in the ledger, tokens, money, hours."""
        known = taxonomy.parse(taxonomy_file.load(), taxonomy_file.path)
        inputs = plan.Inputs(
            taxonomy=known,
            seeds=keywords.seed_rows(seed_keywords_file.load(), known, seed_keywords_file.path),
            pool=state.keywords(),
            extra_queries=state.extra_queries(),
            real=annotation.real_rows(real_prompt_files.records(known.codes, [])),
            public=annotation.public_rows(public_files.records((), [])),
            released=frozenset(releases.released_ids()),
            jurors=jurors,
            index=tables.read("post_index"),
            nearest=retrieval.nearest,
            translate=translator.local(context.log.info),
        )
        planner = Planner(llm)
        to_come = plan.dry_run(inputs, settings, planner.ask_for)
        metadata = plan_metadata(planner.stages(to_come))
        context.log.info(f"refresh plan\n{metadata['plan'].value}")
        return dg.MaterializeResult(metadata=metadata, data_version=_VERSION)

    return refresh_plan
