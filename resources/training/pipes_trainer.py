"""The child that Dagster Pipes starts: runs a training program, tells how far it is, ends with it.

`python -m resources.pipes_trainer PROCESSES MODULE JOB.json`, on any executor. The program reports
on its standard output, a JSON object with `step` and `total_steps` a line; it knows neither Pipes
nor Dagster, and torch is not imported here. Everything that was started ends with this process,
however it ends.
"""

import contextlib
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
from pathlib import Path
from types import FrameType
from typing import Any

from dagster_pipes import open_dagster_pipes

from chillguard.rate import Rate

_TELL_EVERY_S = 5.0
_TAIL = 15
_POLITE_S, _HARD_S, _POLL_S = 10.0, 5.0, 0.05
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
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


def main(processes: int, module: str, job: str) -> int:
    """Run `module` on the file `job`; the exit status is the program's."""
    _guard()
    with open_dagster_pipes() as pipes:
        told = Told(pipes.log.info)
        try:
            status = run(command(processes, module, job), told)
        except KeyboardInterrupt:
            pipes.log.warning(f"{module} was interrupted and ended")
            return _INTERRUPTED
        if status:
            last = "\n".join(told.tail)
            pipes.log.error(f"{module} ended with status {status}; its output ends:\n{last}")
    return status


def command(processes: int, module: str, job: str) -> list[str]:
    """The program alone, or one per GPU under torchrun."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    return [sys.executable, "-m", *(launcher if processes > 1 else []), module, job]


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
        preexec_fn=_die_with_parent,
    )
    # In a thread: what the program leaves running may hold its output open for ever.
    reader = threading.Thread(target=_read, args=(process, told), daemon=True)
    reader.start()
    try:
        return process.wait()
    finally:
        end_all(os.getpid())
        process.wait()
        reader.join(_HARD_S)


def _read(process: "subprocess.Popen[str]", told: Told) -> None:
    for line in process.stdout or ():
        told.line(line.rstrip())


def end_all(pid: int) -> None:
    """End every descendant of a process: politely, then not.

    Sessions and groups say too little: torchrun gives each worker a session of its own.
    """
    for sign, patience in ((signal.SIGTERM, _POLITE_S), (signal.SIGKILL, _HARD_S)):
        deadline = time.monotonic() + patience
        for one in descendants(pid):
            _send(one, sign)
        while descendants(pid) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def descendants(pid: int) -> list[int]:
    """Living children of a process, and theirs; those waiting to be reaped do not count."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(folder.name))
    found = list(children.get(pid, ()))
    for one in found:
        found += children.get(one, ())
    return found


def _guard() -> None:
    """End with the parent, take over orphans, and turn a polite signal into an exception."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    # A second signal must not cut the ending short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _send(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


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
    processes, module, job = arguments
    return main(int(processes), module, job)


if __name__ == "__main__":
    sys.exit(_told_to(sys.argv[1:]))
