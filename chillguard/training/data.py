"""The rows of a stage file as chat turns: read, checked and measured against the length limit.

A row that is too long is left out and counted, never cut: a cut row would lose its answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chillguard.tables import lineage
from chillguard.tables.training import Preferred, Trained
from chillguard.training.label_format import LabelFormat
from chillguard.training.spec import SftConfig, TrainingSpec

PAIR_COLUMNS = ("pair_id", "prompt", "chosen", "rejected")
_CHUNK = 1024
Turns = list[Mapping[str, str]]
Row = dict[str, Turns]


class TrainingError(ValueError):
    """A job that cannot be done; one sentence says which file, row or setting and what to do."""


def rows(spec: TrainingSpec, stage: str) -> list[Row]:
    """The rows of one stage file as conversations; raises `TrainingError` for one that is unfit.

    Of `sft` each has prompt and completion, else prompt, chosen and rejected.
    """
    trained = [column.name for column in lineage.TRAIN_SET.where("trained")]
    columns = trained if spec.kind == "sft" else PAIR_COLUMNS
    table = _read(stage, columns)
    if isinstance(spec.settings, SftConfig):
        form = LabelFormat(spec.settings.label_format)
        return [_labelled(row, form, stage) for row in table.to_pylist()]
    return [_pair(row, stage) for row in table.to_pylist()]


def fitting(found: Sequence[Row], tokenizer: Any, max_length: int) -> list[Row]:
    """The rows whose longest conversation has at most `max_length` tokens."""
    kept: list[Row] = []
    for first in range(0, len(found), _CHUNK):
        chunk = found[first : first + _CHUNK]
        longest = [0] * len(chunk)
        for answer in [name for name in chunk[0] if name != "prompt"]:
            talks = [row["prompt"] + row[answer] for row in chunk]
            for place, ids in enumerate(_tokens(tokenizer, talks)):
                longest[place] = max(longest[place], len(ids))
        kept += [row for row, size in zip(chunk, longest, strict=True) if size <= max_length]
    return kept


def _tokens(tokenizer: Any, talks: Sequence[Turns]) -> Iterator[Sequence[int]]:
    return iter(tokenizer.apply_chat_template(list(talks), return_dict=True)["input_ids"])


def _read(stage: str, columns: Sequence[str]) -> pa.Table:
    if not Path(stage).is_file():
        raise TrainingError(f"training file {stage} does not exist; make the table it comes from")
    names = pq.read_schema(stage).names
    missing = [name for name in columns if name not in names]
    if missing:
        raise TrainingError(f"training file {stage} lacks the column {missing[0]}")
    table = pq.read_table(stage, columns=list(columns))
    if not table.num_rows:
        raise TrainingError(f"training file {stage} has no rows; nothing can be learnt from it")
    return table


def _labelled(row: Trained, form: LabelFormat, stage: str) -> Row:
    where = f"training file {stage}, row {row['prompt_id']}"
    if not row["text"]:
        raise TrainingError(f"{where}: text is empty")
    if row["label"] not in lineage.LABELS:
        raise TrainingError(f"{where}: label is {row['label']!r}, expected safe or unsafe")
    if form.kind == "category" and row["label"] == "unsafe" and not row["micro_category"]:
        raise TrainingError(f"{where}: unsafe without micro_category; use label_format binary")
    answer = form.answer(row["label"], row["micro_category"])
    return {
        "prompt": list(form.messages(row["text"])),
        "completion": [{"role": "assistant", "content": answer}],
    }


def _pair(row: Preferred, stage: str) -> Row:
    where = f"training file {stage}, pair {row['pair_id']}"
    empty = [name for name, value in row.items() if name in PAIR_COLUMNS[1:] and not value]
    if empty:
        raise TrainingError(f"{where}: {empty[0]} is empty")
    if row["chosen"] == row["rejected"]:
        raise TrainingError(f"{where}: chosen and rejected are the same text")
    prompt = row["prompt"]
    return {
        "prompt": [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }
