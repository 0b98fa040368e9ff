"""Profiles: one YAML file that binds sources, model roles, scale and executor.

`CHILLGUARD_PROFILE` names a shipped profile or a YAML file, `CHILLGUARD_HOME` the folder of all
outputs. Nothing outside this module reads the environment; secrets are named by `{env: NAME}`.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from chillguard.calls import roles
from chillguard.rows.records import AnySource, SourceConfig
from chillguard.settings import Settings
from pipelines.parts import (
    Budget,
    Embedder,
    FromEnvironment,
    Machine,
    Part,
    Role,
    Training,
    Translator,
    VectorStore,
)
from resources.crawlers.kinds import Source
from resources.crawlers.source import NetworkSource

PostSource = Annotated[SourceConfig | Source, Field(discriminator="kind")]

SHIPPED = Path(__file__).parent / "profiles"
_MAX_DEPTH = 8
_PATHS = frozenset(
    (
        "path",
        "taxonomy",
        "seed_keywords",
        "anchors",
        "review_decisions",
        "audit_decisions",
        "prices",
        "approval",
        "tables",
    )
)
_TAXONOMY = "packaged:taxonomy.yaml"
_ROLES = frozenset(
    (roles.EXPANDER, roles.SYNTHESIZER, roles.REWRITER, roles.TIE_BREAKER, roles.CATEGORIZER)
)


class ProfileError(ValueError):
    """A profile that cannot be used; the message names the file, the setting and the mend."""


class Profile(Part):
    """Everything that a deployment chooses; science settings are under `settings`."""

    name: str
    executor: Literal["in_process", "multiprocess", "ray"] = "multiprocess"
    machines: dict[str, Machine] = {}
    taxonomy: str = _TAXONOMY
    seed_keywords: str = "packaged:seed_keywords.yaml"
    anchors: str | None = "packaged:anchors.yaml"
    review_decisions: str | None = None
    reviewers: dict[str, str] = {}
    posts: list[PostSource]
    real_prompts: list[SourceConfig]
    public_prompts: list[AnySource] = []
    benchmarks: list[AnySource] = []
    embedder: Embedder
    vector_store: VectorStore = VectorStore()
    translator: Translator
    roles: dict[str, Role]
    jurors: list[Role]
    ledger: str | FromEnvironment | None = None
    tables: str | FromEnvironment | None = None
    webhook: FromEnvironment = FromEnvironment(env="CHILLGUARD_WEBHOOK_URL")
    prices: Path | None = None
    budgets: dict[str, Budget] = {}
    audit_decisions: Path | None = None
    settings: Settings = Settings()
    training: Training | None = None

    @field_validator("posts", "public_prompts", "benchmarks", mode="before")
    @classmethod
    def _files_by_default(cls, sources: Any) -> Any:
        if not isinstance(sources, list):
            return sources
        return [{"kind": "files", **one} if isinstance(one, dict) else one for one in sources]

    @model_validator(mode="after")
    def _is_complete(self) -> "Profile":
        needed = _ROLES | ({roles.TRANSLATOR} if self.translator.kind == "role" else set())
        needed |= {roles.GENERATOR} if self.training else set()
        known = needed | ({roles.SCORER} if self.training else set())
        missing, strange = needed - set(self.roles), sorted(set(self.roles) - known)
        if missing:
            raise ValueError(f"no model is bound to role {', '.join(sorted(missing))}")
        if strange:
            raise ValueError(f"there is no role {strange[0]!r}; roles are {sorted(known)}")
        self._generator_can_be_served()
        if len(self.jurors) < self.settings.labeling.quorum:
            raise ValueError(
                f"{len(self.jurors)} jurors can never give a quorum of "
                f"{self.settings.labeling.quorum}"
            )
        for sources in (self.posts, self.real_prompts, self.public_prompts, self.benchmarks):
            names = [source.name for source in sources]
            bad = [n for n in names if names.count(n) > 1 or not (n.isascii() and n.isidentifier())]
            if bad:
                raise ValueError(f"source names must be unique ASCII identifiers: {bad[0]!r}")
        return self

    def _generator_can_be_served(self) -> None:
        if self.training is None:
            return
        generator = self.roles[roles.GENERATOR]
        if generator.url == "offline" and not generator.serve:
            raise ValueError("role generator has no stand-in; give it `url` or `serve`")
        if not (generator.serve or self.training.serve):
            raise ValueError(
                "role generator is bound to a URL, which cannot serve the generator that the loop "
                "trains; say under `training.serve` how that one is served"
            )

    @property
    def crawled(self) -> list[SourceConfig | NetworkSource]:
        """The sources of posts that are on: files, and network sources that are enabled."""
        return [s for s in self.posts if isinstance(s, SourceConfig) or s.enabled]

    @property
    def loads_models(self) -> bool:
        """Whether a stage starts a model server, or trains, on the host where its step runs."""
        bound = (*self.roles.values(), *self.jurors)
        here = self.training is not None and self.training.executor.kind == "local"
        return here or any(role.serve for role in bound)

    @property
    def anchor_file(self) -> str | None:
        """The anchors; of another taxonomy than the shipped one only those that it names."""
        own = "anchors" in self.model_fields_set or self.taxonomy == _TAXONOMY
        return self.anchors if own else None

    def ledger_url(self, folder: Path) -> str:
        """SQLAlchemy URL of the ledger, read from the environment if it is named there."""
        if isinstance(self.ledger, FromEnvironment):
            return os.environ[self.ledger.env]
        return self.ledger or f"sqlite:///{folder / 'ledger.db'}"

    def tables_url(self, folder: Path) -> str:
        """Path or fsspec URL of the tables, read from the environment if it is named there."""
        if isinstance(self.tables, FromEnvironment):
            return os.environ[self.tables.env]
        return self.tables or str(folder / "tables")

    def price_list(self) -> dict[str, dict[str, float]]:
        """Prices per million tokens by model, from the price file; empty without one.

        Raises `ProfileError` when a budget caps money and a model has no price.
        """
        found = _prices(self.prices) if self.prices else {}
        models = {role.model for role in [*self.roles.values(), *self.jurors]}
        unpriced = sorted(models - found.keys())
        if unpriced and any(budget.cost is not None for budget in self.budgets.values()):
            raise ProfileError(
                f"profile {self.name}: a budget caps cost, but model {unpriced[0]!r} has no price; "
                "add it to the file named by `prices`"
            )
        return found

    @property
    def is_offline(self) -> bool:
        """Whether any role or model is a stand-in."""
        bound = [*self.roles.values(), *self.jurors]
        stand_ins = "offline" in (self.embedder.kind, self.translator.kind)
        return stand_ins or any(role.url == "offline" and not role.serve for role in bound)


def home() -> Path:
    """The folder of all outputs, absolute."""
    return Path(os.environ.get("CHILLGUARD_HOME", "data")).resolve()


def is_set(name: str) -> bool:
    """Whether the environment has a variable."""
    return bool(os.environ.get(name))


def active() -> Profile:
    """The profile that the environment names; `offline` by default."""
    return load(_named())


def environment(folder: Path) -> list[str]:
    """What another machine needs in its environment to load the same profile and home."""
    name = _named()
    place = name if (SHIPPED / f"{name}.yaml").exists() else str(Path(name).resolve())
    return [f"CHILLGUARD_PROFILE={place}", f"CHILLGUARD_HOME={folder}"]


def _named() -> str:
    return os.environ.get("CHILLGUARD_PROFILE", "offline")


def load(name: str) -> Profile:
    """A shipped profile by name, or a YAML file by path, merged over what it extends.

    Raises `ProfileError` with one sentence for an unknown file, key or value.
    """
    path = _find(name, Path.cwd())
    document = _merged(path, 0)
    document.setdefault("name", path.stem)
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProfileError(f"profile {path}: {place or 'profile'}: {first['msg']}") from None


def _prices(path: Path) -> dict[str, dict[str, float]]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
        return {
            str(model): {unit: float(price[unit]) for unit in ("prompt", "completion")}
            for model, price in document.items()
        }
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ProfileError(
            f"price file {path} cannot be used ({type(error).__name__}: {error}); it maps each "
            "model to {prompt: ..., completion: ...}, per million tokens"
        ) from None


def _find(name: str, folder: Path) -> Path:
    shipped = SHIPPED / f"{name}.yaml"
    path = shipped if shipped.exists() else (folder / name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
        raise ProfileError(
            f"profile {name!r} is neither a file ({path}) nor one of {known}; set "
            "CHILLGUARD_PROFILE to a profile name or to the path of a YAML file"
        )
    return path


def _merged(path: Path, depth: int) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProfileError(f"profile {path} is not YAML: {error}") from None
    if not isinstance(document, dict) or depth > _MAX_DEPTH:
        raise ProfileError(f"profile {path} is not a mapping, or extends itself")
    parent = document.pop("extends", None)
    own: dict[str, Any] = _absolute(document, path.parent)
    if parent is None:
        return own
    base = _merged(_find(str(parent), path.parent), depth + 1)
    base.pop("name", None)
    merged: dict[str, Any] = _over(base, own)
    return merged


def _over(base: Any, top: Any) -> Any:
    if isinstance(base, dict) and isinstance(top, dict):
        return {key: _over(base.get(key), top[key]) if key in top else base[key]
                for key in base | top}  # fmt: skip
    return top


def _absolute(value: Any, folder: Path) -> Any:
    """Paths in a profile are relative to its file."""
    if isinstance(value, list):
        return [_absolute(one, folder) for one in value]
    if isinstance(value, dict):
        return {key: _resolved(key, one, folder) for key, one in value.items()}
    return value


def _resolved(key: str, value: Any, folder: Path) -> Any:
    if key in _PATHS and isinstance(value, str):
        elsewhere = value.startswith("packaged:") or "://" in value
        return value if elsewhere else str((folder / value).resolve())
    return _absolute(value, folder)
