"""Cleaning (paper section 3.2), before the jury: no vote is paid for a row that will go."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from chillguard.cleaning import earlier, survivors
from chillguard.settings import Settings
from resources.home import frozen
from resources.home.releases import Releases
from resources.home.state import State


@dg.asset(group_name="cleaning")
def clean_prompts(
    candidate_prompts: pa.Table,
    settings: dg.ResourceParam[Settings],
    releases: Releases,
    state: State,
) -> dg.MaterializeResult[pa.Table]:
    """One row per candidate prompt, dropped ones with reason and twin."""
    config = settings.cleaning
    survivors.self_test(config.shingles)
    gone = departed(candidate_prompts, releases, state, config)
    return result(survivors.clean(candidate_prompts, releases.released_ids(), config, gone))


def departed(
    candidates: pa.Table, releases: Releases, state: State, config: survivors.CleaningConfig
) -> earlier.Earlier:
    """What earlier releases hold that is no candidate any more."""
    return earlier.departed(
        releases.all_rows(earlier.COLUMNS) if config.earlier_releases else (),
        candidates,
        state.taken_down(),
        state.signatures(config.shingles),
        config.shingles,
        frozen.successors(releases, candidates),
    )
