"""The job done by datatrove's InferenceRunner, checkpoints on, in one local task."""

import json
import sys
from pathlib import Path

# This file is called as the package it measures.
_HERE = sys.path.pop(0)
from datatrove.data import Document
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import (
    InferenceConfig,
    InferenceRunner,
)
from datatrove.pipeline.writers import JsonlWriter

sys.path.append(_HERE)

from job import MODEL, Clock, Job, read, report


def _answers(job: Job) -> list[str]:
    async def rollout(document, generate, **_):
        system = {"role": "system", "content": job.system}
        return await generate({"messages": [system, {"role": "user", "content": document.text}]})

    documents = [Document(text=text, id=str(row)) for row, text in enumerate(job.texts())]
    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path=MODEL,
        endpoint_url=job.url.removesuffix("/v1"),
        default_generation_params={"temperature": 0.0, "max_tokens": 16},
        max_concurrent_generations=job.c,
    )
    output = job.home / "output"
    writer = JsonlWriter(str(output), "${rank}_${chunk_index}.jsonl", compression=None)
    runner = InferenceRunner(
        rollout,
        config,
        writer,
        checkpoints_local_dir=str(job.home / "checkpoints"),
        skip_bad_requests=True,
    )
    LocalPipelineExecutor([documents, runner], logging_dir=str(job.home / "logs")).run()
    return [answer for path in sorted(output.glob("*.jsonl")) for answer in _in_file(path)]


def _in_file(path: Path) -> list[str]:
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [rollout["text"] for row in rows for rollout in row["metadata"]["rollout_results"]]


def main() -> None:
    """Do the job on the command line."""
    job = read()
    clock = Clock()
    answers = _answers(job)
    report(job, clock.read(), answers)


if __name__ == "__main__":
    main()
