"""The sides that families were released on: of the state and, where it lost them, of the releases.

The releases hold the side of every row that was ever released, so no family that somebody has
trained on or tested with is split anew because `state/` is gone.
"""

from collections.abc import Callable

import dagster as dg
import pyarrow as pa

from chillguard.lineage import older_ids
from chillguard.release import sides
from resources.home.releases import Releases
from resources.home.state import State


def earlier(
    state: State, releases: Releases, candidates: pa.Table, tell: Callable[[str], None]
) -> sides.Earlier:
    """What earlier releases say of the rows that come of `candidates`; lost sides are told."""
    frozen = older_ids.taken_over(families(state, releases, tell), successors(releases, candidates))
    return sides.Earlier(releases.released_ids(), frozen, releases.sides("text_hash"))


def successors(releases: Releases, candidates: pa.Table) -> dict[str, str]:
    """Families of today by the ids that releases of an older kind know them by."""
    return older_ids.successors(candidates, releases.all_rows(older_ids.COLUMNS))


def families(state: State, releases: Releases, tell: Callable[[str], None]) -> dict[str, str]:
    """Side of every family that was ever released; what the state lacks is put back into it.

    Raises `dg.Failure` where state and releases name different sides.
    """
    kept, held = state.splits(), releases.sides("family_id")
    lost = {family: side for family, side in held.items() if family not in kept}
    if lost:
        state.append_splits(sides.table_of(lost), "rebuilt")
        tell(
            f"state/splits lacked the sides of {len(lost)} released families: they are put back "
            f"from {len(releases.versions())} releases. If all of state/ was lost, put the keyword "
            "pool back from a copy, and ask for takedowns again; extra queries are made anew"
        )
    torn = sorted(family for family, side in held.items() if kept.get(family, side) != side)
    if torn:
        raise dg.Failure(
            f"{len(torn)} families are on one side in state/splits and on the other in the newest "
            f"release that holds them, first {torn[0]}: put state/splits back from a backup, or "
            "move it away, then it is made anew from the releases"
        )
    return {**held, **kept}
