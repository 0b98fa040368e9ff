"""Real prompts end to end through the stand-ins, then one in a hundred more: time, calls, leaks.

Reads a jsonl.gz file of prompts with labels. What the finished home holds is checked by
`tests/integration/independent.py`, which shares no code with the product. One JSON line per figure;
exits with 1 when a check fails. Not part of `make bench`, since it takes many minutes.
"""

import argparse
import gzip
import os
import resource
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml
from harness import ROOT, figure, home, say

sys.path[:0] = [str(ROOT)]
from pipelines.documents import document
from resources.offline.lexicon import SAMPLES
from tests.integration import independent

BENCH = "cold"
_MOST_S, _MOST_SHARE = 600.0, 0.012
_BOUNDS = ("min_per_category", "min_safe_share", "max_safe_share", "min_agreement")
_RUN = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "pipelines.definitions"]


def main() -> None:
    """Run twice, print the figures and what failed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("prompts", type=Path, help="jsonl.gz with text and label")
    asked.add_argument("--rows", type=int, default=30_000)
    asked.add_argument("--rewrites", type=int, default=1, help="rewrites per prompt")
    asked.add_argument("--home", type=Path, help="folder to keep; else a temporary one")
    given = asked.parse_args()
    if given.home:
        _measure(given, given.home.resolve())
    else:
        with home() as folder:
            _measure(given, folder)


def _measure(given: argparse.Namespace, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    more = given.rows + given.rows // 100
    with gzip.open(given.prompts, "rt", encoding="utf-8") as lines:
        texts = [line for _, line in zip(range(more), lines, strict=False)]
    profile = folder / "cold.yaml"
    profile.write_text(yaml.safe_dump(_profile(folder, given.rewrites)), "utf-8")
    faults = []
    took, first = _run(folder, profile, texts[: given.rows])
    figure("end to end", took, "s", f"at most {_MOST_S:.0f} s", took / _MOST_S, bench=BENCH)
    figure("calls paid", first, "calls", bench=BENCH)
    faults += _sound(folder, given.rows)
    old = independent.newest(folder / "home")
    took, whole = _run(folder, profile, texts)
    share = (whole - first) / first
    figure("refresh, 1 % new prompts", took, "s", bench=BENCH)
    figure("calls of the refresh", whole - first, "calls", "of the first run", share, bench=BENCH)
    faults += _sound(folder, len(texts)) + _told(old, independent.newest(folder / "home"))
    if share > _MOST_SHARE:
        faults.append(f"the refresh paid {share:.2%} of the first run")
    for fault in faults:
        say(f"FAULT {fault}")
    raise SystemExit(bool(faults))


def _profile(folder: Path, rewrites: int) -> dict[str, Any]:
    columns = {"text": "text", "label": "label"}
    return {
        "extends": "offline",
        **document(SAMPLES / "sources.yaml"),
        "name": "cold",
        "real_prompts": [{"name": "cold", "path": str(folder / "cold.jsonl"), "columns": columns}],
        "settings": {
            "rewriting": {"rewrites_per_prompt": rewrites},
            "bounds": dict.fromkeys(_BOUNDS),
        },
    }


def _run(folder: Path, profile: Path, texts: list[str]) -> tuple[float, int]:
    """Materialise everything; seconds, and calls in the ledger afterwards."""
    (folder / "cold.jsonl").write_text("".join(texts), "utf-8")
    dagster = folder / "home" / "dagster"
    dagster.mkdir(parents=True, exist_ok=True)
    (dagster / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    settings = {
        "CHILLGUARD_PROFILE": str(profile),
        "CHILLGUARD_HOME": str(folder / "home"),
        "DAGSTER_HOME": str(dagster),
        "PYTHONWARNINGS": "ignore",
    }
    began, spent = time.perf_counter(), _cpu_s()
    with (folder / "run.log").open("a") as log:
        command = [*_RUN, "--select", "not key:refresh_plan"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log
        )
    took = time.perf_counter() - began
    figure("CPU time", _cpu_s() - spent, "s", bench=BENCH)
    if done.returncode:
        raise SystemExit(f"the run failed; see {folder / 'run.log'}")
    with closing(sqlite3.connect(folder / "home" / "ledger.db")) as ledger:
        return took, int(ledger.execute("select count(*) from calls").fetchone()[0])


def _cpu_s() -> float:
    """CPU seconds of all runs so far: what they take where nothing else runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sound(folder: Path, lines: int) -> list[str]:
    """Rows, leaks and losses of the newest release, checked by other code."""
    made = folder / "home"
    train, test = independent.sides(independent.newest(made))
    figure("Train", len(train), "rows", bench=BENCH)
    figure("Test", len(test), "rows", bench=BENCH)
    leaks = independent.leaks(train, test)
    figure("leaks", len(leaks), "pairs", bench=BENCH)
    return [
        *(f"leak {leak}" for leak in leaks[:5]),
        *(f"funnel at {stage}" for stage in independent.funnel(made, lines)),
        *(f"loss of {row}" for row in independent.losses(made)[:5]),
    ]


def _told(old: Path, new: Path) -> list[str]:
    """Whether `changes.parquet` says what changed, and no row changed sides."""
    before, after = ({**train, **test} for train, test in map(independent.sides, (old, new)))
    told = independent.told(new)
    real = independent.difference(before, after)
    for kind in ("added", "removed", "verdict", "moved", "any"):
        figure(f"diff: {kind}", len(real[kind]), "rows", bench=BENCH)
    faults = [f"row {key} changed sides" for key in sorted(real["moved"])[:5]]
    return faults + [
        f"the diff tells {len(told[kind])} rows as {kind}, there are {len(real[kind])}"
        for kind in told
        if told[kind] != real[kind]
    ]


if __name__ == "__main__":
    main()
