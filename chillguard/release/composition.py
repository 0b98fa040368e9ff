"""What a release is made of (paper, table 6): counts by source, category and side; known gaps."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from chillguard.tables import lineage
from chillguard.tables.rows import Sample
from chillguard.taxonomy import Taxonomy

Rows = Sequence[Sample]
Line = tuple[str, str, int, int, int]
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_THIN = 20


def sources(released: Rows) -> list[Line]:
    """(split, source, safe, unsafe, all) per side and source, with totals, as in table 6.

    A public sample's source is its data set, any other's is its origin.
    """
    lines = []
    for split in lineage.SPLITS:
        own = [row for row in released if row["split"] == split]
        names = sorted({_source(row) for row in own}, key=_order)
        lines += [_line(split, name, [r for r in own if _source(r) == name]) for name in names]
        lines.append(_line(split, "all", own))
    return [*lines, _line("all", "all", released)]


def _line(split: str, name: str, rows: Rows) -> Line:
    unsafe = sum(row["label"] == "unsafe" for row in rows)
    return split, name, len(rows) - unsafe, unsafe, len(rows)


def _source(row: Sample) -> str:
    return f"public: {row['method']}" if row["origin"] == "public" else row["origin"]


def _order(name: str) -> tuple[int, str]:
    return lineage.ORIGINS.index(name.split(":")[0]), name


def categories(released: Rows, taxonomy: Taxonomy) -> list[tuple[str, str, int, int, float | None]]:
    """(code, English label, train, test, Test's share of in-house rows) per category, then safe."""
    counts = Counter((row["micro_category"] or "safe", row["split"]) for row in released)
    shares = shares_of_test(released)
    names = [(code, taxonomy.micro[code].label_en) for code in taxonomy.codes]
    return [
        (code, label, counts[code, "train"], counts[code, "test"], shares.get(code))
        for code, label in [*names, ("safe", "Safe")]
    ]


def share_of_test(released: Rows) -> float | None:
    """Test's share of all in-house rows; public rows do not count. None without any."""
    own = [row["split"] for row in released if row["origin"] != "public"]
    return own.count("test") / len(own) if own else None


def shares_of_test(released: Rows) -> dict[str, float]:
    """Test's share of in-house rows per micro category, or safe: shows how far freezing drifts."""
    rows = [row for row in released if row["origin"] != "public"]
    whole = Counter(row["micro_category"] or "safe" for row in rows)
    test = Counter(row["micro_category"] or "safe" for row in rows if row["split"] == "test")
    return {name: test[name] / count for name, count in whole.items()}


def terms(released: Rows) -> list[tuple[str, int, int]]:
    """(source, rows, rows whose text may be published)."""
    rows = Counter(_source(row) for row in released)
    free = Counter(_source(row) for row in released if row["may_redistribute"])
    return [(name, rows[name], free[name]) for name in sorted(rows, key=_order)]


def size(rows: int) -> str:
    """The hub's size category."""
    return next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")


def gaps(released: Rows, tables: Mapping[str, pa.Table], taxonomy: Taxonomy) -> list[str]:
    """What a user of the release should know is missing, one sentence each."""
    sentences = []
    lines = categories(released, taxonomy)
    empty = [code for code, _, train, test, _ in lines if not train + test]
    thin = [code for code, _, train, test, _ in lines if train + test and test < _THIN]
    if empty:
        sentences.append(f"No rows at all: {', '.join(empty)}.")
    if thin:
        sentences.append(f"Fewer than {_THIN} Test rows: {', '.join(thin)}.")
    waiting: Counter[str] = Counter()
    if "labeled_prompts" in tables:
        waiting.update(tables["labeled_prompts"]["drop_reason"].drop_null().to_pylist())
    if waiting:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(waiting.items()))
        sentences.append(f"Left out because models could not decide: {counts}.")
    if not any(row["origin"] == "real" for row in released):
        sentences.append(
            "No prompts of real users, only what was made from posts, or public samples."
        )
    sentences.append("Single user turns in Chinese; no conversations, no answers of assistants.")
    return sentences
