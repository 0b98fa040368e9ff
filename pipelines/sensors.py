"""Sensors: which files, when they change, start which run.

One row of `watches` per kind of input. A sensor looks at content, not at times, so that a file
that is only touched starts nothing. A run that failed is started again, a few times and later each
time: what stopped it may pass. One that used up its budget waits for a person.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

import chillguard
from chillguard.rows.records import RowSource, SourceConfig
from pipelines import jobs
from pipelines.jobs import (
    benchmarks_refresh,
    prompts_refresh,
    public_prompts_refresh,
    real_prompts_refresh,
    refresh,
    reviews_refresh,
)
from pipelines.profile import Profile
from prompts import FOLDER as TEMPLATES
from resources.inputs.files import content_digest, input_files
from resources.training.jobs import Training

_EVERY_S = 60
# After how long each further try begins; then a person is needed.
_TRY_AGAIN_AFTER_S = (5 * 60, 30 * 60, 2 * 60 * 60)
_CHANGE = "chillguard/change"
_PACKAGED = Path(chillguard.__file__).parent / "data"


@dataclass(frozen=True)
class Watch:
    """Files, or folders of files, and the job that a change of their content starts."""

    name: str
    paths: tuple[Path, ...]
    job: str


def watches(profile: Profile) -> tuple[Watch, ...]:
    """What is watched in a deployment: a kind of input, where it lies, what it starts."""
    return (
        Watch("real_prompt_files", _paths(profile.real_prompts), real_prompts_refresh.name),
        Watch("public_files", _paths(profile.public_prompts), public_prompts_refresh.name),
        Watch("benchmark_files", _paths(profile.benchmarks), benchmarks_refresh.name),
        Watch(
            "taxonomy_and_keywords",
            _packaged(profile.taxonomy, profile.seed_keywords),
            refresh.name,
        ),
        Watch("templates", (TEMPLATES,), prompts_refresh.name),
        Watch(
            "review_decisions",
            _packaged(*filter(None, [profile.review_decisions])),
            reviews_refresh.name,
        ),
    )


def sensors(profile: Profile) -> list[dg.SensorDefinition]:
    """A sensor per kind of input that the profile has, and the one that starts training."""
    found = [changed(watch) for watch in watches(profile) if watch.paths]
    return [*found, training_approved] if profile.training else found


@dg.sensor(
    job_name=jobs.training.name,
    minimum_interval_seconds=_EVERY_S,
    description="Starts `training` once for each release that the approval file allows it for.",
)
def training_approved(
    context: dg.SensorEvaluationContext, training: Training
) -> dg.RunRequest | dg.SkipReason:
    """A run for the approved version; the run key keeps it from being started twice."""
    try:
        version = training.version()
    except dg.Failure as failure:
        return dg.SkipReason(failure.description)
    again = _again(context.instance, version, {"chillguard/release": version})
    first = dg.RunRequest(run_key=version, tags=_tags(version, {"chillguard/release": version}))
    return again or first


def changed(watch: Watch) -> dg.SensorDefinition:
    """A run of the watch's job when a file of it is new, gone or of other content."""

    @dg.sensor(
        name=f"{watch.name}_changed",
        job_name=watch.job,
        minimum_interval_seconds=_EVERY_S,
        description=f"Starts `{watch.job}` when the content of {watch.name} changes.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        missing = [str(path) for path in watch.paths if not path.exists()]
        if missing:
            return dg.SkipReason(f"file {missing[0]} does not exist")
        files = list(_files(watch))
        if not files:
            return dg.SkipReason(f"folder {watch.paths[0]} holds no file yet")
        version = content_digest(files)
        changes, _, last = (context.cursor or "0:").partition(":")
        tags = {f"chillguard/{watch.name}": version}
        if version == last:
            again = _again(context.instance, context.cursor or "", tags)
            if isinstance(again, dg.RunRequest):
                return dg.SensorResult([again], cursor=context.cursor)
            return again or dg.SkipReason("no file changed")
        # Numbered, so that a change back to an earlier content is a run of its own.
        cursor = f"{int(changes) + 1}:{version}"
        request = dg.RunRequest(run_key=cursor, tags=_tags(cursor, tags))
        return dg.SensorResult([request], cursor=cursor)

    return sense


def _tags(change: str, tags: Mapping[str, str]) -> dict[str, str]:
    # Characters that Dagster allows in the value of a tag.
    return {**tags, _CHANGE: change.replace(":", "-")}


def _again(
    instance: dg.DagsterInstance, change: str, tags: Mapping[str, str]
) -> dg.RunRequest | dg.SkipReason | None:
    """Another try of a change whose last run failed, or why there is none; None if it did not."""
    marked = _tags(change, tags)
    runs = instance.get_run_records(dg.RunsFilter(tags=marked))
    if not runs or runs[0].dagster_run.status is not dg.DagsterRunStatus.FAILURE:
        return None
    last, tries = runs[0], len(runs)
    told = (
        f"run {last.dagster_run.run_id} failed, after {tries} tries"
        if tries > 1
        else (f"run {last.dagster_run.run_id} failed")
    )
    if _used_up(instance, last.dagster_run.run_id):
        return dg.SkipReason(f"{told}: its budget is used up, and only a person may raise it")
    if tries > len(_TRY_AGAIN_AFTER_S):
        return dg.SkipReason(f"{told}: mend the cause, then launch {last.dagster_run.job_name}")
    wait_s = (last.end_time or 0.0) + _TRY_AGAIN_AFTER_S[tries - 1] - time.time()
    if wait_s > 0:
        return dg.SkipReason(f"{told}: tried again in {wait_s / 60:,.0f} min")
    return dg.RunRequest(run_key=f"{change}:try {tries + 1}", tags=marked)


def _used_up(instance: dg.DagsterInstance, run_id: str) -> bool:
    failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    return any("the budget is used up" in str(entry.dagster_event) for entry in failures)


def _files(watch: Watch) -> Iterator[Path]:
    for path in watch.paths:
        if path == TEMPLATES:
            yield from sorted(path.rglob("*.jinja"))
        else:
            yield from input_files(path)


def _paths(sources: Sequence[RowSource]) -> tuple[Path, ...]:
    return tuple(source.path for source in sources if isinstance(source, SourceConfig))


def _packaged(*paths: str) -> tuple[Path, ...]:
    names = [(path, path.removeprefix("packaged:")) for path in paths]
    return tuple(Path(path) if name == path else _PACKAGED / name for path, name in names)
