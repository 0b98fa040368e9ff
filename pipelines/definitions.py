"""The code location: `dagster ... -m pipelines.definitions` for the active profile."""

from pathlib import Path
from typing import Any

import dagster as dg

from assets import (
    annotation,
    cleaning,
    crawl,
    embedding,
    keywords,
    labeling,
    plan,
    release,
    rewriting,
    synthesis,
    translation,
)
from assets import checks as asset_checks
from chillguard import schema
from chillguard.card import Provenance
from pipelines import profile as profiles
from pipelines.jobs import JOBS
from pipelines.schedules import SCHEDULES
from pipelines.sensors import real_prompt_files_changed
from resources.budget import Cap, Price
from resources.crawlers.files import FilesCrawler
from resources.embedding import BgeM3Embedder, Embedder
from resources.files import SourceFiles, YamlFile
from resources.ledger import Ledger
from resources.llm import LanguageModels, ModelRole
from resources.model_server import ModelServer
from resources.offline.models import HashedEmbedder, PhrasebookTranslator
from resources.releases import Releases
from resources.retrieval import Retrieval
from resources.state import State
from resources.tables import Tables, TablesIOManager
from resources.translation import OpusMtTranslator, Translator
from resources.vector_store import VectorStore

_EMBEDDERS: dict[str, Embedder] = {"offline": HashedEmbedder(), "bge-m3": BgeM3Embedder()}
_TRANSLATORS: dict[str, Translator] = {
    "offline": PhrasebookTranslator(),
    "opus-mt": OpusMtTranslator(),
}
_EXECUTORS = {
    "in_process": dg.in_process_executor,
    "multiprocess": dg.multiprocess_executor,
}


def build(profile: profiles.Profile, home: Path) -> dg.Definitions:
    """All definitions of a profile whose outputs live under `home`."""
    sources = [source.name for source in profile.posts]
    jurors = [f"juror_{slot}" for slot in range(1, len(profile.jurors) + 1)]
    lineage = _lineage(sources, jurors)
    assets = [
        keywords.taxonomy_asset,
        keywords.seed_keywords,
        keywords.expanded_keywords,
        *(crawl.crawled_posts(source) for source in sources),
        embedding.post_index(sources),
        synthesis.synthesized_prompts,
        annotation.real_prompts,
        annotation.annotated_prompts(jurors),
        rewriting.rewritten_prompts,
        translation.public_prompts,
        translation.candidate_prompts,
        cleaning.clean_prompts,
        *(labeling.jury_votes(juror) for juror in jurors),
        labeling.labeled_prompts(jurors),
        release.split_sets,
        release.dataset_card(lineage),
    ]
    keys = [key for asset in assets for key in asset.keys]
    return dg.Definitions(
        assets=[*assets, plan.refresh_plan(jurors)],
        asset_checks=[
            *(asset_checks.schema_check(key) for key in keys),
            asset_checks.funnel_check(lineage),
            *asset_checks.RELEASE_CHECKS,
        ],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[real_prompt_files_changed([s.path for s in profile.real_prompts])],
        resources=_resources(profile, home, jurors),
        executor=_EXECUTORS[profile.executor],
        loggers={"console": dg.colored_console_logger.configured({"log_level": "INFO"})},
    )


def _lineage(sources: list[str], jurors: list[str]) -> list[dg.AssetKey]:
    """The tables that the funnel adds up and the card describes, in order of the lineage."""
    crawls = [["crawled_posts", source] for source in sources]
    read = [*crawls, ["real_prompts"], ["public_prompts"]]
    parts = {
        "crawled_posts": crawls,
        "jury_votes": [["jury_votes", juror] for juror in jurors],
        "rejected_rows": [["rejected_rows", *path] for path in read],
    }
    left_out = {"taxonomy", "seed_keywords", "expanded_keywords", "dataset_card"}
    return [
        dg.AssetKey(path)
        for name in schema.TABLES
        if name not in left_out
        for path in parts.get(name, [[name]])
    ]


def _resources(profile: profiles.Profile, home: Path, jurors: list[str]) -> dict[str, Any]:
    ledger = Ledger(url=_value(profile.ledger) or f"sqlite:///{home / 'ledger.db'}")
    embedder, store = _EMBEDDERS[profile.embedder], VectorStore(folder=str(home / "index"))
    slots = dict(zip(jurors, profile.jurors, strict=True))
    roles = [_role(name, role) for name, role in {**profile.roles, **slots}.items()]
    return {
        "io_manager": TablesIOManager(folder=str(home / "tables")),
        "settings": profile.settings,
        "taxonomy_file": YamlFile(path=profile.taxonomy),
        "seed_keywords_file": YamlFile(path=profile.seed_keywords),
        "real_prompt_files": SourceFiles(sources=_json(profile.real_prompts)),
        "public_files": SourceFiles(sources=_json(profile.public_prompts)),
        **{f"crawler_{s.name}": FilesCrawler(source=_json([s])[0]) for s in profile.posts},
        "embedder": embedder,
        "vector_store": store,
        "retrieval": Retrieval(
            embedder=embedder, vector_store=store, tables=Tables(folder=str(home / "tables"))
        ),
        "translator": _TRANSLATORS[profile.translator],
        "llm": LanguageModels(
            roles=roles,
            ledger=ledger,
            prices={model: Price(**price) for model, price in profile.price_list().items()},
            budgets={key: Cap(**cap.model_dump()) for key, cap in profile.budgets.items()},
            servers=[
                ModelServer(role=name, served_name=role.model, **role.serve.model_dump())
                for name, role in {**profile.roles, **slots}.items()
                if role.serve
            ],
        ),
        "state": State(folder=str(home / "state"), profile=profile.name),
        "releases": Releases(folder=str(home / "release")),
        "provenance": Provenance(
            profile=profile.name,
            models={role.role: f"{role.model}@{role.revision}" for role in roles},
            offline=profile.is_offline,
        ),
    }


def _role(name: str, role: profiles.Role) -> ModelRole:
    urls = role.url if isinstance(role.url, list) else [role.url]
    fields = role.model_dump(exclude={"url", "serve", "api_key"})
    values = [_value(url) for url in urls]
    return ModelRole(role=name, urls=values, api_key=_value(role.api_key), **fields)


def _value(setting: str | profiles.FromEnvironment | None) -> Any:
    return dg.EnvVar(setting.env) if isinstance(setting, profiles.FromEnvironment) else setting


def _json(sources: list[Any]) -> list[dict[str, Any]]:
    return [source.model_dump(mode="json", exclude_none=True) for source in sources]


defs = build(profiles.active(), profiles.home())
