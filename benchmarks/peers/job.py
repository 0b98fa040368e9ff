"""What every contestant is asked to do, and how it reports; the standard library only.

A job is `n` questions to the chat endpoint at `url`, at most `c` at once; `home` keeps whatever
the contestant remembers between two jobs.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL = "bench"
SYSTEM = "You label short texts as safe or unsafe."


@dataclass(frozen=True)
class Job:
    """`poison` is the row, if any, that the endpoint rejects."""

    url: str
    n: int
    c: int
    home: Path
    system: str
    poison: int | None
    kind: str
    profile: Path | None

    def text(self, row: int) -> str:
        """Question of a row."""
        word = "poison" if row == self.poison else "text"
        return f"row {row}: is this {word} safe? Answer with one word."

    def texts(self) -> Iterator[str]:
        """All questions."""
        return map(self.text, range(self.n))


def read() -> Job:
    """The job on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("n", type=int)
    parser.add_argument("c", type=int)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--system", default=SYSTEM)
    parser.add_argument("--poison", type=int)
    parser.add_argument("--kind", default="")
    parser.add_argument("--profile", type=Path)
    job = Job(**vars(parser.parse_args()))
    job.home.mkdir(parents=True, exist_ok=True)
    return job


class Clock:
    """Seconds and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu = _cpu()

    def read(self) -> dict[str, float]:
        """Seconds, and CPU seconds of this process and the children it has waited for."""
        return {"seconds": time.perf_counter() - self._began, "cpu_s": _cpu() - self._cpu}


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def report(job: Job, clock: dict[str, float], answers: Sequence[str], **more: Any) -> None:
    """One JSON line: seconds, answers kept, and those that do not answer this job's question.

    Only an endpoint that repeats what it was asked shows stale answers.
    """
    echoed = [answer for answer in answers if "\n" in answer]
    stale = sum(job.system not in answer for answer in echoed)
    told = {**clock, "kept": len(answers), "stale": stale, **more}
    sys.stdout.write("\n" + json.dumps(told) + "\n")
