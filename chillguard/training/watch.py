"""What happens beside the steps of a trainer: reports, markers, a stop when it diverges."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from chillguard.rate import Rate
from chillguard.training.data import TrainingError
from chillguard.training.output import MARKER, Output

Report = Callable[[Mapping[str, float | int | str]], None]
_OWN = ("epoch", "num_tokens")


class Watch(TrainerCallback):  # type: ignore[misc]
    """Reports each logged step of a stage; marks a checkpoint when all ranks have written it."""

    def __init__(
        self, trainer: Any, report: Report, output: Output, place: Mapping[str, int]
    ) -> None:
        self._report, self._output, self._place = report, output, place
        self._wait = trainer.accelerator.wait_for_everyone
        self._tokens = int(trainer._total_train_tokens)
        self._began = self._logged = time.perf_counter()
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock; imports and loading are not part of the speed."""
        self._began = self._logged = time.perf_counter()
        self._first_step = state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log the last step too, and save no checkpoint of it: the weights are written next."""
        if state.global_step >= state.max_steps:
            control.should_log, control.should_save = True, False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Report a logged step; raises `TrainingError` when the loss is no number any more."""
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"loss is {logs['loss']} at step {state.global_step}; lower learning_rate"
            )
        now, step = time.perf_counter(), state.global_step
        rate = Rate(max(1, step - self._first_step), now - self._began)
        tokens = logs["num_tokens"] - self._tokens
        told = {
            "step": step,
            "total_steps": state.max_steps,
            **self._place,
            **{name: value for name, value in logs.items() if name not in _OWN},
            "tokens_per_s": tokens / max(now - self._logged, 1e-9),
            "eta_s": rate.eta_s(state.max_steps - step),
        }
        self._logged, self._tokens = now, logs["num_tokens"]
        if state.is_world_process_zero:
            self._report(told)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint, once every rank has written its part."""
        self._wait()
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self._output.mark(folder, MARKER, {"step": state.global_step})
