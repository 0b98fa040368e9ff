"""Co-training of generator and classifier (paper section 4.3): three iterations, unrolled.

A loop over partitions would be a circle to the orchestrator, so each iteration has keys of its own.
Heavy work runs where the launcher puts it, and only for a release that the approval file names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.metadata import learned, result
from assets.pools import MODELS, TRAINING
from chillguard import taxonomy
from chillguard.calls import roles
from chillguard.settings import Settings
from chillguard.tables.table import Table
from chillguard.tables.training import CLASSIFIER, GENERATOR, Checkpoint
from chillguard.training import generation, inputs, pairs
from prompts import fingerprint
from resources.models.llm import LanguageModels
from resources.training.jobs import Job, Trained, Training
from resources.training.launcher import Machine

GROUP = "training"
ITERATIONS = (0, 1, 2)
# The generator is trained once, on what it made in the iteration before the last.
LAST = ITERATIONS[-1]


@dataclass(frozen=True)
class Trainee:
    """A model to be trained: name, base model (folder or hub id), machine, iterations."""

    name: str
    model: str
    machine: Machine
    iterations: tuple[int, ...] = ITERATIONS


def lineage(
    loop: Trainee, others: Sequence[Trainee], generator: Trainee, jurors: Sequence[str]
) -> list[dg.AssetsDefinition]:
    """All assets of the loop; `loop` is the classifier that drives it, `others` reuse its rows."""
    definitions: list[dg.AssetsDefinition] = []
    for iteration in ITERATIONS:
        if iteration == LAST:
            definitions += [graded_prompts(loop), preference_pairs, trained_generator(generator)]
        if iteration:
            definitions.append(generated_prompts(iteration, jurors))
        definitions.append(classifier(iteration, loop))
        definitions += [
            classifier(iteration, o, o.name) for o in others if iteration in o.iterations
        ]
    return definitions


def classifier(iteration: int, trainee: Trainee, *suffix: str) -> dg.AssetsDefinition:
    """The asset `iteration_<n>/classifier`, with the name behind it for further sizes."""
    generated = {
        "generated": dg.AssetIn(_key(iteration, "generated_prompts")),
        "benchmarks": dg.AssetIn("benchmark_prompts"),
    }

    @dg.asset(
        key=_key(iteration, "classifier", *suffix),
        group_name=GROUP,
        pool=TRAINING,
        ins=generated if iteration else {},
        deps=["dataset_card"],
        description="One row per checkpoint: a classifier trained from its base model on Train"
        + (" and the prompts generated in this iteration." if iteration else "."),
    )
    def trained_classifier(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        training: Training,
        **more: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        approved, config = training.approved(), settings.training
        made = more.get("generated")
        if made is not None:
            generation.refuse_leaks(made, approved.test, more["benchmarks"], settings.cleaning)
        files = inputs.classifier(approved.train, made, config.plan)
        job = Job(trainee.name, trainee.model, "sft", config.sft, trainee.machine)
        trained = training.train(context, job, files, approved.version)
        return _trained(CLASSIFIER, trained)

    return trained_classifier


def generated_prompts(iteration: int, jurors: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `iteration_<n>/generated_prompts`, made by the trained generator in the last."""
    ins = {"generator": dg.AssetIn(_key(LAST, "generator"))} if iteration == LAST else {}

    @dg.asset(
        key=_key(iteration, "generated_prompts"),
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            "benchmarks": dg.AssetIn("benchmark_prompts"),
            **ins,
        },
        deps=["dataset_card"],
        pool=MODELS,
        code_version=generation.version(),
    )
    def generated(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        benchmarks: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
        training: Training,
        **generator: pa.Table,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per rewrite asked for; none that is kept is near to Test or a benchmark."""
        approved, config = training.approved(), settings.training.generation
        for table in generator.values():
            [row] = table.to_pylist()
            folder = training.model(row, approved.version)
            llm = llm.trained(roles.GENERATOR, folder, row["weights"])
        ask, tree = llm.asker(context), taxonomy.from_rows(categories)
        rows = generation.generate(approved.train, tree, config, settings.guards, ask)
        generation.gate(rows, approved.train, approved.test, benchmarks, settings.cleaning)
        if config.rejury:
            generation.rejudge(rows, jurors, tree, settings.labeling, ask)
        return result(generation.table(rows), ask.usage)

    return generated


def graded_prompts(trainee: Trainee) -> dg.AssetsDefinition:
    """The asset `iteration_2/graded_prompts`, with predictions on the classifier's machine."""

    @dg.asset(
        key=_key(LAST, "graded_prompts"),
        group_name=GROUP,
        ins={
            "categories": dg.AssetIn("taxonomy"),
            "generated": dg.AssetIn(_key(LAST - 1, "generated_prompts")),
            "checkpoint": dg.AssetIn(_key(LAST - 1, "classifier")),
        },
        pool=TRAINING,
        code_version=fingerprint(generation.SCORE),
    )
    def graded(
        context: dg.AssetExecutionContext,
        categories: pa.Table,
        generated: pa.Table,
        checkpoint: pa.Table,
        settings: dg.ResourceParam[Settings],
        llm: LanguageModels,
        training: Training,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per kept generated prompt: the classifier's label, the generator's score."""
        approved, config = training.approved(), settings.training
        ask, codes = llm.asker(context), taxonomy.from_rows(categories).codes
        asked = generation.scoring_requests(generated, approved.train, config.generation)
        scored = generation.scores(ask(roles.SCORER, asked, generation.parse_score))
        kept = generated.filter(generated["drop_reason"].is_null()).select(["prompt_id", "text"])
        given = {"label_format": config.sft.label_format, "codes": list(codes)}
        [row] = checkpoint.to_pylist()
        predicted = training.predictions(
            context, row, approved.version, kept, given, trainee.machine
        )
        grades = pairs.grade(generated, predicted, scored)
        return result(grades, ask.usage, **dict[str, Any](pairs.counts(grades)))

    return graded


@dg.asset(
    key=["iteration_2", "preference_pairs"],
    group_name=GROUP,
    ins={"graded": dg.AssetIn(["iteration_2", "graded_prompts"])},
)
def preference_pairs(
    graded: pa.Table, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[pa.Table]:
    """One row per preference pair: of one seed, the prompt to prefer and the one to avoid."""
    paired = pairs.pairs(graded, settings.training.pairs)
    return result(paired, seeds_without_pair=pairs.without_pair(graded, paired))


def trained_generator(trainee: Trainee) -> dg.AssetsDefinition:
    """The asset `iteration_2/generator`."""

    @dg.asset(
        key=_key(LAST, "generator"),
        pool=TRAINING,
        group_name=GROUP,
        ins={
            "preferences": dg.AssetIn(_key(LAST, "preference_pairs")),
            "generated": dg.AssetIn(_key(LAST - 1, "generated_prompts")),
        },
        deps=["dataset_card"],
    )
    def generator(
        context: dg.AssetExecutionContext,
        preferences: pa.Table,
        generated: pa.Table,
        settings: dg.ResourceParam[Settings],
        training: Training,
    ) -> dg.MaterializeResult[pa.Table]:
        """One row per checkpoint: the generator trained by MDPO; its weights are never exported."""
        approved = training.approved()
        rows = inputs.generator(preferences, generated, approved.train)
        config = settings.training.mdpo
        job = Job(trainee.name, trainee.model, "mdpo", config, trainee.machine)
        return _trained(GENERATOR, training.train(context, job, [rows], approved.version))

    return generator


def _trained(table: Table[Checkpoint], trained: Trained) -> dg.MaterializeResult[pa.Table]:
    more = learned(trained.metrics, trained.history, trained.model)
    return result(table.build([trained.row]), **more)


def _key(iteration: int, *path: str) -> dg.AssetKey:
    return dg.AssetKey([f"iteration_{iteration}", *path])
