"""Preference pairs (paper section 4.3, equations 8 and 9): how hard a generated prompt is, and
which two of one seed the generator is to prefer and to avoid.

A prompt without a prediction or without a score has no level and enters no pair. How predictions
and scores are had is `chillguard.training.generation` and `chillguard.evaluation`.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.tables import training
from chillguard.tables.rows import given
from chillguard.tables.training import Generated, Graded, Pair, Predicted, Scored

LEVELS = ("L1", "L2", "L3", "L4")
# Chosen before rejected, first rule first; L2 with L3 is left out to keep noise out.
PRIORITY = (("L1", "L4"), ("L1", "L3"), ("L2", "L4"))
_GOOD = 3


class PairsConfig(BaseModel):
    """Pairs per seed prompt; the paper gives no number. Each prompt is in one pair at most."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_per_seed: int = Field(1, ge=1)


def level(label: str, predicted: str | None, score: int | None) -> str | None:
    """Difficulty level of a generated prompt (equation 8); None without prediction or score."""
    if predicted is None or score is None:
        return None
    if predicted != label:
        return "L1" if score >= _GOOD else "L2"
    return "L4" if score >= _GOOD else "L3"


def grade(
    generated: pa.Table, predicted: Mapping[str, Predicted], scored: Mapping[str, Scored]
) -> pa.Table:
    """The `graded_prompts` table: one row per kept generated prompt.

    `predicted` (`predicted_label`, `reason`) and `scored` (`score`, `reason`, `call_key`) are by
    prompt id; a prompt that is absent there, or has None, is missing that half.
    """
    kept = generated.filter(generated["drop_reason"].is_null())
    return training.GRADED_PROMPTS.build(
        _graded(row, predicted.get(row["prompt_id"]), scored.get(row["prompt_id"]))
        for row in training.GENERATED_PROMPTS.rows(kept)
    )


def _graded(row: Generated, prediction: Predicted | None, scoring: Scored | None) -> Graded:
    predicted = prediction["predicted_label"] if prediction else None
    score = scoring["score"] if scoring else None
    why = {"prediction": (predicted, prediction), "score": (score, scoring)}
    missing = [
        f"no {what}: {(half['reason'] if half else None) or 'not given'}"
        for what, (value, half) in why.items()
        if value is None
    ]
    label = given(row["label"])
    return {
        "prompt_id": row["prompt_id"],
        "seed_id": row["parent_ids"][0],
        "candidate": row["candidate"],
        "length": len(given(row["text"])),
        "label": label,
        "predicted_label": predicted,
        "score": score,
        "level": level(label, predicted, score),
        "ungraded": "; ".join(missing) or None,
        "call_key": scoring["call_key"] if scoring else None,
    }


def counts(graded: pa.Table) -> dict[str, int]:
    """Prompts by level, without a level, and why not."""
    rows = training.GRADED_PROMPTS.rows(graded)
    found = {name: sum(row["level"] == name for row in rows) for name in LEVELS}
    found["without_level"] = sum(row["level"] is None for row in rows)
    found["without_prediction"] = sum(row["predicted_label"] is None for row in rows)
    found["without_score"] = sum(row["score"] is None for row in rows)
    return found


def without_pair(graded: pa.Table, found: pa.Table) -> int:
    """How many seeds have graded prompts but no pair."""
    return len(set(graded["seed_id"].to_pylist()) - set(found["seed_id"].to_pylist()))


def pairs(graded: pa.Table, config: PairsConfig) -> pa.Table:
    """The `preference_pairs` table: the pairs of every seed that has one (equation 9).

    First the rule that stands first, then the chosen prompt with the highest score, then the
    shortest difference in length, then the lower candidate numbers.
    """
    seeds: dict[str, list[Graded]] = defaultdict(list)
    for row in training.GRADED_PROMPTS.rows(graded):
        seeds[row["seed_id"]].append(row)
    return training.PREFERENCE_PAIRS.build(
        _pair(chosen, rejected)
        for rows in seeds.values()
        for chosen, rejected in itertools.islice(_of_seed(rows), config.max_per_seed)
    )


def _of_seed(rows: Sequence[Graded]) -> Iterator[tuple[Graded, Graded]]:
    used: set[str] = set()
    for chosen, rejected in _ordered(rows):
        ids = {chosen["prompt_id"], rejected["prompt_id"]}
        if used.isdisjoint(ids):
            used |= ids
            yield chosen, rejected


def _ordered(rows: Sequence[Graded]) -> Iterator[tuple[Graded, Graded]]:
    for high, low in PRIORITY:
        yield from sorted(
            itertools.product(_at(rows, high), _at(rows, low)),
            key=lambda pair: (
                -given(pair[0]["score"]),
                abs(pair[0]["length"] - pair[1]["length"]),
                pair[0]["candidate"],
                pair[1]["candidate"],
            ),
        )


def _at(rows: Iterable[Graded], wanted: str) -> list[Graded]:
    return [row for row in rows if row["level"] == wanted]


def _pair(chosen: Graded, rejected: Graded) -> Pair:
    return {
        "pair_id": identity.digest("pair", chosen["prompt_id"], rejected["prompt_id"]),
        "seed_id": chosen["seed_id"],
        "chosen_id": chosen["prompt_id"],
        "rejected_id": rejected["prompt_id"],
        "chosen_level": given(chosen["level"]),
        "rejected_level": given(rejected["level"]),
    }
