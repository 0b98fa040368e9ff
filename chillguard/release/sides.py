"""The release (paper section 3.3): what of the labelled prompts enters Train and Test.

Terms, the duplicate gate once more, balance, split, and the leak gate: every verified pair with
Test or a benchmark costs Train its row, and a family whose root has its like in Test all of them.
What changed since the last release is
`chillguard.release.changes`, its documents are `chillguard.release.card`.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from chillguard.cleaning import survivors
from chillguard.release import decontamination, roots, split
from chillguard.rows import removal
from chillguard.tables import lineage
from chillguard.tables.reasons import Reason, drop
from chillguard.tables.rows import Labeled, ReleaseDrop, given


@dataclass(frozen=True)
class Earlier:
    """What earlier releases say: their prompt ids, sides by family, and sides by `text_hash`."""

    released: Collection[str] = ()
    frozen: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """The tables of the release stage: `train_set`, `test_set`, `release_drops`."""

    train: pa.Table
    test: pa.Table
    drops: pa.Table


class _Placed(Labeled):
    """A labelled prompt and the side of its family."""

    split: str | None


def prepare(
    labeled: pa.Table,
    earlier: Earlier,
    config: split.SplitConfig,
    gate: survivors.CleaningConfig,
    root_texts: roots.Roots,
    taken_down: Collection[str] = (),
    benchmarks: pa.Table | None = None,
) -> Parts:
    """Split the kept labelled prompts; every one ends in exactly one of the three tables.

    A prompt made from a post of `taken_down` (marks), or shown one, enters neither side; one that
    is a near-duplicate of a row of `benchmarks` (`benchmark_prompts`) never enters Train.
    `root_texts` are those of the families of `labeled`, where known.
    """
    rows = _labelled(labeled)
    for row in rows:
        if not row["may_train"]:
            drop(row, Reason.TERMS, "may_train is false")
        elif removal.is_derived(row, taken_down):
            drop(row, *removal.OF_PROMPT)
    survivors.drop_duplicates(rows, earlier.released, gate)
    for row in split.over_cap(_kept(rows), earlier.released, config):
        drop(row, Reason.BALANCE, f"cap of {split.stratum(row)}")
    side_of = split.assign(_kept(rows), earlier.frozen, config)
    for row in rows:
        row["split"] = side_of.get(row["family_id"])
    _keep_to_sides(_kept(rows), earlier.texts)
    _close_leaks(rows, gate, root_texts, benchmarks)
    return Parts(
        lineage.TRAIN_SET.build(map(_sample, _side(rows, "train"))),
        lineage.TEST_SET.build(map(_sample, _side(rows, "test"))),
        lineage.RELEASE_DROPS.build(_left_out(row) for row in rows if row["drop_reason"]),
    )


def _keep_to_sides(rows: list[_Placed], texts: Mapping[str, str]) -> None:
    """Drop what may not be on the side of its family."""
    for row in rows:
        before = texts.get(row["text_hash"], row["split"])
        if row["origin"] == "public" and row["split"] == "test":
            drop(row, Reason.LEAK, "public row of a family in test")
        elif before != row["split"]:
            drop(row, Reason.LEAK, f"text was released in {before}")


def _close_leaks(
    rows: list[_Placed],
    gate: survivors.CleaningConfig,
    root_texts: roots.Roots,
    benchmarks: pa.Table | None,
) -> None:
    """Drop the rows of Train that have their like in Test or in a benchmark."""
    train, test = _side(rows, "train"), _side(rows, "test")
    here, there = ({row["family_id"] for row in side} for side in (train, test))
    evidence_of = {
        family: f"root is like that of family {twin}: {how}"
        for family, twin, how in roots.alike(here, there, root_texts, gate)
    }
    for row in train:
        if row["family_id"] in evidence_of:
            drop(row, Reason.LEAK, evidence_of[row["family_id"]])
    for row, twin, score in survivors.leaks(_kept(train), test, gate):
        drop(row, Reason.LEAK, f"twin={twin['prompt_id']} jaccard={score:.3f}")
    if benchmarks is not None:
        for row, benchmark, score in decontamination.overlaps(_kept(train), benchmarks, gate):
            drop(row, Reason.LEAK, decontamination.evidence(benchmark, score))


def _labelled(labeled: pa.Table) -> list[_Placed]:
    rows = lineage.LABELED_PROMPTS.rows(labeled)
    return [{**row, "split": None} for row in rows if row["drop_reason"] is None]


class _Released(Labeled):
    split: str


def _sample(row: _Placed) -> _Released:
    return {**row, "split": given(row["split"])}


def _left_out(row: _Placed) -> ReleaseDrop:
    return {
        "prompt_id": row["prompt_id"],
        "family_id": row["family_id"],
        "split": row["split"],
        "drop_reason": given(row["drop_reason"]),
        "drop_evidence": row["drop_evidence"],
    }


def both(parts: Parts) -> pa.Table:
    """All released rows in one table."""
    return pa.concat_tables([parts.train, parts.test])


def new_families(parts: Parts, frozen: Mapping[str, str]) -> pa.Table:
    """Families that got a side in this release: columns family_id, split; sorted."""
    side_of = {
        row["family_id"]: row["split"]
        for table in (parts.train, parts.test, parts.drops)
        for row in table.select(["family_id", "split"]).to_pylist()
        if row["split"] is not None
    }
    return table_of({key: side for key, side in side_of.items() if key not in frozen})


def table_of(given: Mapping[str, str]) -> pa.Table:
    """Sides by family as `state/splits` keeps them: columns family_id, split; sorted."""
    ordered = sorted(given.items())
    return pa.table(
        {"family_id": [key for key, _ in ordered], "split": [side for _, side in ordered]},
        pa.schema([("family_id", pa.string()), ("split", pa.string())]),
    )


def version(train: pa.Table, test: pa.Table) -> str:
    """Twelve hex digits over the content of both sides, whatever their file format.

    The name of a source is no content: a file under another name makes no new release.
    """
    content = hashlib.sha256()
    for table in (train, test):
        for batch in table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                if not row["parent_ids"]:
                    del row["method"]
                content.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode("utf-8"))
    return content.hexdigest()[:12]


def _kept(rows: list[_Placed]) -> list[_Placed]:
    return [row for row in rows if row["drop_reason"] is None]


def _side(rows: list[_Placed], side: str) -> list[_Placed]:
    return [row for row in _kept(rows) if row["split"] == side]
