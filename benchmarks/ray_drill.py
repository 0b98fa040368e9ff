"""Ray drill: the whole lineage on a Ray cluster of this machine, workers killed; a JSON report.

Three homes of one profile: in one process, on Ray, and on Ray with a process killed by signal 9 in
the middle of each of two stages. All must hold the same files, and each killed step must be made
again. Every call is counted at the endpoint, so that one paid twice is seen there.

    make .venv/dev .venv/scale && .venv/bin/python benchmarks/ray_drill.py
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
from harness import ROOT, Failed, home, kill, machine, say
from lineage_drill import MOST_IN_FLIGHT, Lineage
from stand_ins import StandIns

_WITHIN_S = 1800.0
_READY_WITHIN_S = 90.0
_NODES = 2
# Ray hands out these ports to its workers.
_RESERVED = range(10002, 20000)
_RAY = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "ignore",
}


class Killer:
    """Kills a process of a step once its stage has paid for a call and has no table yet."""

    def __init__(self, lineage: Lineage, asset: str, find: Callable[[int], int]) -> None:
        self.hit: dict[str, Any] = {}
        self._lineage, self._asset, self._find = lineage, asset, find

    def look(self, elapsed: float) -> None:
        """Kill, once, when the moment has come."""
        if self.hit or self._asset in self._lineage.tables():
            return
        calls = self._lineage.paid().get(self._asset)
        step = _step(self._asset.replace("/", "__"), self._lineage.folder) if calls else None
        if step is None:
            return
        target = self._find(step)
        program = Path(_words(target, "cmdline")[0]).name
        os.kill(target, signal.SIGKILL)
        paid = self._lineage.paid()[self._asset]
        self.hit = {"asset": self._asset, "program": program, "calls": paid}
        self.hit["seconds"] = round(elapsed, 1)
        say(f"ray drill: killed {self.hit}")


def drill() -> dict[str, Any]:
    """The three homes, and what differs."""
    servers = StandIns(), StandIns(), StandIns()
    with home() as a, home() as b, home() as c, servers[0], servers[1], servers[2]:
        here = Lineage(a, servers[0])
        seconds = {"in_process": _seconds(here, [])}
        with _cluster():
            there = Lineage(b, servers[1], executor="ray")
            killed = Lineage(c, servers[2], executor="ray")
            killers = [
                Killer(killed, "rewritten_prompts", lambda step: step),
                Killer(killed, "jury_votes/juror_2", _worker),
            ]
            seconds["ray"] = _seconds(there, [])
            seconds["ray_killed"] = _seconds(killed, killers)
        wanted = _digests(a)
        counts = [server.settled() for server in servers]
        report = {
            "drill": "ray",
            "nodes": _NODES,
            "seconds": seconds,
            "steps_on_ray": len(_events(b)[dg.DagsterEventType.STEP_SUCCESS]),
            "kills": [one.hit for one in killers],
            "made_again": _events(c)[dg.DagsterEventType.STEP_UP_FOR_RETRY],
            "files_compared": len(wanted),
            "files_different": {
                "ray": _different(wanted, _digests(b)),
                "ray_killed": _different(wanted, _digests(c)),
            },
            "calls": {"in_process": counts[0], "ray": counts[1], "ray_killed": counts[2]},
        }
        same = here.paid() == there.paid() == killed.paid()
    report["holds"] = _holds(report, same)
    return {**report, "machine": machine()}


def _holds(report: dict[str, Any], same: bool) -> dict[str, bool]:
    ideal, calm, rough = report["calls"].values()
    twice = rough["asked"] - ideal["asked"]
    hits = report["kills"]
    return {
        "the files are those of one process": not report["files_different"]["ray"],
        "the same after kills": not report["files_different"]["ray_killed"],
        "each stage was killed midway": all(hits) and len(hits) == len(report["made_again"]),
        "each killed step was made again": sorted(report["made_again"])
        == sorted(hit["asset"].replace("/", "__") for hit in hits if hit),
        "nothing is paid for twice": calm == ideal and same,
        "only calls in flight are asked again": 0 <= twice <= MOST_IN_FLIGHT * len(hits),
    }


def _seconds(lineage: Lineage, killers: list[Killer]) -> float:
    say(f"ray drill: {lineage.folder.name}")
    began = time.monotonic()

    def look(elapsed: float) -> bool:
        for killer in killers:
            killer.look(elapsed)
        return False

    lineage.run(look, _WITHIN_S)
    return round(time.monotonic() - began, 1)


def _events(folder: Path) -> dict[dg.DagsterEventType, list[str]]:
    """Keys of the steps of a home's run, by the type of the event."""
    found = defaultdict(list)
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        [run] = instance.get_runs()
        for entry in instance.all_logs(run.run_id):
            if entry.dagster_event and entry.step_key:
                found[entry.dagster_event.event_type].append(entry.step_key)
    return found


