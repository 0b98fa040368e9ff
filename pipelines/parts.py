"""The parts of a profile: model roles, servers, budgets, embedder, vector store, training.

What they are put together to is `pipelines.profile`.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from resources.models.roles import RoleSettings

_OF_SERVER = {"url", "api_key", "collection", "m", "ef_construct", "grpc", "grpc_port"} | {
    "payload_indexes"
}


class Part(BaseModel):
    """A part of a profile: frozen, and without settings that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FromEnvironment(Part):
    """A value that is read from an environment variable when a run starts."""

    env: str


class ServerProgram(Part):
    """How a model server is started: `vllm serve MODEL ARGUMENTS`."""

    program: str = "vllm"
    arguments: list[str] = []
    environment: dict[str, str] = {}
    ready_within_s: float = Field(1800.0, gt=0)


class Server(ServerProgram):
    """A model server that a stage starts for itself and stops."""

    model: str


class Role(RoleSettings, Part):
    """A model role: its settings, and where it is served.

    Several urls share the load; with `serve` the stage starts a server of its own instead.
    """

    url: str | FromEnvironment | list[str | FromEnvironment] = "offline"
    serve: Server | None = None
    api_key: FromEnvironment | None = None


class Embedder(Part):
    """What turns text into vectors: the stand-in, bge-m3 in process, or an embeddings endpoint.

    `path` and `devices` are those of bge-m3; `url`, `api_key` and `dimension` those of an endpoint.
    """

    kind: Literal["offline", "bge-m3", "endpoint"]
    model: str | None = None
    revision: str = "main"
    path: str | None = None
    url: str | FromEnvironment | None = None
    api_key: FromEnvironment | None = None
    dimension: int = Field(1024, ge=1)
    sparse: bool = False
    devices: list[str] = []
    batch_size: int = Field(64, ge=1)

    @model_validator(mode="after")
    def _has_its_place(self) -> "Embedder":
        if self.kind == "endpoint" and not (self.url and self.model):
            raise ValueError("kind endpoint needs `url` (ending in /v1) and `model`")
        if self.kind == "endpoint" and self.sparse:
            raise ValueError("kind endpoint gives no sparse vectors; use kind bge-m3 for `sparse`")
        return self

    @property
    def gpus(self) -> int:
        """How many GPUs it uses; bge-m3 takes one unless told."""
        used = [device for device in self.devices or ["cuda"] if device != "cpu"]
        return len(used) if self.kind == "bge-m3" else 0


class Translator(Part):
    """What translates English: the stand-in, opus-mt in process, or the model role `translator`.

    The other settings are those of opus-mt; what is left out is as `resources.translation` has it.
    """

    kind: Literal["offline", "opus-mt", "role"]
    model: str | None = None
    revision: str | None = None
    path: str | None = None
    prefix: str | None = None
    device: str | None = None
    batch_size: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)

    @property
    def gpus(self) -> int:
        """How many GPUs it uses; opus-mt is on the CPU unless told."""
        return int(self.kind == "opus-mt" and self.device not in (None, "cpu"))


class VectorStore(Part):
    """Where vectors live: Qdrant's engine in process, or a Qdrant server.

    `exact` left out is true for kind edge and false for kind qdrant. All but `kind`, `exact`, `ef`
    and `quantization` are settings of a server.
    """

    kind: Literal["edge", "qdrant"] = "edge"
    url: str | FromEnvironment | None = None
    api_key: FromEnvironment | None = None
    collection: str = "posts"
    exact: bool | None = None
    ef: int = Field(256, ge=1)
    m: int = Field(16, ge=2)
    ef_construct: int = Field(200, ge=1)
    grpc: bool = False
    grpc_port: int = Field(6334, ge=1, le=65535)
    quantization: Literal["none", "int8"] = "none"
    payload_indexes: list[Literal["lang", "sources", "terms"]] | None = None

    @model_validator(mode="after")
    def _has_its_place(self) -> "VectorStore":
        if self.kind == "qdrant" and not self.url:
            raise ValueError("kind qdrant needs `url`")
        strange = sorted(self.model_fields_set & _OF_SERVER) if self.kind == "edge" else []
        if strange:
            raise ValueError(f"kind edge has no setting `{strange[0]}`; it is one of kind qdrant")
        return self


class Budget(Part):
    """Caps of one asset, or of a whole run under the key `run`."""

    calls: int | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    cost: float | None = Field(None, ge=0)


class Machine(Part):
    """What one step needs; training starts one process per GPU."""

    gpus: int = Field(0, ge=0)
    cpus: float | None = Field(None, gt=0)
    memory_gib: float | None = Field(None, gt=0)
    image: str | None = None


class Trainee(Part):
    """A model to be trained: base model (folder or hub id) and machine."""

    model: str
    machine: Machine = Machine()


class Classifier(Trainee):
    """A classifier size; those that do not drive the loop are trained in `iterations` only."""

    name: str
    iterations: list[Literal[0, 1, 2]] = [2]


class Executor(Part):
    """Where training programs run. Settings are those of `resources.training.launcher.Launcher`."""

    kind: Literal["local", "ray", "kubernetes"] = "local"
    python: str | None = None
    address: str | FromEnvironment | None = None
    namespace: str | None = None
    environment: dict[str, str] = {}
    runtime_env: dict[str, Any] = {}
    pod: dict[str, Any] = {}

    @model_validator(mode="after")
    def _has_its_place(self) -> "Executor":
        if self.kind == "ray" and not self.address:
            raise ValueError("kind ray needs `address`, the URL of Ray's dashboard")
        return self


class Training(Part):
    """Co-training: which models, where they are trained, and who approved it.

    `loop_size` names the classifier that drives the loop. `serve` is how the trained generator is
    served; by default as role `generator` is. `approval` is `approval.yaml` in the home unless set.
    """

    loop_size: str
    classifiers: list[Classifier] = Field(min_length=1)
    generator: Trainee
    serve: ServerProgram | None = None
    executor: Executor = Executor()
    approval: Path | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> "Training":
        names = [one.name for one in self.classifiers]
        bad = [n for n in names if names.count(n) > 1 or not (n.isascii() and n.isidentifier())]
        if bad:
            raise ValueError(f"classifier names must be unique ASCII identifiers: {bad[0]!r}")
        if self.loop_size not in names:
            raise ValueError(f"loop_size {self.loop_size!r} is none of the classifiers {names}")
        return self
