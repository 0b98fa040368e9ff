"""What must hold of every release, and the bounds a profile sets: each breach one sentence.

Written against the finished tables, not against the code that made them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard.cleaning import survivors
from chillguard.release import decontamination, roots
from chillguard.tables import lineage, rows
from chillguard.tables.reasons import Reason
from chillguard.text import matching, personal_data

# Of fewer prompts a share says little.
_ENOUGH_VOTES = 50


class Bounds(BaseModel):
    """Bounds of the coverage, balance and agreement checks; None = not checked.

    Coverage counts unsafe rows per micro category over both sides; `max_leak_share` only warns.
    `max_abstentions` is the share of prompts without a vote of a juror.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_per_category: int | None = Field(100, ge=0)
    min_safe_share: float | None = Field(0.2, ge=0, le=1)
    max_safe_share: float | None = Field(0.8, ge=0, le=1)
    min_agreement: float | None = Field(0.7, ge=0, le=1)
    max_leak_share: float = Field(0.02, ge=0, le=1)
    max_abstentions: float | None = Field(0.9, ge=0, le=1)


def leaks(
    train: pa.Table,
    test: pa.Table,
    config: survivors.CleaningConfig,
    root_texts: roots.Roots | None = None,
) -> list[str]:
    """Texts, families, parents, roots and near-duplicates that stand on both sides, by their pairs.

    `root_texts` are those of the families of both sides, where known.
    """
    problems = []
    for what, of in _SAME.items():
        here, there = ({of(row): row["prompt_id"] for row in _rows(side)} for side in (train, test))
        problems += [
            f"{what} of Train row {here[value]} and Test row {there[value]}"
            for value in sorted(here.keys() & there.keys())
        ]
    problems += _descent(_rows(train), _rows(test))
    of_train, of_test = (set(side["family_id"].to_pylist()) for side in (train, test))
    problems += [
        f"{how}: roots of Train family {family} and Test family {twin}"
        for family, twin, how in roots.alike(of_train, of_test, root_texts or {}, config)
    ]
    for row, twin, score in survivors.leaks(_rows(train), _rows(test), config):
        pair = f"Train row {row['prompt_id']} and Test row {twin['prompt_id']}"
        problems.append(f"Jaccard {score:.3f} of {pair}")
    return problems


def contaminated(
    train: pa.Table, benchmarks: pa.Table, config: survivors.CleaningConfig
) -> list[str]:
    """Rows of Train that a benchmark holds, or a near-duplicate of them."""
    return [
        f"Jaccard {score:.3f} of Train row {row['prompt_id']} and row {benchmark['prompt_id']} of "
        f"benchmark {benchmark['benchmark']}"
        for row, benchmark, score in decontamination.overlaps(_rows(train), benchmarks, config)
    ]


def _descent(train: Sequence[rows.Sample], test: Sequence[rows.Sample]) -> list[str]:
    """Rows made from one of the other side, or from the same parent, whatever their `family_id`."""
    problems = []
    ids, parents = {row["prompt_id"] for row in train}, _by_parent(train)
    for row in test:
        problems += [
            f"parent of Test row {row['prompt_id']} is Train row {parent}"
            for parent in row["parent_ids"]
            if parent in ids
        ]
        if row["prompt_id"] in parents:
            child = parents[row["prompt_id"]]
            problems.append(f"parent of Train row {child} is Test row {row['prompt_id']}")
    there = _by_parent(test)
    return problems + [
        f"same parent of Train row {parents[parent]} and Test row {there[parent]}"
        for parent in sorted(parents.keys() & there.keys())
    ]


def _by_parent(side: Sequence[rows.Sample]) -> dict[str, str]:
    return {parent: row["prompt_id"] for row in side for parent in row["parent_ids"]}


_SAME: dict[str, Callable[[rows.Sample], str]] = {
    "same text": lambda row: rows.given(row["text"]),
    "same match_text": lambda row: matching.match_text(rows.given(row["text"])),
    "same family": lambda row: row["family_id"],
}


