"""Trees of real processes: nothing of one is left, however stubborn it is."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from resources import processes

# Starts a child in a session of its own, says its id, and waits for it. A child inherits that a
# signal is ignored.
PARENT = """
import signal, subprocess, sys
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
work = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(work, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def start():
    """Start the parent; gives it and its child."""
    started = []

    def begin(manner):
        command = [sys.executable, "-c", PARENT, manner]
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        child = psutil.Process(int(parent.stdout.readline()))
        started.append((parent, child))
        return parent, child

    yield begin
    for parent, child in started:
        parent.kill()
        parent.communicate()
        assert not _runs(child)


def _runs(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_tree_ends_with_what_has_a_session_of_its_own(start):
    parent, child = start("plain")
    assert processes.descendants(parent.pid) == {child}
    processes.end_tree(parent.pid)
    # Where the machine is busy for as long as politeness lasts, the second signal comes too.
    assert parent.wait() in (-signal.SIGTERM, -signal.SIGKILL)
    assert not _runs(child)
    assert processes.descendants(parent.pid) == set()


def test_what_ignores_the_polite_signal_is_killed(start):
    parent, child = start("stubborn")
    processes.end_tree(parent.pid, polite_s=0.2)
    assert parent.wait() == -signal.SIGKILL
    assert not _runs(child)


def test_the_root_may_be_spared(start):
    parent, child = start("plain")
    [shell] = [one for one in processes.descendants(os.getpid()) if one.pid == parent.pid]
    processes.end_tree(parent.pid, spare_root=True)
    assert not _runs(child)
    # It ends by itself: what it waited for is gone.
    assert parent.wait() == 0
    assert not _runs(shell)


def test_a_process_that_is_gone_has_no_tree():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert processes.descendants(gone.pid) == set()
    processes.end_tree(gone.pid)
