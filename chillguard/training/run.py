"""Runs one training job from its spec to a finished model folder; see `spec` for what a job is.

Under `torchrun` or `accelerate launch` every rank calls `run`; rank 0 reports and writes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chillguard.training import stage
from chillguard.training.data import TrainingError
from chillguard.training.export import export
from chillguard.training.output import Output, TrainingResult, fingerprint
from chillguard.training.spec import TrainingSpec

Report = Callable[[Mapping[str, float | int | str]], None]


def run(spec: TrainingSpec, report: Report) -> TrainingResult:
    """Train as `spec` says; `report` gets each logged step, on rank 0.

    A job that has been done returns its result at once; one that was killed goes on from its last
    complete checkpoint and comes to the same end. Raises `TrainingError` for a job that cannot be
    done.
    """
    import huggingface_hub.constants
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    # The trainers would tell their makers of every run.
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    _check_inputs(spec)
    # Without a GPU a launcher's ranks are seen only by who asks for the CPU.
    ranks = PartialState(cpu=not torch.cuda.is_available())
    job = [fingerprint(spec) if ranks.is_main_process else ""]
    broadcast_object_list(job)
    output = Output(Path(spec.output), job[0])
    finished = output.finished()
    if finished is not None:
        return finished
    if ranks.is_main_process:
        output.clean()
    ranks.wait_for_everyone()
    left = _stages(spec, output, report, ranks.num_processes)
    metrics = _together([one["metrics"] for one in left])
    history = [step for one in left for step in one["history"]]
    if ranks.is_main_process:
        export(spec, output.final(len(spec.stages)), output.model, metrics)
        output.finish(metrics, history)
    ranks.wait_for_everyone()
    return TrainingResult(str(output.model), metrics, history)


def _check_inputs(spec: TrainingSpec) -> None:
    missing = [path for path in spec.stages if not Path(path).is_file()]
    if missing:
        raise TrainingError(f"training file {missing[0]} does not exist; make its table first")
    if Path(spec.model).is_absolute() and not (Path(spec.model) / "config.json").is_file():
        raise TrainingError(f"model folder {spec.model} does not exist or has no config.json")


def _stages(spec: TrainingSpec, output: Output, report: Report, ranks: int) -> list[dict[str, Any]]:
    """Every stage on top of the one before; a stage that is done is not done again."""
    left, model = [], spec.model
    for number in range(1, len(spec.stages) + 1):
        done = output.done(number)
        left.append(done or stage.train(spec, number, model, output, report, ranks))
        model = str(output.final(number))
    return left


def _together(stages: list[dict[str, Any]]) -> dict[str, Any]:
    sums = {name: sum(one[name] for one in stages) for name in stages[0] if name != "loss"}
    return {**sums, "loss": stages[-1]["loss"]}