def personal(tables: Iterable[pa.Table]) -> list[str]:
    """Rows in which a second pass, or a look with other eyes, still finds personal data.

    In whatever column holds text.
    """
    texts = [column.name for column in lineage.TRAIN_SET.where("holds_text")]
    return [
        f"row {row['prompt_id']} still holds {' and '.join(kinds)}"
        for table in tables
        for row in _rows(table)
        if (kinds := [kind for text in _texts(row, texts) for kind in _personal_kinds(text)])
    ]


def _texts(row: Mapping[str, object], names: Iterable[str]) -> list[str]:
    return [text for name in names if isinstance(text := row[name], str)]


def _personal_kinds(text: str) -> list[str]:
    """Kinds of personal data in a text that should have none, sorted."""
    clean = personal_data.replace(text)
    seen = {mark for mark in personal_data.PLACEHOLDERS if clean.count(mark) > text.count(mark)}
    return sorted({*seen, *personal_data.overlooked(text)})


def moved(
    train: pa.Table, test: pa.Table, frozen: Mapping[str, str], texts: Mapping[str, str]
) -> list[str]:
    """Families and texts on another side than the one they were released on; public rows in Test.

    `texts` are sides by `text_hash`: so it is seen also where a family got another id.
    """
    problems = []
    for side, table in zip(lineage.SPLITS, (train, test), strict=True):
        for row in _rows(table):
            given = "train" if row["origin"] == "public" else frozen.get(row["family_id"], side)
            if given != side:
                problems.append(
                    f"row {row['prompt_id']} is in {side}, its family belongs to {given}"
                )
            elif (before := texts.get(row["text_hash"], side)) != side:
                problems.append(
                    f"row {row['prompt_id']} is in {side}, its text was released in {before}"
                )
    return problems


def barred(tables: Iterable[pa.Table]) -> list[str]:
    """Rows whose terms bar training."""
    released = (row for table in tables for row in _rows(table))
    return [f"row {row['prompt_id']}" for row in released if not row["may_train"]]


def abstaining(votes: pa.Table, bounds: Bounds) -> list[str]:
    """What is wrong with a juror that nearly always abstains: its labels would be another's."""
    reasons = Counter(row["reason"] for row in votes.to_pylist() if row["verdict"] == "abstain")
    count, most = reasons.total(), bounds.max_abstentions
    if most is None or votes.num_rows < _ENOUGH_VOTES or count <= most * votes.num_rows:
        return []
    [(reason, _)] = reasons.most_common(1)
    juror = votes.column("juror")[0].as_py()
    return [
        f"{juror} abstains on {count:,} of {votes.num_rows:,} prompts, mostly for {reason!r}; mend "
        "its role, or take it off the jury"
    ]


def uncovered(tables: Iterable[pa.Table], codes: Sequence[str], bounds: Bounds) -> list[str]:
    """Micro categories with fewer rows than the bound."""
    counts = Counter(row["micro_category"] for table in tables for row in _rows(table))
    least = bounds.min_per_category or 0
    return [f"{code} has {counts[code]} rows of {least}" for code in codes if counts[code] < least]


def unbalanced(tables: Iterable[pa.Table], bounds: Bounds) -> list[str]:
    """The share of safe rows, if it is out of bounds."""
    labels = [row["label"] for table in tables for row in _rows(table)]
    share = labels.count("safe") / max(1, len(labels))
    low, high = bounds.min_safe_share, bounds.max_safe_share
    out = (low is not None and share < low) or (high is not None and share > high)
    return [f"{share:.1%} of rows are safe, bounds are {low} to {high}"] if out else []


def disagreeing(tables: Iterable[pa.Table], bounds: Bounds) -> list[str]:
    """The mean agreement of the jury, if it is below the bound."""
    shares = [row["agreement"] for table in tables for row in _rows(table)]
    valid = [share for share in shares if share is not None]
    mean = sum(valid) / max(1, len(valid))
    low = bounds.min_agreement
    return [f"mean agreement is {mean:.3f}, bound is {low}"] if low and mean < low else []


def leak_share(train: pa.Table, drops: pa.Table) -> float:
    """Share of Train that leak pairs cost."""
    gone = int(drops["drop_reason"].to_pylist().count(Reason.LEAK))
    return float(gone / max(1, train.num_rows + gone))


def _rows(table: pa.Table) -> list[rows.Sample]:
    return lineage.TRAIN_SET.rows(table)
