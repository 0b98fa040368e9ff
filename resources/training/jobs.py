"""Training jobs on disk: `training/<asset key>/<digest>/` with inputs, checkpoints and model.

Work starts only for the release that the approval file names. The digest is over everything that
goes in, so that a changed input never continues another job's checkpoints. Nothing here is ever
part of a release.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from chillguard import identity
from chillguard.release import approval
from chillguard.tables.training import Checkpoint, Predicted
from chillguard.training.spec import MdpoConfig, SftConfig, TrainingSpec
from resources.home import approvals
from resources.home.releases import Releases
from resources.home.whole import write_parquet, write_text
from resources.training.launcher import Launcher, Machine

_TRAINER, _PREDICTOR = "chillguard.training", "chillguard.evaluation"
Kind = Literal["sft", "mdpo"]


@dataclass(frozen=True)
class Approved:
    """A release whose use for training was approved: version, Train and Test as released."""

    version: str
    train: pa.Table
    test: pa.Table


@dataclass(frozen=True)
class Trained:
    """A finished job: its row in `classifier` or `generator`, metrics, logged steps, model."""

    row: Checkpoint
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    model: Path


@dataclass(frozen=True)
class Job:
    """What is trained: name, base model (folder or hub id), how, and on which machine."""

    name: str
    model: str
    kind: Kind
    settings: SftConfig | MdpoConfig
    machine: Machine


class Training(dg.ConfigurableResource):
    """The `training/` folder of a home and the approval file."""

    folder: str
    approval: str
    releases: dg.ResourceDependency[Releases]
    launcher: dg.ResourceDependency[Launcher]

    def version(self) -> str:
        """Version of the release that may be trained on; raises `dg.Failure` if there is none."""
        try:
            version = approvals.read(Path(self.approval), None, "train").release
        except approval.NotApproved as error:
            raise dg.Failure(str(error)) from None
        if version not in self.releases.versions():
            known = ", ".join(self.releases.versions()) or "none"
            raise dg.Failure(
                f"approval file {self.approval} names release {version}, which does not exist "
                f"(there are: {known}): materialize dataset_card, or approve another release"
            )
        return version

    def approved(self) -> Approved:
        """The release that may be trained on; raises `dg.Failure` if there is none."""
        version = self.version()
        sides = [pq.read_table(self.releases.path(version, side)) for side in ("train", "test")]
        return Approved(version, *sides)

    def train(
        self, context: dg.AssetExecutionContext, job: Job, stages: Sequence[pa.Table], version: str
    ) -> Trained:
        """Train on `stages`, or go on where an interrupted run of the same job stopped."""
        digests = [identity.table_digest(stage) for stage in stages]
        asked = [job.kind, job.model, job.settings.model_dump(mode="json"), digests, version]
        folder = self._folder(context, identity.digest(*asked)[:12])
        files = [folder / f"stage_{n}.parquet" for n in range(1, len(stages) + 1)]
        for stage, file in zip(stages, files, strict=True):
            write_parquet(stage, file)
        spec = TrainingSpec(
            kind=job.kind,
            model=job.model,
            output=str(folder),
            stages=tuple(str(file) for file in files),
            settings=job.settings,
            release=version,
        )
        document = write_text(folder / "spec.json", spec.model_dump_json(indent=2))
        self.launcher.run(context, _TRAINER, document, job.machine)
        metrics = _finished(context, folder / "result.json")["metrics"]
        history = _finished(context, folder / "history.json")["steps"]
        model = folder / "model"
        row: Checkpoint = {
            "name": job.name,
            "kind": job.kind,
            "base_model": job.model,
            "release": version,
            "n_rows": sum(stage.num_rows for stage in stages),
            "folder": str(folder.relative_to(self.folder)),
            "weights": _weights(context, model),
        }
        return Trained(row, metrics, history, model)

    def model(self, checkpoint: Checkpoint, version: str) -> Path:
        """The model folder of a row of `classifier` or `generator`; of that release only."""
        if checkpoint["release"] != version:
            raise dg.Failure(
                f"checkpoint {checkpoint['folder']} was trained on release "
                f"{checkpoint['release']}, the approval file names {version}: materialize the "
                "iterations from the first on again"
            )
        return Path(self.folder, checkpoint["folder"], "model")

    def predictions(
        self,
        context: dg.AssetExecutionContext,
        checkpoint: Checkpoint,
        version: str,
        prompts: pa.Table,
        given: Mapping[str, Any],
        machine: Machine,
    ) -> dict[str, Predicted]:
        """What a classifier says of `prompts` (`prompt_id`, `text`), by prompt id.

        `given` is what the program wants to know beside them: label format, batch size.
        """
        folder = self._folder(context, identity.digest(checkpoint["weights"], dict(given))[:12])
        write_parquet(prompts, folder / "prompts.parquet")
        files = {"input": "prompts.parquet", "output": "predictions.parquet"}
        job = {name: str(folder / file) for name, file in files.items()}
        job |= {"model": str(self.model(checkpoint, version)), **given}
        document = write_text(folder / "job.json", json.dumps(job, ensure_ascii=False, indent=2))
        self.launcher.run(context, _PREDICTOR, document, machine)
        rows = pq.read_table(job["output"]).to_pylist()
        return {row["prompt_id"]: row for row in rows}

    def _folder(self, context: dg.AssetExecutionContext, name: str) -> Path:
        folder = Path(self.folder).joinpath(*context.asset_key.path, name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _finished(context: dg.AssetExecutionContext, path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise dg.Failure(
            f"asset {context.asset_key.to_user_string()}: the trainer ended without {path}; is the "
            "folder on storage that the machine that trained shares with this one?"
        ) from None
    return found


def _weights(context: dg.AssetExecutionContext, model: Path) -> str:
    files = sorted(model.glob("*.safetensors"))
    if not files:
        asset = context.asset_key.to_user_string()
        raise dg.Failure(f"asset {asset}: there are no weights in {model}: delete its folder")
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
