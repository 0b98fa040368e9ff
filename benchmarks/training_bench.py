"""Benchmark of MDPO against the DPO it is built on: time and memory of a training step.

Both trainers are the product's own, on the same small random Qwen3 and the same pairs. In one
process they take turns step by step, in opposite order every other round, so that both see the same
machine; peak memory is that of a process of its own for each. The smaller the model, the more the
fixed cost of MDPO shows. Fails above 1.05 times the step time, or 1.02 times the memory.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from harness import figure, home, say

BENCH = "training"
KINDS = ("dpo", "mdpo")
_SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
_TEXT = "周末去公园野餐需要提前准备些什么东西，有没有适合一家人的安排？"
_SLOWER, _LARGER = 1.05, 1.02


def trainer(kind: str, folder: Path, pairs: int) -> Any:
    """A trainer of the product that is ready to take steps of 16 pairs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from chillguard.training import chat, data, stage
    from chillguard.training.spec import MdpoConfig, TrainingSpec
    from tests.chillguard.training import tiny

    rows = [
        {
            "pair_id": str(n),
            "prompt": _TEXT,
            "chosen": _TEXT[n % 9 :],
            "rejected": _TEXT[: 20 + n % 7],
        }
        for n in range(pairs)
    ]
    path = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    model = tiny.make(folder / "model", [_TEXT], **_SHAPE)
    spec = TrainingSpec(
        kind=kind,
        model=model,
        output=str(folder / kind),
        stages=(str(path),),
        settings=MdpoConfig(learning_rate=1e-3),
    )
    made = stage._trainer(
        spec, model, chat.tokenizer(model, kind), data.rows(spec, str(path)), folder / kind, 1
    )
    made.create_optimizer()
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made


def step(made: Any, batch: dict[str, Any]) -> tuple[float, float]:
    """One training step; wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    made.training_step(made.model, dict(batch))
    made.optimizer.step()
    made.optimizer.zero_grad()
    return time.perf_counter() - wall, time.process_time() - cpu


def times(rounds: int, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Wall and CPU seconds of each step, by kind."""
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    made = {kind: trainer(kind, folder, 64) for kind in KINDS}
    batches = list(made["dpo"].get_train_dataloader())
    for number in range(rounds + 2):
        for kind in KINDS if number % 2 else KINDS[::-1]:
            spent = step(made[kind], batches[number % len(batches)])
            if number >= 2:
                found[kind].append(spent)
        say(f"round {number - 1} of {rounds}")
    return found


def memory(kind: str, folder: Path) -> int:
    """Peak resident kilobytes of a process that takes ten steps."""
    made = trainer(kind, folder, 64)
    for _ in range(3):
        for batch in made.get_train_dataloader():
            step(made, batch)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure both; one JSON line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--memory", choices=KINDS)
    given = parser.parse_args()
    import huggingface_hub.constants
    import torch

    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    torch.set_num_threads(1)
    with home() as folder:
        if given.memory:
            sys.stdout.write(json.dumps(memory(given.memory, folder)) + "\n")
            return
        spent = times(given.rounds, folder)
    ratios = {}
    for place, clock in enumerate(("wall", "CPU")):
        by_kind = {kind: [one[place] for one in spent[kind]] for kind in KINDS}
        pairs = zip(by_kind["mdpo"], by_kind["dpo"], strict=True)
        ratios[clock] = statistics.median(ours / theirs for ours, theirs in pairs)
        for kind in KINDS:
            value, ratio = statistics.median(by_kind[kind]), None
            against = "dpo, the same round" if kind == "mdpo" else None
            ratio = ratios[clock] if kind == "mdpo" else None
            figure(f"{kind}: step, {clock}", value, "s", against, ratio, given.rounds, BENCH)
    larger = _memory_ratio(given.processes)
    if min(ratios.values()) > _SLOWER or larger > _LARGER:
        raise SystemExit("MDPO costs more than it may")


def _memory_ratio(processes: int) -> float:
    peaks: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for _ in range(processes):
        for kind in KINDS:
            command = [sys.executable, __file__, "--memory", kind]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            peaks[kind].append(int(done.stdout.splitlines()[-1]))
    medians = {kind: statistics.median(peaks[kind]) / 1024 for kind in KINDS}
    ratio = medians["mdpo"] / medians["dpo"]
    figure("dpo: peak memory", medians["dpo"], "MB", rounds=processes, bench=BENCH)
    figure("mdpo: peak memory", medians["mdpo"], "MB", "dpo", ratio, processes, BENCH)
    return ratio


if __name__ == "__main__":
    main()
