"""The job done by Bespoke Curator; its cache is kept in the job's home."""

# litellm is imported late by the peer; imports are not what is measured.
import litellm  # noqa: F401
from bespokelabs import curator
from datasets import Dataset
from job import MODEL, Clock, Job, read, report

_UNLIMITED = 100_000_000


class Labels(curator.LLM):
    """One answer per text."""

    def prompt(self, input):
        return input["text"]

    def parse(self, input, response):
        return {"text": input["text"], "answer": response}


def _answers(job: Job) -> list[str]:
    labels = Labels(
        model_name=MODEL,
        backend="openai",
        system_prompt=job.system,
        generation_params={"temperature": 0.0, "max_tokens": 16},
        backend_params={
            "base_url": job.url,
            "api_key": "x",
            "require_all_responses": False,
            "max_concurrent_requests": job.c,
            "max_requests_per_minute": _UNLIMITED,
            "max_tokens_per_minute": _UNLIMITED,
        },
    )
    rows = Dataset.from_dict({"text": list(job.texts())})
    return list(labels(rows, working_dir=str(job.home)).dataset["answer"])


def main() -> None:
    """Do the job on the command line."""
    job = read()
    clock = Clock()
    answers = _answers(job)
    report(job, clock.read(), answers)


if __name__ == "__main__":
    main()
