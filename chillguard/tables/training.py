"""Tables of training: what the iterations of co-training make, beside the data lineage's tables.

Asset keys are `iteration_<number>/<table>`, with a classifier's size behind it where it is not the
one that drives the loop.
"""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from chillguard.tables import lineage
from chillguard.tables.table import Column, Table

_TEXT, _WHOLE = pa.string(), pa.int64()
_KNOWN = {column.name: column for column in lineage.LABELED_PROMPTS.columns}
_NOT_OURS = {"translated_from", "votes", "n_valid_votes", "agreement", "category_call_key"}
_CANDIDATE = Column("candidate", _WHOLE, "which of the seed's rewrites it is, from 0")
_SEED = Column("seed_id", _TEXT, "the sample of Train that was rewritten")

GENERATED_PROMPTS = Table(
    "generated_prompts",
    "rewrite of a Train sample asked for",
    ("prompt_id",),
    (*(column for name, column in _KNOWN.items() if name not in _NOT_OURS), _CANDIDATE),
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
CLASSIFIER = Table("classifier", "checkpoint", ("name",), _CHECKPOINT)
GENERATOR = Table("generator", "checkpoint", ("name",), _CHECKPOINT)

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (GENERATED_PROMPTS, GRADED_PROMPTS, PREFERENCE_PAIRS, CLASSIFIER, GENERATOR)
}
