"""Jobs: what is materialised together."""

import dagster as dg

refresh = dg.define_asset_job(
    "refresh", dg.AssetSelection.all(), description="The whole lineage, from taxonomy to release."
)
real_prompts_refresh = dg.define_asset_job(
    "real_prompts_refresh",
    dg.AssetSelection.assets("real_prompts").downstream(),
    description="Everything that depends on the real prompts; run by the sensor on their files.",
)
JOBS = (refresh, real_prompts_refresh)
