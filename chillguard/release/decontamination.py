"""Decontamination: what Train must not hold are prompts that a guardrail is measured on.

The prompts of evaluation sets, and the rows of Train that are near-duplicates of one. Reading
files is `resources.inputs.files`; what a found row costs is decided in `chillguard.release.sides`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from chillguard import identity
from chillguard.cleaning import survivors
from chillguard.rows import intake
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason, dropped

Row = dict[str, Any]


def benchmark_rows(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """The `benchmark_prompts` table; personal data is replaced as in every other input."""
    rows: dict[str, Row] = {}
    copies: list[Row] = []
    for record in records:
        admitted = intake.admit(record["text"])
        place = (record["source"], admitted.text_hash)
        key = identity.digest("benchmark", *place)
        row = {"prompt_id": key, "benchmark": place[0], "text_hash": place[1]}
        if key in rows:
            number = len(copies)
            copy = dropped(Reason.DUPLICATE, f"same text as {key}")
            copies.append(row | {"prompt_id": identity.digest(key, str(number))} | copy)
        else:
            drop = {name: getattr(admitted, name) for name in ("drop_reason", "drop_evidence")}
            rows[key] = row | {"text": admitted.text} | drop
    return lineage.BENCHMARK_PROMPTS.build([*rows.values(), *copies])


def overlaps(
    train: Sequence[Row], benchmarks: pa.Table, config: survivors.CleaningConfig
) -> list[tuple[Row, Row, float]]:
    """Rows of Train with the nearest benchmark row at or above the leak threshold, and the Jaccard.

    A translated row is compared in both languages, since benchmarks come in either.
    """
    against = [row for row in benchmarks.to_pylist() if row["drop_reason"] is None]
    if not against:
        return []
    originals = [{**row, "text": row["translated_from"]} for row in train if _translated(row)]
    nearest: dict[str, tuple[Row, float]] = {}
    for side in (train, originals):
        for row, benchmark, score in survivors.leaks(side, against, config):
            key = row["prompt_id"]
            if key not in nearest or _closer((benchmark, score), nearest[key]):
                nearest[key] = (benchmark, score)
    return [(row, *nearest[row["prompt_id"]]) for row in train if row["prompt_id"] in nearest]


def evidence(benchmark: Mapping[str, Any], score: float) -> str:
    """How an overlap is told: the benchmark, its row and the Jaccard."""
    return f"benchmark={benchmark['benchmark']} row={benchmark['prompt_id']} jaccard={score:.3f}"


def _translated(row: Mapping[str, Any]) -> bool:
    return row.get("translated_from") is not None


def _closer(one: tuple[Row, float], other: tuple[Row, float]) -> bool:
    return (-one[1], one[0]["prompt_id"]) < (-other[1], other[0]["prompt_id"])
