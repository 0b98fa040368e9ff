"""The job done by the project's engine, with the ledger on."""

import cProfile
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "peers")]

from job import MODEL, Clock, Job, read, report

from chillguard.calls.call import Answer, ChatRequest, Sampling, messages
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole

SAMPLING = Sampling(max_tokens=16)


def asker(job: Job) -> Asker:
    """A way to ask the endpoint of the job.

    How the endpoint binds a schema is declared, unless the kind is `auto`: then it is probed. With
    the kind `ramp` concurrency starts low and climbs.
    """
    role = ModelRole(
        role="juror",
        model=MODEL,
        urls=[job.url],
        concurrency=job.c,
        structured="auto" if job.kind == "auto" else "prompt",
        auto_concurrency=job.kind == "ramp",
    )
    models = LanguageModels(roles=[role], ledger=Ledger(url=f"sqlite:///{job.home / 'ledger.db'}"))
    return Asker(models, "bench", "run", Progress("bench", lambda line: None))


def requests(job: Job) -> Iterator[ChatRequest]:
    """The questions as the domain asks them."""
    for row, text in enumerate(job.texts()):
        yield ChatRequest(str(row), messages({"system": job.system, "user": text}), SAMPLING)


def _text(answer: Answer) -> str:
    return answer.text


def main() -> None:
    """Do the job on the command line."""
    job = read()
    idle_mb = _peak_mb()
    profile = cProfile.Profile(time.process_time_ns, 1e-9) if job.profile else None
    clock = Clock()
    if profile:
        profile.enable()
    ask = asker(job)
    # Answers are only kept where they are looked at: 200,000 of them are not to be held.
    answers: list[str] = []
    reasons: Counter[str] = Counter()
    outcomes = 0
    for outcome in ask("juror", requests(job), _text, job.n):
        outcomes += 1
        if outcome.value is None:
            reasons[str(outcome.reason)] += 1
        elif "\n" in outcome.value:
            answers.append(outcome.value)
    if profile:
        profile.disable()
        profile.dump_stats(job.profile)
    usage = ask.usage
    more = {
        "outcomes": outcomes,
        "answered": outcomes - reasons.total(),
        "paid": usage.paid,
        "from_ledger": usage.from_ledger,
        "quarantined": usage.quarantined,
        "reasons": dict(reasons),
        "idle_mb": idle_mb,
        "peak_mb": _peak_mb(),
    }
    report(job, clock.read(), answers, **more)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
