"""Sensors: what in the outside world starts a run."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from pipelines.jobs import real_prompts_refresh
from resources.files import content_digest

_EVERY_S = 60


def real_prompt_files_changed(paths: Sequence[Path]) -> dg.SensorDefinition:
    """A run of `real_prompts` and its descendants when a file is new or its content changed."""

    @dg.sensor(
        name="real_prompt_files_changed",
        job=real_prompts_refresh,
        minimum_interval_seconds=_EVERY_S,
        description="Watches the content of the configured real-prompt files.",
    )
    def sense(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            return dg.SkipReason(f"file {missing[0]} does not exist")
        version = content_digest(paths)
        changes, _, last = (context.cursor or "0:").partition(":")
        if version == last:
            return dg.SkipReason("no file changed")
        # Numbered, so that a change back to an earlier content is a run of its own.
        cursor = f"{int(changes) + 1}:{version}"
        request = dg.RunRequest(run_key=cursor, tags={"chillguard/real_prompts": version})
        return dg.SensorResult([request], cursor=cursor)

    return sense
