"""Steering: categories that came out thin or disputed get more queries at the next refresh."""

from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa

from chillguard.synthesis.rag import SynthesisConfig
from chillguard.taxonomy import Taxonomy


def steer(
    extra: Mapping[str, int], released: pa.Table, taxonomy: Taxonomy, config: SynthesisConfig
) -> dict[str, int]:
    """How many extra queries each category has from now on; `released` are all released rows.

    The numbers only grow, so that no prompt goes because its category was filled.
    """
    columns = ["micro_category", "agreement"]
    agreements: dict[str, list[float]] = defaultdict(list)
    for row in released.select(columns).to_pylist():
        agreements[row["micro_category"]].append(row["agreement"] or 0.0)
    found = dict(extra)
    for code in taxonomy.codes:
        votes = agreements[code]
        few = config.steer_below is not None and len(votes) < config.steer_below
        split = config.steer_agreement is not None and bool(votes)
        if few or (split and sum(votes) / len(votes) < (config.steer_agreement or 0.0)):
            had = found.get(code, 0)
            found[code] = max(had, min(had + config.steer_step, config.steer_most))
    return found
