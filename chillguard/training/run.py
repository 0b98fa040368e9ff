"""Runs one training job from start to finished model folder; see `spec` for what a job is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chillguard.training.spec import TrainingSpec

Report = Callable[[Mapping[str, float | int | str]], None]


@dataclass(frozen=True)
class TrainingResult:
    """A finished job: the folder of the model, its metrics, one row per logged step."""

    model: str
    metrics: dict[str, float | int]
    history: list[dict[str, float | int]]


def run(spec: TrainingSpec, report: Report) -> TrainingResult:
    """Train as `spec` says; `report` gets each logged step."""
    raise NotImplementedError
