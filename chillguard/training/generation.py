"""Generated prompts (paper section 4.3, appendix D.2.2): what the generator is asked to write for
every sample of Train, which of it may enter training, and how the generator scores it.

Every rewrite asked for is a row, kept or dropped with reason and evidence. None that equals or
nearly equals a sample of Test, or a prompt of a benchmark, is kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.calls import call, refusals, roles
from chillguard.cleaning import survivors
from chillguard.labeling import docket, jury
from chillguard.release import decontamination
from chillguard.rows import guards, intake
from chillguard.tables import lineage, training
from chillguard.tables.reasons import KEPT, Reason, drop, dropped
from chillguard.tables.rows import Sample, given
from chillguard.tables.training import Generated, Scored
from chillguard.taxonomy import Taxonomy
from prompts import fingerprint, named, render

GENERATE = {label: f"training/generate_{label}" for label in lineage.LABELS}
SCORE = "training/score"
_SCORES = ("1", "2", "3", "4", "5")
_METHOD = "generator"


class GenerationConfig(BaseModel):
    """Rewrites per seed and their sampling (table 10), and how they are scored.

    `max_seeds` draws so many samples of Train, None takes all. `rejury` lets the jury judge what
    was generated and drops what it labels otherwise than the seed. The model's context of 20,480
    tokens is an argument of its server.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_seed: int = Field(4, ge=1)
    sampling: call.Sampling = call.Sampling(temperature=0.7, max_tokens=2048)
    scoring: call.Sampling = call.Sampling(temperature=0.0, max_tokens=8)
    max_seeds: int | None = Field(None, ge=1)
    rejury: bool = False


def version() -> str:
    """Changes when, and only when, a generation template does."""
    return "-".join(fingerprint(name) for name in GENERATE.values())


def seeds(train: pa.Table, config: GenerationConfig) -> list[Sample]:
    """The samples of Train that are rewritten: all, or a stable draw."""
    rows = lineage.TRAIN_SET.rows(train)
    if config.max_seeds is None:
        return rows
    ids = [row["prompt_id"] for row in rows]
    drawn = set(identity.rendezvous("seeds", ids, config.max_seeds))
    return [row for row in rows if row["prompt_id"] in drawn]


def messages(seed: Sample) -> tuple[Mapping[str, str], ...]:
    """What the generator is told about a seed: also the prompt of its preference pair."""
    return call.messages(render(GENERATE[given(seed["label"])], {"text": seed["text"]}))


def requests(wanted: Iterable[Sample], config: GenerationConfig) -> Iterator[call.ChatRequest]:
    """`per_seed` requests per seed, told apart by their repeat index."""
    for seed in wanted:
        asked = messages(seed)
        for candidate in range(config.per_seed):
            yield call.ChatRequest(
                row_id=_name(seed["prompt_id"], candidate),
                messages=asked,
                sampling=config.sampling,
                repeat=candidate,
                template=named(GENERATE[given(seed["label"])]),
            )


def parse(answer: call.Answer) -> str:
    """The one prompt that an answer is; raises `Unreadable` when empty, cut off or a refusal."""
    text = answer.text.strip()
    if answer.finish_reason == "length":
        raise call.Unreadable("cut off at max_tokens")
    if not text:
        raise call.Unreadable("empty")
    if refusals.declines(text):
        raise call.Unreadable("a refusal")
    return text


def generate(
    train: pa.Table,
    categories: Taxonomy,
    config: GenerationConfig,
    guard: guards.GuardConfig,
    ask: call.Ask,
) -> list[Generated]:
    """A row per rewrite asked for: admitted, screened and guarded, in no order."""
    wanted = seeds(train, config)
    by_name = {
        _name(seed["prompt_id"], candidate): (seed, candidate)
        for seed in wanted
        for candidate in range(config.per_seed)
    }
    outcomes = ask(roles.GENERATOR, requests(wanted, config), parse, len(by_name))
    return [_row(*by_name[one.row_id], one, categories, guard) for one in outcomes]


def gate(
    rows: Sequence[Generated],
    train: pa.Table,
    test: pa.Table,
    benchmarks: pa.Table,
    config: survivors.CleaningConfig,
) -> None:
    """Drop what cleaning drops, duplicates of Train included, and near-copies of Test, benchmarks.

    `benchmarks` is the `benchmark_prompts` table.
    """
    made = {row["prompt_id"]: row for row in rows if row["drop_reason"] is None}
    # What candidates have and these lack is null.
    every: list[Any] = [*lineage.TRAIN_SET.rows(train), *made.values()]
    both = lineage.CANDIDATE_PROMPTS.build(every)
    cleaned = survivors.clean(both, set(train["prompt_id"].to_pylist()), config)
    for found in lineage.CLEAN_PROMPTS.rows(cleaned):
        if found["prompt_id"] in made:
            cast("dict[str, object]", made[found["prompt_id"]]).update(found)
    kept = [row for row in made.values() if row["drop_reason"] is None]
    for row, twin, score in survivors.leaks(kept, lineage.TEST_SET.rows(test), config):
        drop(row, Reason.LEAK, f"twin={twin['prompt_id']} jaccard={score:.3f}")
    left = [row for row in kept if row["drop_reason"] is None]
    for row, benchmark, score in decontamination.overlaps(left, benchmarks, config):
        drop(row, Reason.LEAK, decontamination.evidence(benchmark, score))


