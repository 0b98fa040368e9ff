"""The job done by NeMo Data Designer; it resumes from the job's home where it can."""

import sys

# This file is called as the package it measures.
_HERE = sys.path.pop(0)
import data_designer.config as dd
import pandas as pd
from data_designer.interface import DataDesigner

sys.path.append(_HERE)

from job import MODEL, Clock, Job, read, report


def _answers(job: Job) -> list[str]:
    seed = job.home / "seed.parquet"
    pd.DataFrame({"text": list(job.texts())}).to_parquet(seed)
    provider = dd.ModelProvider(name="loopback", endpoint=job.url, api_key="x")
    sampling = dd.ChatCompletionInferenceParams(
        temperature=0.0, max_tokens=16, max_parallel_requests=job.c
    )
    model = dd.ModelConfig(
        alias="labels",
        model=MODEL,
        provider="loopback",
        inference_parameters=sampling,
        skip_health_check=True,
    )
    config = dd.DataDesignerConfigBuilder(model_configs=[model])
    config.with_seed_dataset(dd.LocalFileSeedSource(path=str(seed)))
    config.add_column(
        dd.LLMTextColumnConfig(
            name="answer", model_alias="labels", system_prompt=job.system, prompt="{{ text }}"
        )
    )
    designer = DataDesigner(artifact_path=job.home / "artifacts", model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
    made = designer.create(config, num_records=job.n, resume=dd.ResumeMode.IF_POSSIBLE)
    return [str(answer) for answer in made.load_dataset()["answer"]]


def main() -> None:
    """Do the job on the command line."""
    job = read()
    clock = Clock()
    answers = _answers(job)
    report(job, clock.read(), answers)


if __name__ == "__main__":
    main()
