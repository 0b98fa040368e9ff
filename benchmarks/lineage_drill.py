"""Lineage drill: the whole lineage killed with signal 9 at random moments; a JSON report.

Home A is never killed. Home B is killed at moments of A, then runs to its end; both must hold the
same Parquet files. Every call is counted at the endpoint, so that a call paid twice is seen there.
A call is in flight until its answer is committed to the ledger.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import ROOT, Failed, home, kill, machine, say
from stand_ins import DELAY_S, StandIns

from pipelines.documents import document
from resources.offline.lexicon import SAMPLES

_CONCURRENCY = 16
# Sent and not answered yet, and the answers of 0.05 s, which may wait for their commit.
MOST_IN_FLIGHT = _CONCURRENCY + round(_CONCURRENCY * 0.05 / DELAY_S)
_LOOK_S = 0.02
_WITHIN_S = 240.0
_LINEAGE = ["dagster", "asset", "materialize", "-m", "pipelines.definitions"]
_ROLES = ("expander", "synthesizer", "rewriter", "tie_breaker", "categorizer")
_SAMPLES = str(ROOT / "resources" / "offline" / "samples" / "real_prompts.jsonl")
_LABELS = {"text": "text", "label": "label", "category": "category"}
_BOUNDS = ("min_per_category", "min_safe_share", "max_safe_share", "min_agreement")
_PROFILE = {
    "extends": "offline",
    **document(SAMPLES / "sources.yaml"),
    "name": "drill",
    # Prompts without a label make annotation ask, too.
    "real_prompts": [
        {"name": "labelled", "path": _SAMPLES, "limit": 80, "columns": _LABELS},
        {"name": "unlabelled", "path": _SAMPLES, "limit": 40, "where": {"label": ["safe"]}},
    ],
    "settings": {"synthesis": {"queries_per_category": 1}, "bounds": dict.fromkeys(_BOUNDS)},
}


@dataclass(frozen=True)
class Moment:
    """A place in the lineage: calls of the home, tables of this life, seconds since both."""

    calls: int
    tables: int
    pause_s: float


class Lineage:
    """A home, and the endpoint that its roles and jurors ask; `document` is more of its profile."""

    def __init__(self, folder: Path, server: StandIns, **document: Any) -> None:
        self.folder = folder
        self.server = server
        self._ledger = f"file:{folder / 'ledger.db'}?mode=rw"
        bound = {"url": server.url, "structured": "prompt", "concurrency": _CONCURRENCY}
        jurors = [{"model": f"offline-juror-{slot}", **bound} for slot in (1, 2, 3, 4)]
        document = {**_PROFILE, **document, "roles": dict.fromkeys(_ROLES, bound), "jurors": jurors}
        (folder / "drill.yaml").write_text(json.dumps(document), "utf-8")
        (folder / "dagster").mkdir()
        shutil.copy(ROOT / "dagster.yaml", folder / "dagster")
        self._environment = {
            **os.environ,
            "CHILLGUARD_HOME": str(folder),
            "CHILLGUARD_PROFILE": str(folder / "drill.yaml"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, look: Callable[[float], bool], within_s: float = _WITHIN_S) -> bool:
        """Make every asset until done, or until `look` says to kill it; whether it was killed."""
        command = [
            sys.executable,
            "-m",
            *_LINEAGE,
            "--select",
            "not (key:refresh_plan or group:training)",
        ]
        with tempfile.TemporaryFile("w+") as log:
            options: dict[str, Any] = {"stdout": log, "stderr": log, "env": self._environment}
            process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **options)
            began = time.monotonic()
            try:
                while process.poll() is None and not look(time.monotonic() - began):
                    if time.monotonic() - began > within_s:
                        raise Failed(f"the lineage is not done after {within_s:.0f} s")
                    time.sleep(_LOOK_S)
            finally:
                kill(process)
            if process.returncode > 0:
                log.seek(0)
                raise Failed(f"the lineage failed:\n{log.read()[-4000:]}")
        return process.returncode < 0

    def tables(self) -> dict[str, int]:
        """When each table was written."""
        root = self.folder / "tables"
        found = root.glob("**/part-*.parquet")
        return {str(path.parent.relative_to(root)): path.stat().st_mtime_ns for path in found}

    def paid(self) -> dict[str, int]:
        """Answers in the ledger, by the asset that paid."""
        query = "SELECT asset, count(*) FROM calls GROUP BY asset"
        try:
            with closing(sqlite3.connect(self._ledger, uri=True)) as connection:
                return dict(connection.execute(query))
        except sqlite3.OperationalError:  # There is none yet.
            return {}

    def digests(self) -> dict[str, str]:
        """SHA-256 of every Parquet file but drafts."""
        found = [
            path
            for part in ("tables", "state", "release")
            for path in sorted((self.folder / part).rglob("*.parquet"))
        ]
        names = [str(path.relative_to(self.folder)) for path in found]
        seen = [name for name in names if "/." not in name]
        return {
            name: hashlib.sha256((self.folder / name).read_bytes()).hexdigest() for name in seen
        }


def untouched(lineage: Lineage) -> list[tuple[float, int, int]]:
    """Run to the end; seconds, calls and tables, one entry each time that one of them grew."""
    seen = [(0.0, 0, 0)]

    def look(elapsed: float) -> bool:
        now = lineage.server.bodies()["asked"], len(lineage.tables())
        if now != seen[-1][1:]:
            seen.append((elapsed, *now))
        return False

    lineage.run(look)
    return seen


def moments(seen: list[tuple[float, int, int]], kills: int, seed: int) -> list[Moment]:
    """Half of them anywhere in time from the first table to the last, half in gaps far apart."""
    rng = random.Random(seed)
    written = [next(at for at, _, n in seen if n > table) for table in range(seen[-1][2])]
    drawn = [rng.uniform(written[0], written[-1]) for _ in range(kills // 2)]
    parts, gaps = kills - kills // 2, len(written) - 1
    for part in range(parts):
        gap = rng.randrange(part * gaps // parts, (part + 1) * gaps // parts)
        drawn.append(rng.uniform(written[gap], written[gap + 1]))
    found = []
    for at in sorted(drawn):
        began, calls, tables = next(entry for entry in reversed(seen) if entry[0] <= at)
        found.append(Moment(calls, tables, at - began))
    return found


def killed(lineage: Lineage, moment: Moment) -> dict[str, Any]:
    """Kill a life at a moment, sooner if it ends before; where it was and what was in flight."""
    before, paid = lineage.tables(), sum(lineage.paid().values())
    asked = lineage.server.bodies()["asked"]
    reached: list[float] = []
    hit: dict[str, Any] = {}

    def fresh() -> list[str]:
        now = lineage.tables()
        return sorted((key for key in now if now[key] != before.get(key)), key=now.__getitem__)

    def look(elapsed: float) -> bool:
        made = paid + lineage.server.bodies()["asked"] - asked
        if not reached and made >= moment.calls and len(fresh()) >= moment.tables:
            reached.append(elapsed)
        hit["seconds"] = round(elapsed, 2)
        return bool(reached) and elapsed - reached[0] >= moment.pause_s

    if not lineage.run(look):
        return killed(lineage, replace(moment, pause_s=moment.pause_s / 2))
    calls = lineage.server.settled()["asked"] - asked
    hit |= {"calls": asked + calls, "tables": len(fresh()), "after_table": (fresh() or [None])[-1]}
    return {**hit, "in_flight": calls - (sum(lineage.paid().values()) - paid)}


def drill(kills: int, seed: int) -> dict[str, Any]:
    """A home that is never killed, one that is, and what differs."""
    with home() as one, home() as other, StandIns() as calm, StandIns() as rough:
        a, b = Lineage(one, calm), Lineage(other, rough)
        say("lineage drill: never killed")
        seen = untouched(a)
        hits = []
        for moment in moments(seen, kills, seed):
            say(f"lineage drill: kill {len(hits) + 1} of {kills} at {moment}")
            hits.append(killed(b, moment))
        say("lineage drill: to the end")
        untouched(b)
        wanted, found = a.digests(), b.digests()
        answers, same = a.paid(), a.paid() == b.paid()
        ideal, told = calm.settled(), rough.settled()
    different = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
    # A salvaged question is asked again on purpose, in both homes.
    twice = told["asked"] - told["distinct"] - (ideal["asked"] - ideal["distinct"])
    lost = [hit["in_flight"] for hit in hits]
    return {
        "kills": len(hits),
        "hits": hits,
        "never_killed": {"seconds": round(seen[-1][0], 1), "calls": ideal["asked"]} | answers,
        "calls": told["asked"],
        "paid_twice": twice,
        "in_flight_at_kills": lost,
        "files_compared": len(wanted | found),
        "files_different": different,
        "ok": len(hits) == kills
        and same
        and not different
        and told["distinct"] == ideal["distinct"]
        and ideal["asked"] == sum(answers.values())
        and twice <= sum(lost)
        and max(lost, default=0) <= MOST_IN_FLIGHT,
        "machine": machine(),
    }


def main() -> None:
    """Print the report; the exit status says whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        report = drill(given.kills, given.seed)
    except Failed as error:
        report = {"ok": False, "failed": str(error)}
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    sys.exit(not report["ok"])


if __name__ == "__main__":
    main()