def refuse_leaks(
    generated: pa.Table, test: pa.Table, benchmarks: pa.Table, config: survivors.CleaningConfig
) -> None:
    """Raise `ValueError` if a kept row equals or nearly equals a sample of Test or of a benchmark.

    The last look before training: the table may be older than the release that is trained on.
    """
    kept = _kept(generated)
    for row, twin, score in survivors.leaks(kept, lineage.TEST_SET.rows(test), config):
        raise ValueError(
            f"generated prompt {row['prompt_id']} is a near-copy of Test row {twin['prompt_id']} "
            f"(Jaccard {score:.3f}): materialize generated_prompts again for this release"
        )
    for row, benchmark, score in decontamination.overlaps(kept, benchmarks, config):
        raise ValueError(
            f"generated prompt {row['prompt_id']} is a near-copy of benchmark "
            f"{benchmark['benchmark']}, row {benchmark['prompt_id']} (Jaccard {score:.3f}): "
            "materialize generated_prompts again"
        )


def rejudge(
    rows: Sequence[Generated],
    jurors: Sequence[str],
    categories: Taxonomy,
    config: jury.LabelingConfig,
    ask: call.Ask,
) -> None:
    """Drop kept rows that the jury, or the tie-breaker after it, labels otherwise than the seed."""
    kept = [row for row in rows if row["drop_reason"] is None]
    votes = jury.by_prompt(jury.cast(juror, kept, categories, config, ask) for juror in jurors)
    rulings = jury.decide(docket.unlabeled(kept), votes, categories, config, ask)
    for row in kept:
        label = rulings[row["prompt_id"]].label
        if label is None:
            drop(row, Reason.UNRESOLVED, "no majority, no tie-breaker")
        elif label != row["label"]:
            drop(row, Reason.LABEL_FLIPPED, f"the jury says {label}")


def problems(generated: pa.Table, train: pa.Table, config: GenerationConfig) -> list[str]:
    """Seeds that have not exactly `per_seed` rows, and rows of no seed: one sentence each."""
    found: dict[str, set[int]] = defaultdict(set)
    for row in generated.select(["parent_ids", "candidate"]).to_pylist():
        found[row["parent_ids"][0]].add(row["candidate"])
    wanted = {seed["prompt_id"] for seed in seeds(train, config)}
    whole = set(range(config.per_seed))
    short = [f"seed {key} has {len(found[key])} of {config.per_seed} rewrites"
             for key in sorted(wanted) if found[key] != whole]  # fmt: skip
    strange = [f"rewrites of {key}, which is no seed" for key in sorted(found.keys() - wanted)]
    return short + strange


def scoring_requests(
    generated: pa.Table, train: pa.Table, config: GenerationConfig
) -> Iterator[call.ChatRequest]:
    """One request per kept generated prompt: its quality beside the seed, 1 to 5."""
    texts = dict(zip(train["prompt_id"].to_pylist(), train["text"].to_pylist(), strict=True))
    for row in _kept(generated):
        source = texts.get(row["parent_ids"][0])
        if source is None:
            raise ValueError(
                f"generated prompt {row['prompt_id']} was made from {row['parent_ids'][0]}, which "
                "is not in Train of this release: materialize generated_prompts again"
            )
        values = {"text": row["text"], "source": source, "label": row["label"]}
        yield call.ChatRequest(
            row_id=row["prompt_id"],
            messages=call.messages(render(SCORE, values)),
            sampling=config.scoring,
            answer_schema={"choice": list(_SCORES)},
            template=named(SCORE),
        )


def parse_score(answer: call.Answer) -> int:
    """The score, 1 to 5; anything else is unreadable: a missing score, never a default."""
    text = answer.text.strip()
    if text not in _SCORES:
        raise call.Unreadable("not a score from 1 to 5")
    return int(text)


def scores(outcomes: Iterable[call.Outcome[int]]) -> dict[str, Scored]:
    """`score`, `reason` and `call_key` by prompt id."""
    return {
        one.row_id: {"score": one.value, "reason": one.reason, "call_key": one.call_key}
        for one in outcomes
    }


def table(rows: Iterable[Generated]) -> pa.Table:
    """The `generated_prompts` table."""
    return training.GENERATED_PROMPTS.build(rows)


def _kept(generated: pa.Table) -> list[Generated]:
    kept = generated.filter(generated["drop_reason"].is_null())
    return training.GENERATED_PROMPTS.rows(kept)


def _name(seed_id: str, candidate: int) -> str:
    return f"{seed_id}/{candidate}"


def _row(
    seed: Sample,
    candidate: int,
    outcome: call.Outcome[str],
    categories: Taxonomy,
    guard: guards.GuardConfig,
) -> Generated:
    left = KEPT if outcome.value else dropped(Reason.QUARANTINED, outcome.reason)
    born = intake.prompt(
        "rewrite",
        _METHOD,
        [seed["prompt_id"]],
        outcome.value,
        repeat=candidate,
        family_id=seed["family_id"],
        context_post_ids=seed["context_post_ids"],
        call_key=outcome.call_key,
        intended_label=seed["label"],
        intended_category=seed["micro_category"],
        **intake.inherited([seed]),
        **left,
    )
    row: Generated = {
        **born,
        "label": seed["label"],
        "macro_category": seed["macro_category"],
        "micro_category": seed["micro_category"],
        "match_text": None,
        "candidate": candidate,
    }
    fault = guards.check(row, guard, ("zh",), categories, seed["text"])
    return {**row, **fault} if fault else row
