"""Sides drill: a lineage over prompts with planted copies; no root text may be on both sides.

`DATA` names a file of JSON lines (`.gz` or not) with `text` and maybe `label`; without it, rows are
generated. Copies are planted in seven ways. In five of them the compared form is the same, and they
must be one family. What is in pinyin or homophones reads the same, and is counted apart. The
release is looked at by `tests/integration/independent.py`, which imports nothing of the project.
"""

import argparse
import gzip
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import dagster as dg
import opencc
import pypinyin
import yaml
from harness import home, machine, say

from pipelines import profile as profiles
from pipelines.definitions import build
from tests.chillguard.builders import mixed
from tests.integration import independent

SEED = 20261126
_TRADITIONAL = opencc.OpenCC("s2t")
_OPEN = ("min_per_category", "min_safe_share", "max_safe_share", "min_agreement")
_LEFT_OUT = ("refresh_plan", "iteration_")
Spell = Callable[[str, random.Random], str]


def rows_of(data: Path | None, count: int) -> list[dict[str, Any]]:
    """So many rows with different texts, of the file or generated."""
    if data is None:
        return [{"text": mixed(number), "label": "safe"} for number in range(count)]
    raw = data.read_bytes()
    lines = (gzip.decompress(raw) if data.suffix == ".gz" else raw).decode("utf-8").splitlines()
    read = [json.loads(line) for line in lines if line.strip()]
    random.Random(SEED).shuffle(read)
    return [{"text": row["text"], "label": row.get("label")} for row in read[:count]]


def _between(mark: str) -> Spell:
    def spell(text: str, rng: random.Random) -> str:
        return "".join(c + (mark if rng.random() < 0.3 else "") for c in text) + mark

    return spell


def _traditional(text: str, rng: random.Random) -> str:
    return str(_TRADITIONAL.convert(text))


def _some(text: str, rng: random.Random, other: Callable[[str], str]) -> str:
    return "".join(other(c) if rng.random() < 0.3 else c for c in text)


def _in_pinyin(text: str, rng: random.Random) -> str:
    return _some(text, rng, lambda c: "".join(pypinyin.lazy_pinyin(c)))


def _homophones(texts: list[str]) -> Spell:
    readings: dict[str, set[str]] = defaultdict(set)
    for character in set("".join(texts)):
        readings["".join(pypinyin.lazy_pinyin(character))].add(character)

    def spell(text: str, rng: random.Random) -> str:
        def other(character: str) -> str:
            alike = readings["".join(pypinyin.lazy_pinyin(character))] - {character}
            return rng.choice(sorted(alike)) if alike else character

        return _some(text, rng, other)

    return spell


def planted(rows: list[dict[str, Any]], count: int) -> dict[str, list[tuple[str, str]]]:
    """By kind the pairs (text, copy) of `count` planted copies."""
    rng = random.Random(SEED)
    kinds: dict[str, Spell] = {
        "zero_width": _between("\u200b"),
        "emoji": _between("😀"),
        "script": _traditional,
        "spaces": _between(" "),
        "punctuation": _between("·"),
        "pinyin": _in_pinyin,
        "homophones": _homophones([row["text"] for row in rows]),
    }
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in kinds}
    names = list(kinds)
    for number, row in enumerate(rng.sample(rows, len(rows))):
        kind = names[number % len(names)]
        copy = kinds[kind](row["text"], rng)
        if copy != row["text"]:
            found[kind].append((row["text"], copy))
        if sum(map(len, found.values())) == count:
            break
    return found


def run(folder: Path, rows: list[dict[str, Any]], posts: list[dict[str, Any]]) -> None:
    """Make everything up to the release."""
    for name, of_file in (("real", rows), ("posts", posts)):
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in of_file]
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    real = {"name": "real", "path": str(folder / "real.jsonl")}
    document = {
        "extends": "offline",
        "posts": [{"name": "posts", "path": str(folder / "posts.jsonl")}],
        "real_prompts": [{**real, "columns": {"text": "text", "label": "label"}}],
        "settings": {
            "synthesis": {"queries_per_category": 8, "twin_queries": 1},
            "bounds": dict.fromkeys(_OPEN),
        },
        "anchors": None,
    }
    file = folder / "sides.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    job = build(profiles.load(str(file)), folder / "home").resolve_implicit_global_asset_job_def()
    keys = [
        key
        for key in job.asset_layer.executable_asset_keys
        if not key.path[0].startswith(_LEFT_OUT)
    ]
    with dg.DagsterInstance.ephemeral() as instance:
        quiet = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
        job.execute_in_process(instance=instance, asset_selection=keys, run_config=quiet)


def report(folder: Path, pairs: dict[str, list[tuple[str, str]]]) -> dict[str, Any]:
    """What became of the planted copies and which root texts are on both sides."""
    place = folder / "home"
    real = independent.rows(place, "real_prompts")
    gone = {row["text"] for row in real if row["drop_reason"] == "duplicate"}
    roots = independent.root_sides(place)
    torn = independent.both(roots)

    def sides_of(text: str) -> set[str]:
        return roots["plain"].get(independent.plain(text), set())

    apart = {
        kind: sum(len(sides_of(text) | sides_of(copy)) > 1 for text, copy in of)
        for kind, of in pairs.items()
    }
    drops = Counter(row["drop_reason"] for row in independent.rows(place, "release_drops"))
    sides = [len(side) for side in independent.sides(independent.newest(place))]
    return {
        "real_prompts": len(real),
        "train": sides[0],
        "test": sides[1],
        "planted": {kind: len(of) for kind, of in pairs.items()},
        "dropped_before_rewriting": {
            kind: sum(not gone.isdisjoint({text.strip(), copy.strip()}) for text, copy in of)
            for kind, of in pairs.items()
        },
        "release_drops": dict(drops),
        "root_texts": len(roots["plain"]),
        "root_texts_on_both_sides": len(torn["plain"]),
        "roots_read_alike_on_both_sides": len(torn["read"]),
        "pairs_on_both_sides": apart,
    }


def main() -> None:
    """Run the drill and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--posts", type=Path, help="a file of posts like that of prompts")
    parser.add_argument("-n", type=int, help="prompts (6,000 of a file, 300 generated)")
    parser.add_argument("--copies", type=int, help="planted copies (300, or 60)")
    parser.add_argument("--n-posts", type=int, default=3000)
    given = parser.parse_args()
    count, copies = (6000, 300) if given.data else (300, 60)
    rows = rows_of(given.data, given.n or count)
    pairs = planted(rows, given.copies or copies)
    label = {row["text"]: row["label"] for row in rows}
    both = rows + [{"text": b, "label": label[a]} for of in pairs.values() for a, b in of]
    random.Random(SEED).shuffle(both)
    posts = (
        rows_of(given.posts, given.n_posts)
        if given.posts
        else [{"text": mixed(f"post {number}")} for number in range(given.n_posts)]
    )
    with home() as folder:
        began = time.perf_counter()
        say(f"{len(both)} prompts, {len(posts)} posts")
        run(folder, both, posts)
        found = report(folder, pairs)
    found |= {"seconds": round(time.perf_counter() - began), "machine": machine()}
    sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    sys.exit(0 if found["root_texts_on_both_sides"] == 0 else 1)


if __name__ == "__main__":
    main()
