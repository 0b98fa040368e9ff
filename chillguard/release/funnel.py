"""The funnel: for every stage, rows in = rows kept + rows dropped by reason, from sources on."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from chillguard.tables.reasons import Reason

# A stage's rows are the kept rows of these; stages absent here make their rows themselves.
_FEEDS: Mapping[str, tuple[str, ...]] = {
    "annotated_prompts": ("real_prompts",),
    "candidate_prompts": (
        "synthesized_prompts",
        "annotated_prompts",
        "rewritten_prompts",
        "public_prompts",
    ),
    "clean_prompts": ("candidate_prompts",),
    "labeled_prompts": ("clean_prompts",),
}


@dataclass(frozen=True)
class Stage:
    """One line of the funnel; `drops` counts dropped rows by reason."""

    asset: str
    rows_in: int
    kept: int
    drops: Mapping[str, int]

    @property
    def dropped(self) -> int:
        """Rows that left at this stage."""
        return sum(self.drops.values())


def stages(tables: Mapping[str, pa.Table]) -> list[Stage]:
    """The funnel of `tables` by asset key, in their order; release tables make one line."""
    counted = []
    for asset, table in tables.items():
        if "drop_reason" in table.column_names and asset != "release_drops":
            counted.append(_stage(asset, table, tables.get(f"rejected_rows/{asset}")))
        elif asset == "post_index":
            crawled = _crawled(tables)
            merged = crawled - table.num_rows
            drops: dict[str, int] = {Reason.MERGED: merged} if merged else {}
            counted.append(Stage(asset, crawled, table.num_rows, drops))
    kept = tables["train_set"].num_rows + tables["test_set"].num_rows
    drops = _drops(tables["release_drops"])
    counted.append(Stage("release", kept + sum(drops.values()), kept, drops))
    return counted


def _stage(asset: str, table: pa.Table, rejects: pa.Table | None) -> Stage:
    drops = _drops(table)
    kept = table.num_rows - sum(drops.values())
    if rejects is not None and rejects.num_rows:
        drops = {Reason.REJECTED: rejects.num_rows, **drops}
    return Stage(asset, kept + sum(drops.values()), kept, drops)


def problems(tables: Mapping[str, pa.Table]) -> list[str]:
    """Every place where rows appear from nowhere, vanish, or stand on two sides."""
    differences = []
    for asset, feeds in _FEEDS.items():
        expected = [key for feed in feeds for key in _kept_ids(tables[feed])]
        got = tables[asset]["prompt_id"].to_pylist()
        differences += _differences(asset, expected, got)
    sides = ("train_set", "test_set", "release_drops")
    ends = [key for side in sides for key in tables[side]["prompt_id"].to_pylist()]
    differences += _differences("release", _kept_ids(tables["labeled_prompts"]), ends)
    posts = {key for name in _crawls(tables) for key in _kept_posts(tables[name])}
    differences += _differences("post_index", posts, tables["post_index"]["post_id"].to_pylist())
    return differences


def _differences(asset: str, expected: Iterable[str], got: Iterable[str]) -> list[str]:
    wanted, seen = Counter(expected), Counter(got)
    lost, extra = wanted - seen, seen - wanted
    sentences = []
    if lost:
        sentences.append(f"{asset}: {lost.total()} rows vanished, first {min(lost)}")
    if extra:
        sentences.append(f"{asset}: {extra.total()} rows from nowhere or twice, first {min(extra)}")
    return sentences


def _drops(table: pa.Table) -> dict[str, int]:
    reasons = table["drop_reason"].drop_null().to_pylist()
    return dict(sorted(Counter(reasons).items()))


def _kept(table: pa.Table) -> pa.Table:
    return table.filter(pc.is_null(table["drop_reason"]))


def _kept_ids(table: pa.Table) -> list[str]:
    ids: list[str] = _kept(table)["prompt_id"].to_pylist()
    return ids


def _kept_posts(table: pa.Table) -> list[str]:
    ids: list[str] = _kept(table)["post_id"].to_pylist()
    return ids


def _crawls(tables: Mapping[str, pa.Table]) -> list[str]:
    return [name for name in tables if name.startswith("crawled_posts/")]


def _crawled(tables: Mapping[str, pa.Table]) -> int:
    return sum(_kept(tables[name]).num_rows for name in _crawls(tables))
