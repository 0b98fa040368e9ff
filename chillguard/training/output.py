"""The folder of a training job: what is finished, what can be gone on with, what is left of a kill.

A checkpoint counts once its marker is written, which happens last and on one rank after all have
saved; the job counts as finished once `result.json` is there. Both name the job they belong to by
its fingerprint, so that nothing of another job is ever gone on with.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chillguard import identity
from chillguard.training.label_format import TEMPLATE
from chillguard.training.spec import TrainingSpec
from prompts import named

MARKER, DONE = "complete.json", "done.json"
_CHECKPOINT = "checkpoint-"


@dataclass(frozen=True)
class TrainingResult:
    """A finished job: the folder of the model, its metrics, one row per logged step."""

    model: str
    metrics: dict[str, Any]
    history: list[dict[str, Any]]


def fingerprint(spec: TrainingSpec) -> str:
    """Digest of the job: its settings and the content, not the place, of its inputs.

    A model that is not a local folder counts by its hub id.
    """
    settings = spec.model_dump(mode="json", exclude={"model", "output", "stages"})
    wording = named(TEMPLATE) if spec.kind == "sft" else None
    model = Path(spec.model)
    files = sorted(path for path in model.rglob("*") if path.is_file()) if model.is_dir() else []
    weights = [[str(path.relative_to(model)), _sha256(path)] for path in files] or spec.model
    return identity.digest(
        settings, wording, weights, [_sha256(Path(stage)) for stage in spec.stages]
    )


@dataclass(frozen=True)
class Output:
    """The output folder of one job."""

    folder: Path
    job: str

    @property
    def model(self) -> Path:
        """The final weights with tokenizer and model card."""
        return self.folder / "model"

    def stage(self, number: int) -> Path:
        """The folder of a stage's checkpoints, the first being 1."""
        return self.folder / "checkpoints" / f"stage_{number}"

    def finished(self) -> TrainingResult | None:
        """The result, where this very job has been done before."""
        found = _read(self.folder / "result.json")
        if found is None or found["job"] != self.job:
            return None
        return TrainingResult(str(self.model), found["metrics"], found["history"])

    def clean(self) -> None:
        """Remove half-written checkpoints, and everything of another job."""
        (self.folder / "result.json").unlink(missing_ok=True)
        for folder in self._made():
            marker = _read(folder / MARKER) or _read(folder / DONE)
            if marker is None or marker["job"] != self.job:
                shutil.rmtree(folder)

    def checkpoint(self, number: int) -> Path | None:
        """The last complete checkpoint of a stage."""
        found = self.stage(number).glob(f"{_CHECKPOINT}*")
        return max(found, key=lambda path: int(path.name.removeprefix(_CHECKPOINT)), default=None)

    def mark(self, folder: Path, name: str, content: Mapping[str, object]) -> None:
        """Write a marker, all or nothing."""
        write_json(folder / name, {"job": self.job, **content})

    def done(self, number: int) -> dict[str, Any] | None:
        """What a finished stage left: metrics and history; its weights are in the same folder."""
        return _read(self.final(number) / DONE)

    def final(self, number: int) -> Path:
        """The weights at the end of a stage, as they were trained."""
        return self.stage(number) / "final"

    def finish(
        self, metrics: Mapping[str, object], history: Sequence[Mapping[str, object]]
    ) -> None:
        """Write history and result, the result last; then the checkpoints are not needed."""
        steps = list(history)
        write_json(self.folder / "history.json", {"steps": steps})
        result = {"model": str(self.model), "metrics": dict(metrics), "history": steps}
        self.mark(self.folder, "result.json", result)
        shutil.rmtree(self.folder / "checkpoints")

    def _made(self) -> list[Path]:
        return [path for path in (self.folder / "checkpoints").glob("stage_*/*") if path.is_dir()]


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file that is never there in part."""
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    with in_one_move(path) as part:
        part.write_text(text, "utf-8")


@contextmanager
def in_one_move(path: Path) -> Iterator[Path]:
    """Where to write a file that is never there in part; moved to `path` when the block ends.

    For the programs that may run on a machine without Dagster; all else writes by
    `resources.home.whole`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    yield part
    part.replace(path)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
