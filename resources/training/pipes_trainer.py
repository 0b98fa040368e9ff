"""The child that Dagster Pipes starts: runs a training program, tells how far it is, ends with it.

`python -m resources.training.pipes_trainer WORKERS MODULE JOB.json`, on any executor. The program
reports on its standard output, a JSON object with `step` and `total_steps` a line; it knows neither
Pipes nor Dagster, and torch is not imported here. Everything that was started ends with this
process, however it ends.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from dagster_pipes import open_dagster_pipes

from chillguard.rate import Rate
from resources import processes

_TELL_EVERY_S = 5.0
_TAIL = 15
_READ_ON_S = 5.0
_PR_SET_CHILD_SUBREAPER = 36  # from linux/prctl.h
_INTERRUPTED = 130
_OURS = ("step", "total_steps", "eta_s")


class Told:
    """Turns the program's lines into log lines; `tail` holds the last that were no report."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._tell = tell
        self._told_at = -_TELL_EVERY_S
        self._began: tuple[float, float] | None = None

    def line(self, line: str) -> None:
        """Take one line of output; reports are told every few seconds, and the last one."""
        report = _report(line)
        if report is None:
            self.tail.append(line)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
            return
        now = time.monotonic()
        if self._began is None or report["step"] < self._began[1]:
            self._began = (now, report["step"])
        is_last = report["step"] == report["total_steps"]
        if is_last or now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self._tell(_words(report, now - self._began[0], report["step"] - self._began[1]))


def _words(report: dict[str, Any], seconds: float, steps: float) -> str:
    """A report in words, with the rate and what is left of a run that made `steps` in `seconds`."""
    step, total = report["step"], report["total_steps"]
    parts = [f"step {step:,} of {total:,}"]
    parts += [f"{name} {_short(value)}" for name, value in report.items() if name not in _OURS]
    if steps > 0 and seconds > 0:
        rate = Rate(steps, seconds)
        parts.append(f"{rate.per_s:,.2f} steps/s, ETA {rate.eta_s(total - step) or 0:,.0f} s")
    return ", ".join(parts)


def main(workers: int, module: str, job: str) -> int:
    """Run `module` on the file `job`; the exit status is the program's."""
    _guard()
    with open_dagster_pipes() as pipes:
        told = Told(pipes.log.info)
        try:
            status = run(command(workers, module, job), told)
        except KeyboardInterrupt:
            pipes.log.warning(f"{module} was interrupted and ended")
            return _INTERRUPTED
        if status:
            last = "\n".join(told.tail)
            pipes.log.error(f"{module} ended with status {status}; its output ends:\n{last}")
    return status


def command(workers: int, module: str, job: str) -> list[str]:
    """The program alone, or one per GPU under torchrun."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(workers), "-m"]
    return [sys.executable, "-m", *(launcher if workers > 1 else []), module, job]


def run(program: list[str], told: Told) -> int:
    """Run a program to its end; what it started is gone when this returns or raises."""
    process = subprocess.Popen(  # noqa: S603 - the command is our own
        program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=processes.die_with_parent,
    )
    # In a thread: what the program leaves running may hold its output open for ever.
    reader = threading.Thread(target=_read, args=(process, told), daemon=True)
    reader.start()
    try:
        return process.wait()
    finally:
        processes.end_tree(os.getpid(), spare_root=True)
        process.wait()
        reader.join(_READ_ON_S)


def _read(process: "subprocess.Popen[str]", told: Told) -> None:
    for line in process.stdout or ():
        told.line(line.rstrip())


def _guard() -> None:
    """End with the parent, take over orphans, and turn a polite signal into an exception."""
    processes.die_with_parent()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    # A second signal must not cut the ending short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _report(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"step", "total_steps"} <= found.keys() else None


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told_to(arguments: Iterable[str]) -> int:
    workers, module, job = arguments
    return main(int(workers), module, job)


if __name__ == "__main__":
    sys.exit(_told_to(sys.argv[1:]))
