"""Benchmark of near-duplicates: pairs against brute force and peers, then the paper's scale.

Texts are reviews with known families: a review and copies edited to a Jaccard of 0.5 to 0.95.
Contestants take turns, each in a process of its own on one core; imports are not timed, nor is
`match_text`, which has a figure of its own. A rate is a median; one JSON line per figure.
"""

import argparse
import gzip
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from harness import HERE, environment, figure, home, say

BENCH = "near_duplicates"
THRESHOLD = 0.7
PEERS = ("datasketch", "rensa", "daft")
_SCALES = (30_000, 60_000, 120_000, 240_000, 480_000)
Pairs = set[tuple[int, int]]


def shingles(text: str) -> set[str]:
    """On purpose not the product's own."""
    return {text[i : i + 3] for i in range(max(1, len(text) - 2))}


def families(corpus: Path, count: int, parts: int = 1) -> list[str]:
    """`count` texts: bases of so many parts of reviews, each with none to three edited copies."""
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        reviews = [json.loads(line)["text"] for line in lines]
    rng = random.Random(0)
    letters = "".join(rng.sample(reviews, 500))
    made: list[str] = []
    for number in range(count):
        base = (
            reviews[(number * 7919) % len(reviews)] if parts == 1 else _mixed(reviews, parts, rng)
        )
        if not 12 <= len(base) <= 200:
            continue
        made.append(base)
        made += [_edited(base, letters, rng) for _ in range(rng.randint(0, 3))]
        if len(made) >= count:
            break
    made = made[:count]
    rng.shuffle(made)
    return made


def _mixed(reviews: list[str], parts: int, rng: random.Random) -> str:
    chosen = [rng.choice(reviews) for _ in range(parts)]
    cut = [(text, rng.randrange(max(1, len(text) - 25))) for text in chosen]
    return "，".join(text[start : start + rng.randint(12, 25)] for text, start in cut)


def _edited(base: str, letters: str, rng: random.Random) -> str:
    """A copy edited, one character at a time, down to a Jaccard drawn from 0.5 to 0.95."""
    target, copy, own = rng.uniform(0.5, 0.95), list(base), shingles(base)
    while True:
        place, kind = rng.randrange(len(copy)), rng.random()
        if kind < 0.6:
            copy[place] = rng.choice(letters)
        elif kind < 0.8:
            copy.insert(place, rng.choice(letters))
        elif len(copy) > 8:
            del copy[place]
        now = shingles("".join(copy))
        if len(now & own) <= target * len(now | own):
            return "".join(copy)


def brute(texts: list[str]) -> Pairs:
    """Every pair at or above the threshold, by products of a sparse matrix of shingles."""
    import numpy as np
    from scipy import sparse

    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(gram, len(numbers)) for gram in shingles(text)] for text in texts]
    ends = np.cumsum([0, *map(len, rows)])
    columns = np.concatenate([np.array(row) for row in rows])
    shape = (len(texts), len(numbers))
    holds = sparse.csr_matrix((np.ones(len(columns), np.int32), columns, ends), shape)
    sizes, held = np.diff(ends), holds.T.tocsr()
    found: Pairs = set()
    for start in range(0, len(texts), 1000):
        common = (holds[start : start + 1000] @ held).tocoo()
        ones, others = common.row + start, common.col
        scores = common.data / (sizes[ones] + sizes[others] - common.data)
        wanted = (scores >= THRESHOLD) & (ones < others)
        found |= set(zip(ones[wanted].tolist(), others[wanted].tolist(), strict=True))
    return found


def pairs(texts: Path, target: Path) -> dict[str, Any]:
    """What the product finds in a file of texts in `match_text` form."""
    from chillguard.text import near_duplicates

    rows = json.loads(texts.read_text("utf-8"))
    config = near_duplicates.NearDuplicateConfig()
    began, used = time.perf_counter(), time.process_time()
    found = [(i, j) for i, j, _ in near_duplicates.neighbours(rows, THRESHOLD, config)]
    report = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - used}
    target.write_text(json.dumps(found))
    return report


