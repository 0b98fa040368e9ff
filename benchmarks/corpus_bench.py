"""Benchmark of the post index at the paper's scale: 480,000 posts, 11,904 queries, Top-100.

Posts are made from a corpus of texts by recombination and embedded by the hashed twin at 1,024
numbers. Ours is `Retrieval` over the embedded store; the bare engine is `qdrant_edge` called
directly on the same texts, embedding included, and without payload. Both are asked the first
`--shared` queries, ours again after growing; the rest of `--queries` is asked of ours alone. Each
is a process of its own; one JSON line per figure.
"""

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

import numpy as np
from harness import figure, home, say

_CHUNK = 2048
_DIMENSION = 1024
_TOP = 100
_DRAWN = 5
_CHECKED = 200
BENCH = "corpus"


class Clock:
    """Seconds since it was made, and of processor time, which other jobs change less."""

    def __init__(self) -> None:
        self._s, self._cpu_s = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Take both."""
        self.s = time.perf_counter() - self._s
        self.cpu_s = time.process_time() - self._cpu_s


def texts(corpus: Path, count: int, start: int = 0) -> list[str]:
    """`count` texts, each two parts of two texts of the corpus; the same for the same numbers."""
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        base = [json.loads(line)["text"][:200] for line in lines]
    made = []
    for number in range(start, start + count):
        rng = random.Random(number)
        one, other = rng.choice(base), rng.choice(base)
        made.append(f"{one[: rng.randint(10, 80)]}，{other[-rng.randint(10, 80) :]} {number}")
    return made


def queries(corpus: Path, count: int) -> list[str]:
    """`count` short texts in the manner of queries."""
    return [text[:24] for text in texts(corpus, count, start=10_000_000)]


def ours(folder: Path, corpus: Path, posts: int, asked: int, shared: int) -> dict[str, Any]:
    """Index, ask, add one post in a hundred, index and ask again, through the product."""
    import pyarrow as pa

    from chillguard import crawl, embedding, identity
    from resources.vectors.edge_store import EdgeStore
    from resources.vectors.hashed import HashedEmbedder
    from resources.vectors.retrieval import Retrieval

    embedder = HashedEmbedder(dimension=_DIMENSION)
    retrieval = Retrieval(embedder=embedder, vector_store=EdgeStore(folder=str(folder / "index")))
    empty = pa.table({"keyword_id": [], "zh": [], "en": []})
    terms = {"may_redistribute": True, "may_train": True}

    def crawled(count: int, start: int = 0) -> pa.Table:
        records = ({"text": text, "lang": "zh"} for text in texts(corpus, count, start))
        return crawl.posts(records, "bench", empty, terms, crawl.CrawlConfig())

    def manifest(*tables: pa.Table) -> pa.Table:
        return embedding.manifest(tables, embedder.identity, _DIMENSION)

    def drawn(found: list[list[str]]) -> list[set[str]]:
        return [set(identity.rendezvous(str(i), ids, _DRAWN)) for i, ids in enumerate(found)]

    wanted = queries(corpus, asked)
    old, new = crawled(posts), crawled(posts // 100, start=posts)
    before, after = manifest(old), manifest(old, new)
    del old, new
    build = Clock()
    retrieval.index(before, say)
    build.stop()
    began = time.perf_counter()
    first = retrieval.nearest(wanted[:shared], _TOP, embedding.PostFilter(), before, say)
    searched = time.perf_counter() - began
    began = time.perf_counter()
    retrieval.nearest(wanted[shared:], _TOP, embedding.PostFilter(), before, say)
    alone = time.perf_counter() - began
    grow = Clock()
    added, _ = retrieval.index(after, say)
    grow.stop()
    second = retrieval.nearest(wanted[:shared], _TOP, embedding.PostFilter(), after, say)
    changed = sum(one != two for one, two in zip(drawn(first), drawn(second), strict=True))
    ids = before["post_id"].to_pylist()
    exact = _exact(embedder, dict(zip(ids, before["text"].to_pylist(), strict=True)), wanted)
    hits = sum(len(found & set(ids)) for found, ids in zip(exact, first, strict=False))
    return {
        "posts": len(ids),
        "build_s": build.s,
        "build_cpu_s": build.cpu_s,
        "search_s": searched,
        "alone_s": alone,
        "added": added,
        "grow_s": grow.s,
        "grow_cpu_s": grow.cpu_s,
        "recall": hits / (_TOP * len(exact)),
        "changed": changed / len(first),
    }


def _exact(embedder: Any, posts: dict[str, str], wanted: list[str]) -> list[set[str]]:
    """The nearest posts of the first queries, by numpy over all vectors."""
    asked = embedder.embed(wanted[:_CHECKED]).dense
    ids = sorted(posts)
    parts = [
        embedder.embed([posts[key] for key in ids[i : i + _CHUNK]]).dense @ asked.T
        for i in range(0, len(ids), _CHUNK)
    ]
    scores = np.concatenate(parts)
    best = np.argpartition(-scores, _TOP, axis=0)[:_TOP].T
    return [{ids[i] for i in row} for row in best]


def bare(folder: Path, corpus: Path, posts: int, asked: int, shared: int) -> dict[str, Any]:
    """The same index and the shared queries by calls to the engine alone."""
    import uuid

    import qdrant_edge as edge

    from resources.vectors.hashed import HashedEmbedder

    embedder = HashedEmbedder(dimension=_DIMENSION)
    made, wanted = texts(corpus, posts), queries(corpus, asked)[:shared]
    config = edge.EdgeConfig(edge.EdgeVectorParams(_DIMENSION, edge.Distance.Cosine))
    shard = edge.EdgeShard.create(str(folder / "bare"), config)
    made.sort(key=len)
    build = Clock()
    for start in range(0, posts, _CHUNK):
        vectors = embedder.embed(made[start : start + _CHUNK]).dense
        points = [
            edge.Point(str(uuid.UUID(int=start + i)), vector, {})
            for i, vector in enumerate(vectors)
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    build.stop()
    began = time.perf_counter()
    params = edge.SearchParams(exact=True)
    for part in _parts(embedder.embed(wanted).dense, 32):
        asks = [
            edge.QueryRequest(limit=_TOP, query=edge.Query.Nearest(v.tolist()), params=params)
            for v in part
        ]
        shard.query_batch(edge.QueryBatchRequest(asks))
    searched = time.perf_counter() - began
    shard.close()
    return {"build_s": build.s, "build_cpu_s": build.cpu_s, "search_s": searched}


def _parts(rows: Any, size: int) -> Iterator[Any]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def main() -> None:
    """Run both in processes of their own and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "review_corpus.jsonl.gz"
    parser.add_argument("--corpus", type=Path, default=shared)
    parser.add_argument("--posts", type=int, default=480_000)
    parser.add_argument("--queries", type=int, default=11_904)
    parser.add_argument("--shared", type=int, default=2_976)
    parser.add_argument("--role", choices=["ours", "bare"])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if not given.corpus.exists():
        say(f"left out: there is no corpus at {given.corpus}; name one with --corpus")
        return
    if given.role:
        do = ours if given.role == "ours" else bare
        report = do(given.folder, given.corpus, given.posts, given.queries, given.shared)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(json.dumps(report | {"peak_mb": peak}) + "\n")
        return
    reports = {role: _child(role, given) for role in ("bare", "ours")}
    _tell(reports["ours"], reports["bare"], given.queries, min(given.shared, given.queries))


