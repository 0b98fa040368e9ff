"""Tables of training: what the iterations of co-training make, beside the data lineage's tables.

Asset keys are `iteration_<number>/<table>`, with a classifier's size behind it where it is not the
one that drives the loop.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

import pyarrow as pa

from chillguard.tables import lineage, rows
from chillguard.tables.columns import BIRTH, DROP, MATCH, VERDICT
from chillguard.tables.table import Column, Table

_TEXT, _WHOLE = pa.string(), pa.int64()
_KNOWN = {column.name: column for column in lineage.LABELED_PROMPTS.columns}
_CANDIDATE = Column("candidate", _WHOLE, "which of the seed's rewrites it is, from 0")
_SEED = Column("seed_id", _TEXT, "the sample of Train that was rewritten")


class Generated(rows.Prompt, rows.Judged):
    """A row of `generated_prompts`."""

    match_text: str | None
    candidate: int


class Graded(TypedDict):
    """A row of `graded_prompts`."""

    prompt_id: str
    seed_id: str
    candidate: int
    length: int
    label: str
    predicted_label: str | None
    score: int | None
    level: str | None
    ungraded: str | None
    call_key: str | None


class Pair(TypedDict):
    """A row of `preference_pairs`."""

    pair_id: str
    seed_id: str
    chosen_id: str
    rejected_id: str
    chosen_level: str
    rejected_level: str


class Checkpoint(TypedDict):
    """A row of `classifier` and `generator`."""

    name: str
    kind: str
    base_model: str
    release: str
    n_rows: int
    folder: str
    weights: str


class Predicted(TypedDict):
    """What the classifier said of a generated prompt, or why it said nothing."""

    predicted_label: str | None
    reason: str | None


class Scored(TypedDict):
    """What the generator scored a generated prompt, or why there is no score."""

    score: int | None
    reason: str | None
    call_key: str


class Trained(TypedDict):
    """A row of a stage file of the classifier."""

    prompt_id: str
    text: str | None
    label: str
    micro_category: str | None


class Preferred(TypedDict):
    """A row of a stage file of the generator."""

    pair_id: str
    prompt: str | list[Mapping[str, str]]
    chosen: str
    rejected: str


GENERATED_PROMPTS = Table(
    "generated_prompts",
    "rewrite of a Train sample asked for",
    ("prompt_id",),
    (*BIRTH, *MATCH, *VERDICT, *DROP, _CANDIDATE),
    Generated,
)
GRADED_PROMPTS = Table(
    "graded_prompts",
    "generated prompt that was kept",
    ("prompt_id",),
    (
        replace(_KNOWN["prompt_id"], doc="the generated prompt"),
        _SEED,
        _CANDIDATE,
        Column("length", _WHOLE, "characters of its text"),
        replace(_KNOWN["label"], doc="label inherited from the seed", nullable=False),
        Column("predicted_label", _TEXT, "what the classifier says", True, lineage.LABELS),
        Column("score", _WHOLE, "quality by the generator's own judgement, 1 to 5", nullable=True),
        Column("level", _TEXT, "difficulty level", True, ("L1", "L2", "L3", "L4")),
        Column("ungraded", _TEXT, "why there is no level", nullable=True),
        Column("call_key", _TEXT, "ledger key of the scoring call", True, is_call_key=True),
    ),
    Graded,
)
PREFERENCE_PAIRS = Table(
    "preference_pairs",
    "preference pair",
    ("pair_id",),
    (
        Column("pair_id", _TEXT, "digest of both prompts"),
        _SEED,
        Column("chosen_id", _TEXT, "the generated prompt to prefer"),
        Column("rejected_id", _TEXT, "the generated prompt to avoid"),
        Column("chosen_level", _TEXT, "its level", values=("L1", "L2")),
        Column("rejected_level", _TEXT, "its level", values=("L3", "L4")),
    ),
    Pair,
)
_CHECKPOINT = (
    Column("name", _TEXT, "configured name"),
    Column("kind", _TEXT, "how it was trained", values=("sft", "mdpo")),
    Column("base_model", _TEXT, "what it was trained from"),
    Column("release", _TEXT, "version of the data set it was trained on"),
    Column("n_rows", _WHOLE, "training rows over all stages"),
    Column("folder", _TEXT, "its folder under `training/`"),
    Column("weights", _TEXT, "digest of its weights"),
)
CLASSIFIER = Table("classifier", "checkpoint", ("name",), _CHECKPOINT, Checkpoint)
GENERATOR = Table("generator", "checkpoint", ("name",), _CHECKPOINT, Checkpoint)

TABLES: Mapping[str, Table[Any]] = {
    table.name: table
    for table in (GENERATED_PROMPTS, GRADED_PROMPTS, PREFERENCE_PAIRS, CLASSIFIER, GENERATOR)
}
