"""Profiles: one YAML file that binds sources, model roles, scale and executor.

`CHILLGUARD_PROFILE` names a shipped profile or a YAML file, `CHILLGUARD_HOME` the folder of all
outputs. Nothing outside this module reads the environment; secrets are named by `{env: NAME}`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from chillguard.calls import roles
from chillguard.rows.records import AnySource, SourceConfig
from chillguard.settings import Settings
from pipelines import faults
from pipelines.documents import SHIPPED as SHIPPED
from pipelines.documents import ProfileError as ProfileError
from pipelines.documents import document, find, meant, read_yaml
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

_NAME = 60
_TAXONOMY = "packaged:taxonomy.yaml"
_ROLES = frozenset(
    (roles.EXPANDER, roles.SYNTHESIZER, roles.REWRITER, roles.TIE_BREAKER, roles.CATEGORIZER)
)


class Profile(Part):
    """Everything that a deployment chooses; science settings are under `settings`.

    `name` is that of the file unless set. `machines` says by asset what a step asks of Ray.
    `ledger` is a SQLAlchemy URL, `tables` a path or fsspec URL; both are in the home unless set.
    `budgets` maps an asset, or `run`, to its caps; `prices` names the file with what models cost.
    """

    name: str
    executor: Literal["in_process", "multiprocess", "ray"] = "multiprocess"
    machines: dict[str, Machine] = {}
    taxonomy: str = _TAXONOMY
    seed_keywords: str = "packaged:seed_keywords.yaml"
    anchors: str | None = "packaged:anchors.yaml"
    review_decisions: str | None = None
    reviewers: dict[str, str] = {}
    posts: list[PostSource] = []
    real_prompts: list[SourceConfig] = []
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
            raise ValueError(
                f"there is no role {strange[0]!r}; roles are {sorted(known)}"
                f"{meant(strange[0], known)}"
            )
        self._generator_can_be_served()
        if len(self.jurors) < self.settings.labeling.quorum:
            raise ValueError(
                f"{len(self.jurors)} jurors can never give a quorum of "
                f"{self.settings.labeling.quorum}"
            )
        self._budgets_are_of_assets()
        for sources in (self.posts, self.real_prompts, self.public_prompts, self.benchmarks):
            names = [source.name for source in sources]
            bad = [n for n in names if names.count(n) > 1 or not _is_name(n)]
            if bad:
                raise ValueError(
                    f"source names must be unique, of at most {_NAME} letters, digits, _, - and "
                    f"spaces of any script: {bad[0]!r}"
                )
        return self

    def _budgets_are_of_assets(self) -> None:
        slots = [f"juror_{slot}" for slot in range(1, len(self.jurors) + 1)]
        capped = {"run", *roles.asked_by(slots)}
        for key in self.budgets:
            if key not in capped:
                raise ValueError(
                    f"budgets: {key!r} is neither `run` nor an asset that asks models"
                    f"{meant(key, capped)}"
                )

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
            return _set(self.ledger, "ledger")
        return self.ledger or f"sqlite:///{folder / 'ledger.db'}"

    def tables_url(self, folder: Path) -> str:
        """Path or fsspec URL of the tables, read from the environment if it is named there."""
        if isinstance(self.tables, FromEnvironment):
            return _set(self.tables, "tables")
        return self.tables or str(folder / "tables")

    def price_list(self) -> dict[str, dict[str, float]]:
        """Prices per million tokens by model, from the price file; empty without one.

        Raises `ProfileError` when a budget caps money and a model has no price.
        """
        priced = _prices(self.prices) if self.prices else {}
        models = {role.model for role in [*self.roles.values(), *self.jurors]}
        unknown, unpriced = sorted(priced.keys() - models), sorted(models - priced.keys())
        if unknown:
            raise ProfileError(
                f"profile {self.name}: price file {self.prices}: no role is bound to a model "
                f"{unknown[0]!r}{meant(unknown[0], unpriced or models)}"
            )
        if unpriced and any(budget.cost is not None for budget in self.budgets.values()):
            raise ProfileError(
                f"profile {self.name}: a budget caps cost, but model {unpriced[0]!r} has no price; "
                "add it to the file named by `prices`"
            )
        return priced

    @property
    def is_offline(self) -> bool:
        """Whether any role or model is a stand-in."""
        bound = [*self.roles.values(), *self.jurors]
        stand_ins = "offline" in (self.embedder.kind, self.translator.kind)
        return stand_ins or any(role.url == "offline" and not role.serve for role in bound)


def _is_name(name: str) -> bool:
    signs = name.replace("_", "").replace("-", "").replace(" ", "")
    return signs.isalnum() and name == name.strip() and len(name) <= _NAME


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

    Raises `ProfileError` with a sentence for each unknown file, key or value.
    """
    path = find(name, Path.cwd())
    given = document(path)
    given.setdefault("name", path.stem)
    try:
        return Profile.model_validate(given)
    except ValidationError as error:
        raise ProfileError(faults.sentences(error, Profile, path)) from None


def unset_variables(profile: Profile) -> list[str]:
    """One sentence per variable that the profile names and the environment lacks."""
    return [
        f"profile {profile.name}: {_owner(place)}: the variable {name} is not set: export it, or "
        f"change `{'.'.join(place)}` in the profile"
        for place, name in _variables(profile.model_dump(exclude={"webhook"}), ())
        if not is_set(name)
    ]


def _variables(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        if value.keys() == {"env"} and isinstance(value["env"], str):
            yield place, value["env"]
        for key, one in value.items():
            yield from _variables(one, (*place, str(key)))
    if isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _variables(one, (*place, str(number)))


def _owner(place: tuple[str, ...]) -> str:
    """Whose setting it is, in words: a role, a juror by its slot, or a part of the profile."""
    if place[0] == "jurors":
        return f"juror_{int(place[1]) + 1}"
    return f"role {place[1]}" if place[0] == "roles" else place[0]


def _set(variable: FromEnvironment, key: str) -> str:
    if not is_set(variable.env):
        raise ProfileError(
            f"{key}: the variable {variable.env} is not set: export it, or change `{key}` in the "
            "profile"
        )
    return os.environ[variable.env]


def _prices(path: Path) -> dict[str, dict[str, float]]:
    try:
        given = TypeAdapter(dict[str, _Price]).validate_python(read_yaml(path))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        reason = (
            "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors()[:3])
            if isinstance(error, ValidationError)
            else f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
        raise ProfileError(
            f"price file {path} cannot be used ({reason}); it maps each "
            "model to {prompt: ..., completion: ...}, per million tokens"
        ) from None
    return {model: price.model_dump() for model, price in given.items()}


class _Price(Part):
    prompt: float = Field(ge=0, allow_inf_nan=False)
    completion: float = Field(ge=0, allow_inf_nan=False)
