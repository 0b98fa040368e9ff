"""The Pipes child: what it tells, and that nothing it started is left, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resources import processes
from resources.training import pipes_trainer

# A program like torchrun in what matters here: a worker in a session of its own, then work.
PROGRAM = """
import json, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
work = [sys.executable, "-c", "import time; time.sleep(600)"]
worker = subprocess.Popen(work, start_new_session=True)
(folder / "worker").write_text(str(worker.pid))
print("plain line", flush=True)
print(json.dumps({"step": 1, "total_steps": 2, "loss": 0.25}), flush=True)
if (folder / "fail").exists():
    sys.exit("ValueError: row p7 has no label")
if (folder / "long").exists():
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    return tmp_path


def _start(folder, before=()):
    command = [
        sys.executable,
        "-m",
        "resources.training.pipes_trainer",
        "1",
        "program",
        str(folder),
    ]
    path = os.pathsep.join([str(folder), os.getcwd()])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen([*before, *command], env=environment, stdout=subprocess.PIPE, text=True)


def _worker(folder, process):
    """Pid of the worker, once there is one."""
    for line in process.stdout:
        if "plain line" in line:
            return int((folder / "worker").read_text())
    raise AssertionError("the program did not start")


def _is_gone(pid):
    """Whether a process ended; the kernel is given a moment after the last signal."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


def test_what_a_program_leaves_running_ends_with_it(folder):
    process = _start(folder)
    worker = _worker(folder, process)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert _is_gone(worker)


def test_the_status_of_a_failed_program_is_handed_on(folder):
    (folder / "fail").touch()
    process = _start(folder)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "row p7 has no label" in out


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_whole_tree(folder, sign):
    (folder / "long").touch()
    process = _start(folder)
    worker = _worker(folder, process)
    [program] = [one.pid for one in processes.descendants(process.pid) if one.pid != worker]
    process.send_signal(sign)
    process.communicate(timeout=60)
    assert process.returncode
    assert _is_gone(program)
    # Killed outright, it cannot end what has a session of its own; torchrun does that itself.
    if sign == signal.SIGKILL:
        os.kill(worker, signal.SIGKILL)
    assert _is_gone(worker)


def test_the_tree_ends_with_a_parent_that_is_killed(folder):
    (folder / "long").touch()
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    parent = _start(folder, before=(sys.executable, "-c", script))
    worker = _worker(folder, parent)
    everyone = {one.pid for one in processes.descendants(parent.pid)}
    assert worker in everyone
    parent.kill()
    parent.communicate(timeout=60)
    assert all(_is_gone(pid) for pid in everyone)


def test_reports_become_lines_with_rate_and_eta(monkeypatch):
    clock, told = [0.0], []
    monkeypatch.setattr(pipes_trainer.time, "monotonic", lambda: clock[0])
    teller = pipes_trainer.Told(told.append)
    for seconds, step in ((0, 10), (2, 20), (10, 60), (11, 70), (12, 110)):
        clock[0] = float(seconds)
        teller.line(f'{{"step": {step}, "total_steps": 110, "loss": 0.123456, "eta_s": 1}}')
    assert told == [
        "step 10 of 110, loss 0.1235",
        "step 60 of 110, loss 0.1235, 5.00 steps/s, ETA 10 s",
        "step 110 of 110, loss 0.1235, 8.33 steps/s, ETA 0 s",
    ]


@pytest.mark.parametrize("line", ["plain", "{not json", '["list"]', '{"other": 1}', "3", ""])
def test_lines_that_are_no_report_pass_through_and_are_kept_for_the_end(line, capsys):
    teller = pipes_trainer.Told(lambda text: pytest.fail(text))
    teller.line(line)
    assert capsys.readouterr().out == line + "\n"
    assert list(teller.tail) == [line]


def test_several_processes_run_under_torchrun():
    one, two = (pipes_trainer.command(n, "chillguard.training", "job.json") for n in (1, 2))
    assert one[1:] == ["-m", "chillguard.training", "job.json"]
    assert two[1:4] == ["-m", "torch.distributed.run", "--standalone"]
    assert two[4:] == ["--nproc-per-node", "2", "-m", "chillguard.training", "job.json"]
