"""Benchmark of rewriting end to end: sources in, table out, over an endpoint that answers at once.

Draws methods, renders, asks over HTTP with the ledger on, parses, guards, builds the sorted table.
Each size is a process of its own; one JSON line per figure.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from harness import Server, figure, home, say

_PROMPT = "请问周末NUMBER个人去公园野餐需要提前准备些什么东西，有没有适合一家人的安排？"
_ANSWER = json.dumps({"prompts": [{"method": 1, "prompt": _PROMPT}]}, ensure_ascii=False)
_TOPICS = ("旅行计划", "读书笔记", "做饭步骤", "种花经验", "跑步训练", "学习安排", "手工制作")
BENCH = "rewriting"


def sources(count: int) -> Any:
    """An `annotated_prompts` table of mild questions, every other one in place of an unsafe one."""
    from chillguard.tables import lineage

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(count):
            text = f"第{number}位朋友想聊聊{_TOPICS[number % len(_TOPICS)]}，从哪里开始比较合适？"
            yield {
                "prompt_id": f"{number:032x}",
                "family_id": f"{number:032x}",
                "origin": "real",
                "method": "bench",
                "parent_ids": [],
                "context_post_ids": [],
                "text": text,
                "text_hash": f"{number:032x}",
                "lang": "zh",
                "intended_label": "unsafe" if number % 2 else "safe",
                "intended_category": "D1" if number % 2 else None,
                "is_twin": False,
                "may_redistribute": True,
                "may_train": True,
            }

    return lineage.ANNOTATED_PROMPTS.build(rows())


def job(url: str, count: int, folder: Path) -> dict[str, Any]:
    """Rewrite `count` sources; what it took."""
    from chillguard import taxonomy
    from chillguard.rewriting import rewrites
    from chillguard.rows import guards
    from chillguard.tables import lineage
    from resources.home.collected import collected
    from resources.models.ledger import Ledger
    from resources.models.llm import Asker, LanguageModels
    from resources.models.progress import Progress
    from resources.models.roles import ModelRole

    role = ModelRole(
        role="rewriter", model="bench", urls=[url], concurrency=128, structured="response_format"
    )
    models = LanguageModels(roles=[role], ledger=Ledger(url=f"sqlite:///{folder / 'ledger.db'}"))
    ask = Asker(models, "rewritten_prompts", "bench", Progress("rewritten_prompts", say))
    table = sources(count)
    known = taxonomy.parse(taxonomy.packaged("taxonomy.yaml"), "packaged")
    idle = _peak_mb()
    began = time.perf_counter()
    rows = rewrites.rewrite(table, known, rewrites.RewritingConfig(), guards.GuardConfig(), ask)
    made = collected(lineage.REWRITTEN_PROMPTS, rows)
    seconds = time.perf_counter() - began
    arrow_mb = (table.nbytes + made.nbytes) / 1e6
    return {
        "rows": made.num_rows,
        "calls": ask.usage.paid,
        "seconds": seconds,
        "cpu": time.process_time(),
        "idle_mb": idle,
        "peak_mb": _peak_mb(),
        "arrow_mb": arrow_mb,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run both sizes in processes of their own and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=[10_000, 100_000])
    parser.add_argument("--url")
    parser.add_argument("--count", type=int)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.url:
        sys.stdout.write(json.dumps(job(given.url, given.count, given.folder)) + "\n")
        return
    reports = {}
    with Server(0, content=_ANSWER) as server:
        for size in given.sizes:
            with home() as folder:
                command = [sys.executable, __file__, "--url", server.url, "--count", str(size)]
                command += ["--folder", str(folder)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            reports[size] = json.loads(done.stdout.splitlines()[-1])
    _tell(reports, *given.sizes)


def _tell(reports: dict[int, dict[str, Any]], few: int, many: int) -> None:
    for size, report in reports.items():
        what = f"{size:,} sources"
        rate = report["calls"] / report["seconds"]
        figure(f"{what}: rewrite requests", rate, "requests/s", bench=BENCH)
        figure(f"{what}: rows made", report["rows"] / report["seconds"], "rows/s", bench=BENCH)
        figure(f"{what}: CPU", 1000 * report["cpu"] / report["calls"], "ms/call", bench=BENCH)
        figure(f"{what}: tables in and out", report["arrow_mb"], "MB", bench=BENCH)
        own = report["peak_mb"] - report["idle_mb"]
        figure(f"{what}: memory above sources and imports", own, "MB", bench=BENCH)
    ratio = reports[many]["peak_mb"] / reports[few]["peak_mb"]
    figure(
        f"{many:,} sources: peak memory",
        reports[many]["peak_mb"],
        "MB",
        f"{few:,} sources",
        ratio,
        bench=BENCH,
    )


if __name__ == "__main__":
    main()
