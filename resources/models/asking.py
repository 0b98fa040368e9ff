"""One asking run per home: its steps and processes ask together, another run waits its turn.

The lock is the operating system's: it goes with the process, so after a kill the next run takes
over without a hand.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_EVERY_S = 0.5
_TELL_EVERY_S = 60.0


@contextmanager
def turn(folder: Path, run_id: str, tell: Callable[[str], None]) -> Iterator[bool]:
    """Hold the home for a run; yields whether another run was waited for."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "asking.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        waited, told_at = False, float("-inf")
        while other := _held_by_another(folder, lock, run_id):
            waited = True
            if time.monotonic() - told_at > _TELL_EVERY_S:
                told_at = time.monotonic()
                tell(f"run {other} asks models in this home; this run waits until it has ended")
            time.sleep(_LOOK_EVERY_S)
        yield waited
    finally:
        os.close(lock)


def _held_by_another(folder: Path, lock: int, run_id: str) -> str | None:
    """The run that holds the home, if it is another; else this run holds it now."""
    guard = os.open(folder / "asking.guard", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode("utf-8", "replace").strip()
            if holder != run_id:
                return holder or "(unknown)"
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, run_id.encode(), 0)
        fcntl.flock(lock, fcntl.LOCK_SH)
        return None
    finally:
        os.close(guard)
