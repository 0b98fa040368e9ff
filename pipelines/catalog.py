"""What the catalogue in the browser says of each asset beside its description: owner and kinds."""

import dagster as dg

from assets.plan import PLAN

OWNER = "team:safety-data"
# What an asset works with, by the resource that it asks for.
_KINDS = {"llm": "llm", "retrieval": "qdrant", "training": "pytorch"}


def catalogued(assets: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The same assets with their owner and kinds."""
    kinds = {kind for resource, kind in _KINDS.items() if resource in assets.required_resource_keys}
    # All but the plan make a table.
    kinds |= {"parquet"} if PLAN not in assets.keys else set()
    return assets.map_asset_specs(lambda spec: spec.replace_attributes(owners=[OWNER], kinds=kinds))
