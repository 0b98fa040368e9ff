"""Cleaning (paper section 3.2), before the jury: no vote is paid for a row that will go."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from chillguard import cleaning, signature_index
from chillguard.settings import Settings
from resources.releases import Releases
from resources.state import State


@dg.asset(group_name="cleaning")
def clean_prompts(
    candidate_prompts: pa.Table,
    settings: dg.ResourceParam[Settings],
    releases: Releases,
    state: State,
) -> dg.MaterializeResult[pa.Table]:
    """One row per candidate prompt, dropped ones with reason and twin."""
    config = settings.cleaning
    cleaning.self_test(config.shingles)
    earlier = signature_index.earlier(
        releases.all_rows(signature_index.COLUMNS) if config.earlier_releases else (),
        candidate_prompts,
        state.taken_down(),
        state.signatures(config.shingles),
        config.shingles,
    )
    return result(cleaning.clean(candidate_prompts, releases.released_ids(), config, earlier))
