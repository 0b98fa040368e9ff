"""`python -m chillguard.evaluation JOB.json`: predictions of a classifier folder, file to file.

Needs the training libraries only, no Dagster; progress is one JSON line per batch on stdout.
"""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from chillguard.evaluation.predict import Decoding, Prediction, predict
from chillguard.training.label_format import FormatKind, LabelFormat
from chillguard.training.output import in_one_move

_COLUMNS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("predicted_label", pa.string()),
        ("predicted_category", pa.string()),
        ("p_unsafe", pa.float64()),
        ("reason", pa.string()),
    ]
)


class PredictionJob(BaseModel):
    """Classifier folder `model` reads Parquet `input` (prompt_id, text) and writes `output`.

    `predicted_label` is null where the answer could not be read; `reason` says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    input: str
    output: str
    label_format: FormatKind
    codes: tuple[str, ...] = ()
    batch_size: int = 32
    decoding: Decoding = "greedy"


def main() -> None:
    """Do the job whose description is the first argument."""
    job = PredictionJob.model_validate_json(Path(sys.argv[1]).read_text("utf-8"))
    rows = pq.read_table(job.input, columns=["prompt_id", "text"])
    form = LabelFormat(job.label_format, job.codes)
    texts = rows["text"].to_pylist()
    found = predict(job.model, texts, form, job.batch_size, job.decoding, _tell)
    ids = rows["prompt_id"].to_pylist()
    told = [_row(*pair) for pair in zip(ids, found, strict=True)]
    with in_one_move(Path(job.output)) as part:
        pq.write_table(pa.Table.from_pylist(told, schema=_COLUMNS), part)


def _row(prompt_id: str, one: Prediction) -> dict[str, object]:
    said = one.verdict
    return {
        "prompt_id": prompt_id,
        "predicted_label": one.label,
        "predicted_category": said.micro_category if said else None,
        "p_unsafe": said.p_unsafe if said else None,
        "reason": one.error,
    }


def _tell(done: int, total: int) -> None:
    sys.stdout.write(json.dumps({"step": done, "total_steps": total}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
