"""From a profile to resources: what a deployment chose, put into the classes that do it.

Credentials and addresses named by the environment become `EnvVar`s, read when a run starts.
"""

from pathlib import Path
from typing import Any

import dagster as dg

from assets.crawl import key_part
from chillguard.release.card import Provenance
from chillguard.rows.records import SourceConfig
from pipelines import parts
from pipelines.profile import Profile, is_set
from resources.crawlers.corpus import Corpus
from resources.crawlers.crawler import NetworkCrawler
from resources.crawlers.files import FilesCrawler
from resources.crawlers.source import NetworkSource
from resources.crawlers.store import PostStore
from resources.home.audit import AuditSheet
from resources.home.publishing import Publishing
from resources.home.releases import Releases
from resources.home.review import Review
from resources.home.state import State
from resources.home.tables import Tables, TablesIOManager
from resources.inputs.files import SourceFiles, YamlFile
from resources.models.budget import Cap, Price
from resources.models.ledger import Ledger
from resources.models.llm import LanguageModels
from resources.models.model_server import ModelServer
from resources.models.roles import ModelRole
from resources.notifier import Notifier
from resources.takedown import Takedown
from resources.training.jobs import Training
from resources.training.launcher import Launcher
from resources.translation import OpusMtTranslator, PhrasebookTranslator, RoleTranslator, Translator
from resources.vectors.edge_store import EdgeStore
from resources.vectors.embedding import BgeM3Embedder, Embedder, EndpointEmbedder
from resources.vectors.hashed import HashedEmbedder
from resources.vectors.port import VectorStore
from resources.vectors.qdrant_store import QdrantStore
from resources.vectors.retrieval import Retrieval


def resources(profile: Profile, home: Path, jurors: list[str]) -> dict[str, Any]:
    """All resources of a profile whose outputs live under `home`, by their key."""
    roles = {**profile.roles, **dict(zip(jurors, profile.jurors, strict=True))}
    if profile.training:
        # The generator scores its own prompts (paper section 4.3).
        roles.setdefault("scorer", roles["generator"])
    database = _value(profile.ledger) or f"sqlite:///{home / 'ledger.db'}"
    tables = _value(profile.tables) or str(home / "tables")
    ledger, crawl_store = Ledger(url=database), PostStore(url=database)
    releases = Releases(folder=str(home / "release"))
    publishing = Publishing(folder=str(home / "public"), releases=releases)
    kept: dict[str, Any] = {
        "tables": Tables(folder=tables),
        "state": State(folder=str(home / "state"), profile=profile.name),
        "releases": releases,
        "reviews": _reviews(profile, home),
        "publishing": publishing,
        "retrieval": Retrieval(
            embedder=_embedder(profile.embedder),
            vector_store=_vector_store(profile.vector_store, home),
        ),
    }
    return {
        **kept,
        **_inputs(profile, crawl_store),
        "io_manager": TablesIOManager(folder=tables),
        "takedown": Takedown(ledger=ledger, crawl_store=crawl_store, **kept),
        "translator": _translator(profile.translator),
        **_training(profile.training, home, releases),
        "llm": _models(profile, roles, ledger, home),
        "notifier": Notifier(webhook=_webhook(profile)),
        "provenance": Provenance(
            profile=profile.name,
            models={name: f"{role.model}@{role.revision}" for name, role in roles.items()},
            offline=profile.is_offline,
            sources=_sources(profile),
        ),
    }


def _reviews(profile: Profile, home: Path) -> Review:
    return Review(
        folder=str(home / "review"),
        decisions=profile.review_decisions,
        reviewers=profile.reviewers,
    )


def _webhook(profile: Profile) -> Any:
    return _value(profile.webhook) if is_set(profile.webhook.env) else None


def _sources(profile: Profile) -> list[tuple[str, str, str | None, bool, bool]]:
    """Every source of text with its terms, for the card."""
    given: dict[str, list[Any]] = {
        "posts": profile.crawled,
        "real_prompts": profile.real_prompts,
        "public_prompts": profile.public_prompts,
    }
    return [
        (name, s.name, getattr(s, "licence", None), s.may_redistribute, s.may_train)
        for name, sources in given.items()
        for s in sources
    ]


