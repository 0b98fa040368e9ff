"""Cleaning (paper section 3.2), before the jury: no vote is paid for a row that will go."""

import dagster as dg
import pyarrow as pa

from assets.metadata import result
from chillguard import cleaning
from chillguard.settings import Settings
from resources.releases import Releases


@dg.asset(group_name="cleaning")
def clean_prompts(
    candidate_prompts: pa.Table, settings: dg.ResourceParam[Settings], releases: Releases
) -> dg.MaterializeResult[pa.Table]:
    """One row per candidate prompt, dropped ones with reason and twin."""
    cleaning.self_test(settings.cleaning.shingles)
    return result(cleaning.clean(candidate_prompts, releases.released_ids(), settings.cleaning))
