"""What a training job reads: rows of the classifier in one or two stages, pairs of the generator.

The curriculum is that of Libra-Guard: first what was made, last what is real.
"""

from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from chillguard import identity
from chillguard.tables import lineage, training
from chillguard.training import generation

Plan = Literal["single", "curriculum"]
_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("prompt", _TURNS),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
    ]
)


def classifier(train: pa.Table, generated: pa.Table | None, plan: Plan) -> list[pa.Table]:
    """D_train(0) and, from iteration 1 on, the kept rows of the current generated prompts.

    One table, or two in the curriculum: all other rows, then rows of origin `real` or decided by
    review. Rows stand in hash order. Raises `ValueError` where the curriculum lacks a stage.
    """
    of_origin = pc.equal(train["origin"], "real")
    reviewed = pc.fill_null(pc.equal(train["decided_by"], "review"), False)
    is_real = pc.or_(of_origin, reviewed)
    real = train.filter(is_real)
    made = [train.filter(pc.invert(is_real))]
    if generated is not None:
        made.append(generated.filter(generated["drop_reason"].is_null()))
    if plan == "single":
        return [_shuffled(_joined([*made, real]))]
    stages = [_shuffled(_joined(made)), _shuffled(_joined([real]))]
    for name, stage in zip(("made", "real"), stages, strict=True):
        if not stage.num_rows:
            raise ValueError(f"the curriculum has no {name} row; train with plan: single")
    return stages


def generator(pairs: pa.Table, generated: pa.Table, train: pa.Table) -> pa.Table:
    """The preference pairs in full: what the generator was told, what to prefer, what to avoid.

    Rows stand in hash order. Raises `ValueError` when there is no pair.
    """
    if not pairs.num_rows:
        raise ValueError("there is no preference pair to train on; graded_prompts says why")
    texts = dict(zip(*_columns(generated, "prompt_id", "text"), strict=True))
    told = train.select(["prompt_id", "text", "label"])
    seeds = {row["prompt_id"]: row for row in lineage.TRAIN_SET.rows(told)}
    rows = [
        {
            "pair_id": pair["pair_id"],
            "prompt": [dict(turn) for turn in generation.messages(seeds[pair["seed_id"]])],
            "chosen": texts[pair["chosen_id"]],
            "rejected": texts[pair["rejected_id"]],
        }
        for pair in training.PREFERENCE_PAIRS.rows(pairs)
    ]
    rows.sort(key=lambda row: identity.hash_order("stage", row["pair_id"]))
    return pa.Table.from_pylist(rows, schema=_PAIRS)


def _joined(parts: Iterable[pa.Table]) -> pa.Table:
    """The columns of the parts that are trained on."""
    rows = pa.schema([(c.name, c.type) for c in lineage.TRAIN_SET.where("trained")])
    return pa.concat_tables(part.select(rows.names).cast(rows) for part in parts)


def _shuffled(rows: pa.Table) -> pa.Table:
    keys = [identity.hash_order("stage", key) for key in rows["prompt_id"].to_pylist()]
    return rows.take(pc.sort_indices(pa.array(keys, pa.binary())))


def _columns(table: pa.Table, *names: str) -> Iterable[list[Any]]:
    return (table[name].to_pylist() for name in names)