def scale(corpus: Path, count: int) -> dict[str, Any]:
    """The product's own greedy pass over `count` rows, `match_text` included."""
    from chillguard.cleaning import survivors
    from chillguard.text import matching

    texts = families(corpus, count, parts=3)
    idle = _peak_mb()
    began, used = time.perf_counter(), time.process_time()
    rows: list[dict[str, Any]] = [
        {
            "prompt_id": f"{number:08d}",
            "family_id": f"{number:08d}",
            "origin": "rag",
            "text": text,
            "match_text": matching.match_text(text),
            "drop_reason": None,
        }
        for number, text in enumerate(texts)
    ]
    normalised = time.process_time() - used
    survivors.drop_duplicates(rows, set(), survivors.CleaningConfig())
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - used,
        "normalised": normalised,
        "dropped": sum(row["drop_reason"] is not None for row in rows),
        "peak_mb": _peak_mb(),
        "idle_mb": idle,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _run(*command: str | Path) -> dict[str, Any]:
    one = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "DAFT_ANALYTICS_ENABLED": "0"}
    core = {str(core) for core in os.sched_getaffinity(0)}
    pinned = ["taskset", "-c", min(core)]
    words = [*pinned, *map(str, command)]
    done = subprocess.run(
        words, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **one}
    )
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def race(corpus: Path, count: int, rounds: int) -> None:
    """Ours and the peers on one core, in turns, against brute force."""
    from chillguard.text import matching

    python = environment(HERE / "peers" / "near_duplicates.pins")
    script = HERE / "peers" / "near_duplicates.py"
    raw = families(corpus, count)
    began = time.process_time()
    texts = [matching.match_text(text) for text in raw]
    figure(f"{count:,} texts: match_text", time.process_time() - began, "CPU s", bench=BENCH)
    wanted = brute(texts)
    commands: dict[str, list[str | Path]] = {"ours": [sys.executable, __file__, "--role", "ours"]}
    commands |= {name: [python, script, name] for name in PEERS}
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    found: dict[str, Pairs] = {}
    with home() as folder:
        file, target = folder / "texts.json", folder / "pairs.json"
        file.write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
        for turn in range(rounds):
            for name in sorted(commands, reverse=turn % 2 == 1):
                say(f"{count:,} texts: {name}, round {turn + 1}")
                reports[name].append(_run(*commands[name], file, target))
                found[name] = {(i, j) for i, j in json.loads(target.read_text())}
    figure(f"{count:,} texts: pairs by brute force", len(wanted), "pairs", bench=BENCH)
    for name in commands:
        _tell(f"{count:,} texts, {name}", reports, name, found[name], wanted)


def _tell(
    what: str,
    reports: dict[str, list[dict[str, Any]]],
    name: str,
    found: Pairs,
    wanted: Pairs,
) -> None:
    against = None if name == "ours" else name
    for key, unit in (("seconds", "s"), ("cpu", "CPU s")):
        mine = median(report[key] for report in reports["ours"])
        value = median(report[key] for report in reports[name])
        ratio = None if name == "ours" else mine / value
        rounds = len(reports[name])
        figure(f"{what}: {unit} on one core", value, unit, against, ratio, rounds, BENCH)
    right = len(found & wanted)
    figure(f"{what}: recall", right / len(wanted), "share", "brute force", bench=BENCH)
    figure(f"{what}: precision", right / len(found), "share", "brute force", bench=BENCH)


def growth(corpus: Path, sizes: list[int]) -> None:
    """The greedy pass with `match_text` at growing sizes."""
    first: dict[str, Any] = {}
    for count in sizes:
        say(f"{count:,} texts")
        given = ["--role", "scale", "--count", str(count), "--corpus", corpus]
        report = _run(sys.executable, __file__, *given)
        first = first or {"count": count, **report}
        what = f"{count:,} texts, greedy survivors"
        ratio = report["cpu"] / count / (first["cpu"] / first["count"])
        told = f"CPU a text at {first['count']:,}"
        figure(f"{what}: wall", report["seconds"], "s", bench=BENCH)
        figure(f"{what}: CPU", report["cpu"], "CPU s", told, ratio, bench=BENCH)
        figure(f"{what}: of it match_text", report["normalised"], "CPU s", bench=BENCH)
        figure(f"{what}: dropped", report["dropped"], "rows", bench=BENCH)
        figure(f"{what}: peak memory", report["peak_mb"], "MB", bench=BENCH)
        own = report["peak_mb"] - report["idle_mb"]
        figure(f"{what}: memory above texts and imports", own, "MB", bench=BENCH)


def main() -> None:
    """Race, then growth; `--only` picks one."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "review_corpus.jsonl.gz"
    parser.add_argument("--corpus", type=Path, default=shared)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(_SCALES))
    parser.add_argument("--only", choices=["race", "growth"])
    parser.add_argument("--role", choices=["ours", "scale"])
    parser.add_argument("files", type=Path, nargs="*")
    given = parser.parse_args()
    if given.role == "ours":
        sys.stdout.write(json.dumps(pairs(*given.files)) + "\n")
        return
    if not given.corpus.exists():
        say(f"left out: there is no corpus at {given.corpus}; name one with --corpus")
        return
    if given.role == "scale":
        sys.stdout.write(json.dumps(scale(given.corpus, given.count)) + "\n")
        return
    if given.only != "growth":
        race(given.corpus, given.count, given.rounds)
    if given.only != "race":
        growth(given.corpus, given.sizes)


if __name__ == "__main__":
    main()
