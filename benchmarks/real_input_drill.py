"""The stages that make prompts, on real files: rows in, kept, and dropped by reason, per stage.

Posts, real prompts and English prompts are files that you name (2,000 prompts and 20,000 posts by
default). The models are the offline stand-ins, or a real vLLM engine on CPU with tiny random models
(`--engine`; `make engine` first). A random model answers within its schema, and what it writes is
noise: nearly all of it has to be dropped with a reason, and no row may be missing. One JSON object
per stage; the exit status is 1 when a sum does not add up.
"""

import argparse
import contextlib
import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import dagster as dg
import yaml
from harness import home, machine, say

from chillguard import taxonomy
from chillguard.rewriting import rewrites
from pipelines import profile as profiles
from pipelines.definitions import build
from resources.home.tables import Tables
from resources.models.ledger import Ledger
from tests.integration.real_engine import ENVIRONMENT, JURORS, Server

SHARED = ROOT.parent / "shared" / "data"
ROLES = ("synthesizer", "rewriter", "translator", "tie_breaker", "categorizer")
STAGES = (
    *("crawled_posts/posts", "post_index", "synthesized_prompts", "real_prompts"),
    *("annotated_prompts", "rewritten_prompts", "public_prompts", "candidate_prompts"),
    "clean_prompts",
)
_QUIET = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}
MADE_BEFORE = ("taxonomy", "seed_keywords", "expanded_keywords")


def document(given: argparse.Namespace, url: str | None) -> dict[str, Any]:
    """The profile: offline with these files; with `url`, all but the expander ask the engine."""
    labeled = {"text": "text", "label": "label"}
    found: dict[str, Any] = {
        "extends": "offline",
        "posts": [{"name": "posts", "path": str(given.posts), "limit": given.n_posts}],
        "real_prompts": [
            {"name": "real", "path": str(given.prompts), "columns": labeled, "limit": given.n}
        ],
        "public_prompts": [{"name": "english", "path": str(given.english), "columns": labeled}],
        "settings": {
            "synthesis": {"queries_per_category": given.queries, "twin_queries": given.twins},
            "rewriting": {"rewrites_per_prompt": given.rewrites},
        },
    }
    if url:
        # A random model ends a string after 150 tokens or so: short bounds, and no second try.
        bound = {"model": JURORS[0], "url": url, "concurrency": 64, "timeout_s": 600.0}
        bound["salvage"] = 0
        found["roles"] = {role: bound for role in ROLES}
        found["jurors"] = [{**bound, "model": name} for name in JURORS[:1]]
        found["translator"] = {"kind": "role"}
        found["settings"]["labeling"] = {"quorum": 1}
        for stage, most in (("synthesis", 320), ("rewriting", 72), ("translation", 72)):
            sampling = {"temperature": 0.7, "max_tokens": most}
            found["settings"].setdefault(stage, {})["sampling"] = sampling
    return found


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[str]:
    """A real engine with tiny models made here; yields its URL."""
    place = Path(os.environ.get("CHILLGUARD_ENGINE", "engine environment"))
    if not (place / "ready").exists():
        raise SystemExit(f"there is no engine at {place}: run `make engine`, set CHILLGUARD_ENGINE")
    script = ROOT / "tests" / "integration" / "tiny_models.py"
    command = [place / "bin" / "python", script, folder / "models", "0"]
    say("making tiny models")
    subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=True, stdout=sys.stderr)
    # The categorizer's prompt names all categories.
    server = Server(place / "bin/vllm", folder / "models", folder / "engine.log", max_tokens=16384)
    say("starting the engine")
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def run(profile: profiles.Profile, folder: Path) -> None:
    """Make the tables up to `clean_prompts`."""
    job = build(profile, folder).resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(key.split("/")) for key in (*MADE_BEFORE, *STAGES)]
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance, asset_selection=keys, run_config=_QUIET)