def _child(role: str, given: argparse.Namespace) -> dict[str, Any]:
    say(f"corpus: {role}")
    with home() as folder:
        command = [sys.executable, __file__, "--role", role, "--folder", str(folder)]
        command += ["--corpus", str(given.corpus), "--posts", str(given.posts)]
        command += ["--queries", str(given.queries), "--shared", str(given.shared)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _tell(us: dict[str, Any], them: dict[str, Any], asked: int, shared: int) -> None:
    posts, engine = us["posts"], "bare qdrant_edge"

    def tell(
        metric: str, value: float, unit: str, against: str | None = None, ratio: float | None = None
    ) -> None:
        figure(f"{posts:,} posts: {metric}", value, unit, against, ratio, bench=BENCH)

    tell("index built", us["build_s"], "s", engine, us["build_s"] / them["build_s"])
    cpu = us["build_cpu_s"]
    tell("index built, processor time", cpu, "s", engine, cpu / them["build_cpu_s"])
    tell("index rate, embedding included", posts / us["build_s"], "posts/s")
    tell(f"{shared:,} queries", us["search_s"], "s", engine, us["search_s"] / them["search_s"])
    whole = (us["build_s"] + us["search_s"]) / (them["build_s"] + them["search_s"])
    both = us["build_s"] + us["search_s"]
    tell(f"index and {shared:,} queries", both, "s", engine, whole)
    tell("query rate, Top-100", asked / (us["search_s"] + us["alone_s"]), "queries/s")
    tell(f"index and {asked:,} queries", both + us["alone_s"], "s")
    tell("peak memory", us["peak_mb"], "MB", engine, us["peak_mb"] / them["peak_mb"])
    tell("recall@100", us["recall"], "share", f"numpy, {_CHECKED} queries", us["recall"])
    share = us["grow_s"] / us["build_s"]
    tell(f"{us['added']:,} posts added", us["grow_s"], "s", "index built", share)
    share = us["grow_cpu_s"] / cpu
    tell(f"{us['added']:,} posts added, processor time", us["grow_cpu_s"], "s", "index", share)
    tell("draws changed by 1 % new posts", us["changed"], "share")


if __name__ == "__main__":
    main()
