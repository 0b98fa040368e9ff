"""Processes that we start: they die with us, and a whole tree of them is ended at once."""

import contextlib
import ctypes
import signal
import time
from collections.abc import Iterable

import psutil

_HARD_S, _POLL_S = 5.0, 0.05
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel end this process when its parent dies: a GPU must not stay taken."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def descendants(pid: int) -> set[psutil.Process]:
    """Living processes that a process started, and what these started."""
    try:
        return _living(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def end_tree(pid: int, polite_s: float = 10.0, spare_root: bool = False) -> None:
    """End a process and every descendant of it: politely, and after `polite_s` seconds not.

    Sessions and groups say too little: torchrun gives each worker a session of its own. What loses
    its parent meanwhile is ended too. `spare_root` keeps the process itself.
    """
    tree: set[psutil.Process] = set()
    if not spare_root:
        with contextlib.suppress(psutil.NoSuchProcess):
            tree.add(psutil.Process(pid))
    for sign, patience_s in ((signal.SIGTERM, polite_s), (signal.SIGKILL, _HARD_S)):
        deadline = time.monotonic() + patience_s
        tree |= descendants(pid)
        for process in _living(tree):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        while _living(tree | descendants(pid)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def _living(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Those that still run: one that waits to be reaped does not, nor does a new one of its id."""
    living = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() not in _ENDED:
                living.add(process)
    return living
