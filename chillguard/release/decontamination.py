"""Decontamination: what Train must not hold are prompts that a guardrail is measured on.

The prompts of evaluation sets, and the rows of Train that are near-duplicates of one. Reading
files is `resources.inputs.files`; what a found row costs is decided in `chillguard.release.sides`.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import pyarrow as pa

from chillguard import identity
from chillguard.cleaning import survivors
from chillguard.rows import intake, records
from chillguard.tables import lineage, rows
from chillguard.tables.reasons import Reason, drop

Compared = TypeVar("Compared", bound=rows.WithText)


def benchmark_rows(read: Iterable[records.Record]) -> pa.Table:
    """The `benchmark_prompts` table; personal data is replaced as in every other input."""
    first: dict[str, rows.Benchmark] = {}
    copies: list[rows.Benchmark] = []
    for record in read:
        admitted = intake.admit(record["text"])
        place = (record["source"], admitted.text_hash)
        key = identity.digest("benchmark", *place)
        row: rows.Benchmark = {
            "prompt_id": key,
            "benchmark": place[0],
            "text": admitted.text,
            "text_hash": place[1],
            "drop_reason": admitted.drop_reason,
            "drop_evidence": admitted.drop_evidence,
        }
        if key in first:
            row["prompt_id"] = identity.digest(key, str(len(copies)))
            row["text"] = None
            drop(row, Reason.DUPLICATE, f"same text as {key}")
            copies.append(row)
        else:
            first[key] = row
    return lineage.BENCHMARK_PROMPTS.build([*first.values(), *copies])


def overlaps(
    train: Sequence[Compared], benchmarks: pa.Table, config: survivors.CleaningConfig
) -> list[tuple[Compared, rows.Benchmark, float]]:
    """Rows of Train with the nearest benchmark row at or above the leak threshold, and the Jaccard.

    A translated row is compared in both languages, since benchmarks come in either.
    """
    stored = lineage.BENCHMARK_PROMPTS.rows(benchmarks)
    against = [row for row in stored if row["drop_reason"] is None]
    if not against:
        return []
    originals: list[rows.WithText] = [
        {"prompt_id": row["prompt_id"], "text": original}
        for row in train
        if isinstance(original := row.get("translated_from"), str)
    ]
    nearest: dict[str, tuple[rows.Benchmark, float]] = {}
    sides: list[Sequence[rows.WithText]] = [train, originals]
    for side in sides:
        for row, benchmark, score in survivors.leaks(side, against, config):
            key = row["prompt_id"]
            if key not in nearest or _closer((benchmark, score), nearest[key]):
                nearest[key] = (benchmark, score)
    return [(row, *nearest[row["prompt_id"]]) for row in train if row["prompt_id"] in nearest]


def evidence(benchmark: rows.Benchmark, score: float) -> str:
    """How an overlap is told: the benchmark, its row and the Jaccard."""
    return f"benchmark={benchmark['benchmark']} row={benchmark['prompt_id']} jaccard={score:.3f}"


def _closer(one: tuple[rows.Benchmark, float], other: tuple[rows.Benchmark, float]) -> bool:
    return (-one[1], one[0]["prompt_id"]) < (-other[1], other[0]["prompt_id"])
