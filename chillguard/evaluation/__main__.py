"""`python -m chillguard.evaluation JOB.json`: what a classifier says of the prompts in a file.

The job names `model`, `input` (Parquet with prompt_id, text), `output` (Parquet with prompt_id,
predicted_label, reason), `label_format`, `codes` and, if it likes, `batch_size` and `decoding`.
Reports are JSON lines on stdout; needs the training libraries only.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chillguard.evaluation.predict import predict
from chillguard.training.label_format import LabelFormat

_COLUMNS = pa.schema([(name, pa.string()) for name in ("prompt_id", "predicted_label", "reason")])


def main(job: dict[str, Any]) -> None:
    """Predict, and write all predictions in one move."""
    prompts = pq.read_table(job["input"], columns=["prompt_id", "text"])
    form = LabelFormat(job["label_format"], tuple(job["codes"]))
    more = {name: job[name] for name in ("batch_size", "decoding") if name in job}
    found = predict(job["model"], prompts["text"].to_pylist(), form, **more, tell=_tell)
    columns = [
        prompts["prompt_id"].to_pylist(),
        [one.label for one in found],
        [one.error for one in found],
    ]
    draft = f"{job['output']}.part"
    pq.write_table(pa.table(columns, schema=_COLUMNS), draft)
    os.replace(draft, job["output"])


def _tell(done: int, total: int) -> None:
    sys.stdout.write(json.dumps({"step": done, "total_steps": total}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