def _inputs(profile: Profile, store: PostStore) -> dict[str, Any]:
    return {
        "settings": profile.settings,
        "corpus": _corpus(profile),
        "taxonomy_file": YamlFile(path=profile.taxonomy),
        "seed_keywords_file": YamlFile(path=profile.seed_keywords),
        "anchor_file": YamlFile(path=profile.anchor_file or ""),
        "real_prompt_files": SourceFiles(sources=_json(profile.real_prompts)),
        "public_files": SourceFiles(sources=_json(profile.public_prompts)),
        "audit_sheet": AuditSheet(
            path=str(profile.audit_decisions) if profile.audit_decisions else None
        ),
        "benchmark_files": SourceFiles(sources=_json(profile.benchmarks)),
        **{
            f"crawler_{key_part(source.name)}": _crawler(source, store)
            for source in profile.crawled
        },
    }


def _corpus(profile: Profile) -> Corpus:
    files = [source for source in profile.crawled if isinstance(source, SourceConfig)]
    return Corpus(
        files={source.name: str(source.path) for source in files},
        networks=[source.name for source in profile.crawled if source not in files],
    )


def _models(
    profile: Profile, roles: dict[str, parts.Role], ledger: Ledger, home: Path
) -> LanguageModels:
    return LanguageModels(
        roles=[_role(name, role) for name, role in roles.items()],
        ledger=ledger,
        home=str(home),
        prices={model: Price(**price) for model, price in profile.price_list().items()},
        budgets={key: Cap(**cap.model_dump()) for key, cap in profile.budgets.items()},
        servers=[
            ModelServer(role=name, served_name=role.model, **role.serve.model_dump())
            for name, role in roles.items()
            if role.serve
        ],
        server_of_trained=_server_of_trained(profile.training),
    )


def _server_of_trained(part: parts.Training | None) -> ModelServer | None:
    if part is None or part.serve is None:
        return None
    # Role, model and name are those of what is trained, known once it is.
    return ModelServer(role="", model="", served_name="", **part.serve.model_dump())


def _training(part: parts.Training | None, home: Path, releases: Releases) -> dict[str, Training]:
    if part is None:
        return {}
    address = _value(part.executor.address)
    fields = part.executor.model_dump(exclude={"address"})
    approval = part.approval or home / "approval.yaml"
    return {
        "training": Training(
            folder=str(home / "training"),
            approval=str(approval),
            releases=releases,
            launcher=Launcher(address=address, **fields),
        )
    }


def _crawler(source: SourceConfig | NetworkSource, store: PostStore) -> Any:
    if isinstance(source, SourceConfig):
        return FilesCrawler(source=_json([source])[0])
    # A variable that is not set is told by the crawler, in words, once its asset runs.
    name = source.token_env if source.token_env and is_set(source.token_env) else None
    token = dg.EnvVar(name) if name else None
    return NetworkCrawler(source=_json([source])[0], store=store, token=token)


def _embedder(part: parts.Embedder) -> Embedder:
    given = part.model_dump(exclude_unset=True, exclude={"kind", "url", "api_key"})
    if part.kind == "offline":
        return HashedEmbedder()
    if part.kind == "bge-m3":
        return BgeM3Embedder(**given)
    return EndpointEmbedder(url=_value(part.url), api_key=_value(part.api_key), **given)


def _translator(part: parts.Translator) -> Translator:
    given = part.model_dump(exclude_unset=True, exclude={"kind"})
    if part.kind == "offline":
        return PhrasebookTranslator()
    return RoleTranslator() if part.kind == "role" else OpusMtTranslator(**given)


def _vector_store(part: parts.VectorStore, home: Path) -> VectorStore:
    given = part.model_dump(exclude_unset=True, exclude={"kind", "url", "api_key"})
    if part.kind == "edge":
        return EdgeStore(folder=str(home / "index"), **given)
    return QdrantStore(url=_value(part.url), api_key=_value(part.api_key), **given)


def _role(name: str, role: parts.Role) -> ModelRole:
    urls = role.url if isinstance(role.url, list) else [role.url]
    fields = role.model_dump(exclude={"url", "serve", "api_key"})
    values = [_value(url) for url in urls]
    return ModelRole(role=name, urls=values, api_key=_value(role.api_key), **fields)


def _value(setting: str | parts.FromEnvironment | None) -> Any:
    return dg.EnvVar(setting.env) if isinstance(setting, parts.FromEnvironment) else setting


def _json(sources: list[Any]) -> list[dict[str, Any]]:
    return [source.model_dump(mode="json", exclude_none=True) for source in sources]