def _digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file of tables, state, releases and queues for reviewers."""
    folders = (root / name for name in ("tables", "state", "release", "review"))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def _different(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    return sorted(name for name in wanted | found if wanted.get(name) != found.get(name))


def _step(key: str, folder: Path) -> int | None:
    """The process that executes a step of a home."""
    marks = {f"DAGSTER_RUN_STEP_KEY={key}", f"CHILLGUARD_HOME={folder}"}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and marks <= set(_words(int(entry.name), "environ")):
            command = _words(int(entry.name), "cmdline")
            if "execute_step" in command and "-c" not in command[:2]:
                return int(entry.name)
    return None


def _worker(process: int) -> int:
    """The Ray worker that started a process."""
    while not _words(process, "cmdline")[0].startswith("ray::"):
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return process


def _words(process: int, name: str) -> list[str]:
    try:
        return Path(f"/proc/{process}/{name}").read_text(errors="replace").split("\0")
    except OSError:  # It has ended, or belongs to somebody else.
        return []


@contextmanager
def _cluster() -> Iterator[None]:
    """A Ray of two nodes with a CPU each, named by RAY_ADDRESS, all of it ended with the block."""
    programs = Path(sys.executable).parent
    # A step's job is the command `dagster`, as a node finds it.
    os.environ |= {**_RAY, "PATH": f"{programs}:{os.environ['PATH']}"}
    ray = str(programs / "ray")
    ports = [_free_port() for _ in range(2)]
    dashboard = f"http://127.0.0.1:{ports[1]}"
    common = [ray, "start", "--block", "--num-cpus=1"]
    head = ["--head", "--node-ip-address=127.0.0.1", f"--port={ports[0]}"]
    head += ["--dashboard-host=127.0.0.1", f"--dashboard-port={ports[1]}"]
    nodes: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        try:
            nodes.append(_node([*common, *head, f"--temp-dir={folder}"]))
            _wait(f"{dashboard}/api/version", b"ray_version")
            nodes.append(_node([*common, f"--address=127.0.0.1:{ports[0]}"]))
            _wait(f"{dashboard}/api/v0/nodes", b'"num_after_truncation": 2')
            os.environ["RAY_ADDRESS"] = dashboard
            yield
        finally:
            os.environ.pop("RAY_ADDRESS", None)
            for node in reversed(nodes):
                node.terminate()
                with suppress(subprocess.TimeoutExpired):
                    node.wait(20)
                kill(node)


def _node(command: list[str]) -> subprocess.Popen[str]:
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, text=True, **quiet)


def _wait(url: str, for_what: bytes) -> None:
    until = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if for_what in answer.read():
                return
        time.sleep(0.2)
    raise Failed(f"Ray is not ready after {_READY_WITHIN_S:.0f} s")


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _RESERVED:
            return port


def main() -> None:
    """Print the report; the exit status says whether all went well."""
    try:
        report = drill()
    except Failed as error:
        report = {"drill": "ray", "holds": {"it ran": False}, "failed": str(error)}
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.exit(not all(report["holds"].values()))


if __name__ == "__main__":
    main()
