"""Rehearsal at the paper's scale, or a share of it: posts to release, models on the loopback.

Posts, public samples and real prompts are recombined from files of texts; the stand-ins answer at
once over HTTP, in a process of their own. Tells time and CPU of the lineage without that process,
peak memory, disk, and where the rows went; one JSON line per figure. Not part of `make bench`: the
whole takes hours.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from harness import ROOT, figure, home, say
from stand_ins import StandIns

BENCH = "scale"
# The paper's numbers: posts, public samples, sources of rewriting, queries per category, and the
# real prompts that are kept as they are, by label.
POSTS, PUBLIC, SOURCES, QUERIES = 480_000, 284_223, 46_742, 384
SAFE, UNSAFE = 3_100, 597
_ROLES = ("expander", "synthesizer", "rewriter", "tie_breaker", "categorizer")
_BOUNDS = ("min_per_category", "min_safe_share", "max_safe_share", "min_agreement")
_RUN = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "pipelines.definitions"]
_STAGES = (
    "synthesized_prompts", "rewritten_prompts", "public_prompts", "candidate_prompts",
    "clean_prompts", "labeled_prompts", "train_set", "test_set",
)  # fmt: skip


def recombined(texts: list[str], count: int, seed: int) -> Iterator[str]:
    """`count` texts, each made of parts of two others."""
    rng = random.Random(seed)
    for _ in range(count):
        one, other = rng.choice(texts), rng.choice(texts)
        yield f"{one[: rng.randint(10, 60)]}，{other[-rng.randint(10, 60) :]}"


def inputs(folder: Path, reviews: Path, prompts: Path, share: float) -> None:
    """Write posts, public samples and real prompts."""
    with gzip.open(reviews, "rt", encoding="utf-8") as lines:
        posts = [json.loads(line)["text"][:200] for line in lines]
    with gzip.open(prompts, "rt", encoding="utf-8") as lines:
        asked = [json.loads(line)["text"] for line in lines]
    made = {
        "posts": ({"text": text} for text in recombined(posts, round(POSTS * share), 1)),
        "public": _labelled(recombined(asked, round(PUBLIC * share), 2)),
        "real": _labelled(recombined(asked, round(SOURCES * share), 3)),
    }
    for name, rows in made.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _labelled(texts: Iterator[str]) -> Iterator[dict[str, str]]:
    for number, text in enumerate(texts):
        yield {"text": text, "label": "unsafe" if number % 2 else "safe"}


def profile(folder: Path, url: str, share: float) -> dict[str, Any]:
    """The offline profile over own files, every role at `url`."""

    def source(name: str, **columns: str) -> list[dict[str, Any]]:
        return [{"name": name, "path": str(folder / f"{name}.jsonl"), "columns": columns}]

    where = {"url": url, "concurrency": 64, "structured": "structured_outputs"}
    labelled = {"text": "text", "label": "label"}
    return {
        "extends": "offline",
        "name": "scale",
        "posts": source("posts", text="text"),
        "public_prompts": source("public", **labelled),
        "real_prompts": source("real", **labelled),
        "roles": {one: {"model": f"offline-{one.replace('_', '-')}", **where} for one in _ROLES},
        "jurors": [{"model": f"offline-juror-{slot}", **where} for slot in range(1, 5)],
        "settings": {
            "keywords": {"target": 80},
            "synthesis": {"queries_per_category": max(1, round(QUERIES * share))},
            "translation": {
                "retained_safe": round(SAFE * share),
                "retained_unsafe": round(UNSAFE * share),
            },
            "bounds": dict.fromkeys(_BOUNDS),
        },
    }


def rehearse(given: argparse.Namespace, folder: Path) -> None:
    """Run the lineage once and tell what it took."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs(folder, given.reviews, given.prompts, given.share)
    with StandIns(delay_s=0.0) as server:
        document = profile(folder, server.url, given.share)
        (folder / "scale.yaml").write_text(yaml.safe_dump(document), "utf-8")
        began = time.perf_counter()
        used = _run(folder)
        took = time.perf_counter() - began
        asked = server.settled()["asked"]
    what = f"{given.share:g} of the paper"
    tables = folder / "home" / "tables"
    rows = {s: pq.read_metadata(tables / s / "part-00000.parquet").num_rows for s in _STAGES}
    released = rows["train_set"] + rows["test_set"]
    for stage, count in rows.items():
        figure(f"{what}: {stage}", count, "rows", bench=BENCH)
    figure(f"{what}: calls", asked, "calls", bench=BENCH)
    figure(f"{what}: time", took, "s", bench=BENCH)
    spent = used.ru_utime + used.ru_stime
    figure(f"{what}: CPU per released row", 1000 * spent / released, "ms", bench=BENCH)
    figure(f"{what}: peak memory", used.ru_maxrss / 1024, "MB", bench=BENCH)
    files = [path for path in (folder / "home").rglob("*") if path.is_file()]
    disk = sum(path.stat().st_blocks * 512 for path in files)
    figure(f"{what}: disk", disk / 1e6, "MB", bench=BENCH)
    for step, seconds in _steps(folder / "run.log"):
        figure(f"{what}: step {step}", seconds, "s", bench=BENCH)


def _run(folder: Path) -> resource.struct_rusage:
    """Materialise everything; what the process used, the stand-ins not counted."""
    dagster = folder / "home" / "dagster"
    dagster.mkdir(parents=True, exist_ok=True)
    (dagster / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    settings = {
        "CHILLGUARD_PROFILE": str(folder / "scale.yaml"),
        "CHILLGUARD_HOME": str(folder / "home"),
        "DAGSTER_HOME": str(dagster),
        "PYTHONWARNINGS": "ignore",
    }
    with (folder / "run.log").open("w") as log:
        process = subprocess.Popen(
            [*_RUN, "--select", "not key:refresh_plan"],
            cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run failed; see {folder / 'run.log'}")
    return used


def _steps(log: Path) -> list[tuple[str, float]]:
    """Seconds of each step that took a second or more, the longest first."""
    seconds = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    found = re.findall(
        r'execution of step "(\w+)" in ([^.\n]+(?:\.\d+)?\w*)\.', log.read_text("utf-8")
    )
    parts = {
        step: sum(float(n) * seconds[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", took))
        for step, took in found
    }
    return sorted(((s, t) for s, t in parts.items() if t >= 1), key=lambda pair: -pair[1])


def main() -> None:
    """Rehearse in a temporary home, or in one to keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = ROOT.parent / "shared" / "data"
    parser.add_argument("--reviews", type=Path, default=data / "review_corpus.jsonl.gz")
    parser.add_argument("--prompts", type=Path, default=data / "cold_prompts.jsonl.gz")
    parser.add_argument("--share", type=float, default=0.01, help="share of the paper's numbers")
    parser.add_argument("--home", type=Path, help="folder to keep; else a temporary one")
    given = parser.parse_args()
    say(f"rehearsal of {given.share:g} of the paper")
    if given.home:
        rehearse(given, given.home.resolve())
    else:
        with home() as folder:
            rehearse(given, folder)


if __name__ == "__main__":
    main()
