"""Kill drill: the engine killed with signal 9, at half and at random moments; a JSON report.

Every question is answered by its own text and counted at the endpoint, so that a call paid twice
is seen there. A call is in flight until its answer is committed to the ledger.
"""

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import OURS, Server, home, kill, say

_DELAY_MS = 50
_JITTER_S = 0.04
_WITHIN_S = 60.0


def drill(n: int, c: int, kills: Sequence[int], seed: int) -> dict[str, Any]:
    """Ask `n` questions, `c` at once, killed after so many calls of each life; then to the end."""
    rng = random.Random(seed)
    lost = []
    with home() as folder, home() as other, Server(_DELAY_MS, reads=True) as server:
        before = _answers(folder)
        for after in kills:
            asked = _life(server, n, c, folder, after, rng.uniform(0, _JITTER_S))
            now = _answers(folder)
            lost.append(asked - (len(now) - len(before)))
            before = now
        last = OURS.do(server.url, n, c, folder, within_s=_WITHIN_S)
        told = server.bodies()
        OURS.do(server.url, n, c, other, within_s=_WITHIN_S)
        same = _answers(folder) == _answers(other) and len(_answers(folder)) == n
    return {
        "requests": n,
        "concurrency": c,
        "kills": len(lost),
        "calls": told["asked"],
        "paid_twice": told["asked"] - told["distinct"],
        "in_flight_at_kills": lost,
        "answered_in_the_end": last["answered"],
        "same_answers": same,
        "ok": same
        and last["answered"] == n
        and told["distinct"] == n
        and told["asked"] - n <= sum(lost),
    }


def random_moments(n: int, kills: int, seed: int) -> list[int]:
    """Calls of each life after which it is killed; together fewer than `n`."""
    moments = sorted(random.Random(seed).sample(range(1, n * 9 // 10), kills))
    return [after - before for before, after in zip([0, *moments], moments, strict=False)]


def _life(server: Server, n: int, c: int, folder: Path, after: int, pause_s: float) -> int:
    """Kill a run after so many calls and a pause; returns how many it has made."""
    began = server.bodies()["asked"]
    process = OURS.start(
        server.url, n, c, folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + _WITHIN_S
    try:
        while server.bodies()["asked"] - began < after:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the engine ended before it was killed; ask for more requests")
            time.sleep(0.002)
        time.sleep(pause_s)
    finally:
        kill(process)
    while server.bodies()["inFlight"] and time.monotonic() < until:
        time.sleep(0.02)
    return server.bodies()["asked"] - began


def _answers(folder: Path) -> dict[str, str]:
    path = folder / "ledger.db"
    if not path.exists():
        return {}
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT key, answer FROM calls"))
    finally:
        connection.close()


def drills(n: int, c: int, kills: int, seed: int) -> dict[str, Any]:
    """One kill at half, and `kills` in one run at random moments."""
    say("kill drill: at half")
    half = drill(n, c, [n // 2], seed)
    say(f"kill drill: {kills} at random moments")
    return {"half": half, "random": drill(n, c, random_moments(n, kills, seed), seed)}


def main() -> None:
    """Print the report; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    report = drills(given.requests, given.concurrency, given.kills, given.seed)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.exit(not all(one["ok"] for one in report.values()))


if __name__ == "__main__":
    main()
