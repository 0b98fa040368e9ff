"""The code location: `dagster ... -m pipelines.definitions` for the active profile."""

import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from assets import (
    annotation,
    cleaning,
    crawl,
    embedding,
    keywords,
    labeling,
    plan,
    release,
    rewriting,
    synthesis,
    training,
    translation,
)
from assets import checks as asset_checks
from chillguard.tables import lineage
from pipelines import binding, cluster, faults, parts
from pipelines import profile as profiles
from pipelines.catalog import catalogued
from pipelines.console import console
from pipelines.hooks import watched
from pipelines.jobs import JOBS
from pipelines.jobs import training as training_job
from pipelines.schedules import SCHEDULES
from pipelines.sensors import sensors
from resources.training.launcher import Machine

_RUNNING = {"materialize", "execute"}
# Tables about the jury, which the card shows and the funnel does not count.
_BESIDE = [
    dg.AssetKey(path)
    for path in (
        ["review_decisions"],
        ["rejected_rows", "review_decisions"],
        ["review_queue"],
        ["anchor_votes"],
        ["jury_quality"],
    )
]


def build(profile: profiles.Profile, home: Path) -> dg.Definitions:
    """All definitions of a profile whose outputs live under `home`."""
    sources = [source.name for source in profile.crawled]
    jurors = [f"juror_{slot}" for slot in range(1, len(profile.jurors) + 1)]
    stages = _stages(sources, jurors)
    assets = _assets(sources, jurors, stages)
    trained = _training(profile.training, jurors)
    keys = [key for asset in [*assets, *trained] for key in asset.keys]
    made = [watched(catalogued(asset)) for asset in (*assets, *trained, plan.refresh_plan(jurors))]
    checks = _checks(keys, stages, trained)
    machines = cluster.machines(profile, jurors, [*keys, plan.PLAN])
    if profile.executor == "ray":
        made, checks = cluster.placed(made, machines), cluster.placed(checks, machines)
    return dg.Definitions(
        assets=made,
        asset_checks=checks,
        jobs=[*JOBS, training_job] if trained else JOBS,
        schedules=SCHEDULES,
        sensors=sensors(profile),
        resources=binding.resources(profile, home, jurors),
        executor=_executor(profile, home),
        loggers={"console": console},
    )


def _assets(
    sources: Sequence[str], jurors: list[str], stages: Sequence[dg.AssetKey]
) -> list[dg.AssetsDefinition]:
    """Assets from taxonomy to release, in the order of the lineage."""
    return [
        keywords.taxonomy_asset,
        keywords.seed_keywords,
        keywords.expanded_keywords,
        *(crawl.crawled_posts(source) for source in sources),
        embedding.post_index(sources),
        synthesis.synthesized_prompts,
        annotation.real_prompts,
        annotation.annotated_prompts(jurors),
        rewriting.rewritten_prompts,
        translation.public_prompts,
        translation.candidate_prompts,
        cleaning.clean_prompts,
        *(labeling.jury_votes(juror) for juror in jurors),
        labeling.review_decisions,
        labeling.labeled_prompts(jurors),
        release.benchmark_prompts,
        labeling.review_queue(jurors),
        labeling.anchor_votes(jurors),
        labeling.jury_quality_asset(jurors),
        release.split_sets,
        release.dataset_card([*stages, *_BESIDE]),
    ]


def _checks(
    keys: Sequence[dg.AssetKey],
    stages: Sequence[dg.AssetKey],
    trained: Sequence[dg.AssetsDefinition],
) -> list[dg.AssetsDefinition]:
    found = (
        *(asset_checks.schema_check(key) for key in keys),
        *(asset_checks.votes_check(key) for key in keys if key.path[0] == "jury_votes"),
        asset_checks.funnel_check(stages),
        *asset_checks.RELEASE_CHECKS,
        *asset_checks.generation_checks([key for asset in trained for key in asset.keys]),
    )
    return [watched(check) for check in found]


def _executor(profile: profiles.Profile, home: Path) -> dg.ExecutorDefinition:
    if profile.executor == "ray":
        return cluster.executor(home)
    if profile.executor == "in_process":
        return dg.in_process_executor
    # A host that loads models itself has room for one at a time.
    at_once = {"max_concurrent": 1} if profile.loads_models else {}
    found: dg.ExecutorDefinition = dg.multiprocess_executor.configured(at_once, "multiprocess")
    return found


def _training(part: parts.Training | None, jurors: list[str]) -> Sequence[dg.AssetsDefinition]:
    """Assets of co-training, if the profile has it."""
    if part is None:
        return ()
    sizes = {
        one.name: training.Trainee(
            one.name, one.model, Machine(**one.machine.model_dump()), tuple(one.iterations)
        )
        for one in part.classifiers
    }
    machine = Machine(**part.generator.machine.model_dump())
    generator = training.Trainee("generator", part.generator.model, machine)
    return training.lineage(sizes.pop(part.loop_size), list(sizes.values()), generator, jurors)


def _stages(sources: list[str], jurors: list[str]) -> list[dg.AssetKey]:
    """The tables that the funnel adds up and the card describes, in order of the lineage."""
    crawls = [["crawled_posts", crawl.key_part(source)] for source in sources]
    read = [*crawls, ["real_prompts"], ["public_prompts"], ["benchmark_prompts"]]
    parts = {
        "crawled_posts": crawls,
        "jury_votes": [["jury_votes", juror] for juror in jurors],
        "rejected_rows": [["rejected_rows", *path] for path in read],
    }
    left_out = {"taxonomy", "seed_keywords", "expanded_keywords", "dataset_card"}
    left_out |= {key.path[0] for key in _BESIDE if len(key.path) == 1}
    return [
        dg.AssetKey(path)
        for name in lineage.TABLES
        if name not in left_out
        for path in parts.get(name, [[name]])
    ]


def _active() -> dg.Definitions:
    """The definitions of the active profile; an error of it ends this process in its sentences."""
    home = profiles.home()
    faults.shown_shortly(home / "dagster" / "load_error.log")
    profile = profiles.active()
    unset = profiles.unset_variables(profile)
    # A code server shows the graph without them; a command that runs it cannot.
    if unset and not _RUNNING.isdisjoint(sys.argv[1:3]):
        raise profiles.ProfileError("\n".join(unset))
    return build(profile, home)


defs = _active()