def report(profile: profiles.Profile, folder: Path) -> list[dict[str, Any]]:
    """Per stage the rows that came in, were kept and were dropped, and whether that adds up."""
    source = Tables(folder=str(folder / "tables"))
    tables = {name: source.read(*name.split("/")) for name in STAGES}
    rows = {name: table.to_pylist() for name, table in tables.items() if table is not None}
    expected = _expected(profile, rows, source)
    ledger = Ledger(url=f"sqlite:///{folder / 'ledger.db'}")
    found = []
    for name, of_stage in rows.items():
        drops = Counter(row["drop_reason"] for row in of_stage if row.get("drop_reason"))
        kept = len(of_stage) - drops.total()
        found.append(
            {
                "stage": name,
                "in": expected[name],
                "kept": kept,
                "dropped": dict(drops.most_common()),
                "adds_up": expected[name] == kept + drops.total(),
                "calls": ledger.spent(asset=name).calls,
                "evidence": _evidence(of_stage),
            }
        )
    return found


def _expected(
    profile: profiles.Profile, rows: dict[str, list[dict[str, Any]]], source: Tables
) -> dict[str, int]:
    """Rows that must stand in each table, counted at the stage before it."""
    table = source.read("taxonomy")
    assert table is not None
    known, settings = taxonomy.from_rows(table), profile.settings
    kept = {
        name: sum(row.get("drop_reason") is None for row in of_stage)
        for name, of_stage in rows.items()
    }
    drawn = [rewrites.draw(row, known, settings.rewriting) for row in rows["annotated_prompts"]]
    queries = settings.synthesis.queries_per_category
    queries += min(queries, settings.synthesis.twin_queries)
    origins = ("synthesized_prompts", "annotated_prompts", "rewritten_prompts", "public_prompts")
    lines = {
        name: _lines(configs[0].path, configs[0].limit) - _rejected(source, name)
        for name, configs in (
            ("crawled_posts/posts", profile.crawled),
            ("real_prompts", profile.real_prompts),
            ("public_prompts", profile.public_prompts),
        )
    }
    return {
        **lines,
        "post_index": kept["crawled_posts/posts"],
        "synthesized_prompts": len(known.codes) * queries * settings.synthesis.prompts_per_query,
        "annotated_prompts": kept["real_prompts"],
        "rewritten_prompts": sum(map(len, drawn)),
        "candidate_prompts": sum(kept[name] for name in origins),
        "clean_prompts": kept["candidate_prompts"],
    }


def _lines(path: Path, limit: int | None) -> int:
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    count = sum(1 for line in text.split(b"\n") if line.strip())
    return min(count, limit or count)


def _rejected(source: Tables, name: str) -> int:
    table = source.read("rejected_rows", *name.split("/"))
    return table.num_rows if table is not None else 0


def _evidence(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Why rows were quarantined: the commonest reasons."""
    told = (row["drop_evidence"] for row in rows if row.get("drop_reason") == "quarantined")
    return dict(Counter(told).most_common(4))


def main() -> None:
    """Run one drill and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, default=SHARED / "cold_prompts.jsonl.gz")
    parser.add_argument("--posts", type=Path, default=SHARED / "review_corpus.jsonl.gz")
    parser.add_argument("--english", type=Path, default=SHARED / "xstest_en.jsonl")
    parser.add_argument("-n", type=int, default=2000, help="real prompts")
    parser.add_argument("--n-posts", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=4, help="queries per category")
    parser.add_argument("--twins", type=int, default=1, help="of them asked for benign twins too")
    parser.add_argument("--rewrites", type=int, default=3, help="rewrites per real prompt")
    parser.add_argument("--engine", action="store_true", help="start a real engine and ask it")
    parser.add_argument("--url", help="ask a real engine that runs already (its base URL, /v1)")
    given = parser.parse_args()
    with home() as folder:
        began = time.perf_counter()
        with engine(folder) if given.engine else contextlib.nullcontext(given.url) as url:
            file = folder / "real_input.yaml"
            file.write_text(yaml.safe_dump(document(given, url)), "utf-8")
            profile = profiles.load(str(file))
            run(profile, folder / "home")
        found = report(profile, folder / "home")
        seconds = round(time.perf_counter() - began)
    for line in found:
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    outcomes = {"with": "engine" if url else "stand-ins", "seconds": seconds}
    sys.stdout.write(json.dumps(outcomes | {"machine": machine()}) + "\n")
    sys.exit(0 if all(line["adds_up"] for line in found) else 1)


if __name__ == "__main__":
    main()
