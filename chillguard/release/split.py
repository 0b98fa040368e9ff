"""Balance and the Train/Test split (paper section 3.3): by family, stratified, frozen.

A family that has a side keeps it for ever; a new one, in hash order, goes to the side that is
short in its stratum. Freezing outranks stratification.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity
from chillguard.tables.rows import Categorised, Labeled

Placed = TypeVar("Placed", bound=Labeled)


class SplitConfig(BaseModel):
    """Share of in-house rows in Test (the paper's is 30 %), and caps; None = no cap.

    `safe_ratio` caps safe rows at that multiple of unsafe ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    test_share: float = Field(0.3, ge=0, le=1)
    max_per_category: int | None = Field(None, ge=1)
    safe_ratio: float | None = Field(None, ge=0)


def stratum(row: Categorised) -> str:
    """A row's stratum: its final micro category, or `safe`."""
    return row["micro_category"] or "safe"


def over_cap(
    rows: Iterable[Placed], released: Collection[str], config: SplitConfig
) -> list[Placed]:
    """Rows beyond the caps, in hash order; released rows are kept first."""
    by_stratum: dict[str, list[Placed]] = defaultdict(list)
    for row in rows:
        by_stratum[stratum(row)].append(row)
    most = config.max_per_category
    n_unsafe = sum(
        len(group) if most is None else min(most, len(group))
        for name, group in by_stratum.items()
        if name != "safe"
    )
    over: list[Placed] = []
    for name, group in by_stratum.items():
        cap: float | None = most
        if name == "safe":
            cap = None if config.safe_ratio is None else config.safe_ratio * n_unsafe
        if cap is not None:
            group.sort(key=lambda row: _precedence(row["prompt_id"], released))
            over += group[int(cap) :]
    return over


def _precedence(prompt_id: str, released: Collection[str]) -> tuple[bool, bytes]:
    return prompt_id not in released, identity.hash_order("balance", prompt_id)


def assign(
    rows: Sequence[Labeled], frozen: Mapping[str, str], config: SplitConfig
) -> dict[str, str]:
    """Side (train or test) of every family of `rows`; a new one with a public row is in Train."""
    families: dict[str, list[Labeled]] = defaultdict(list)
    for row in rows:
        families[row["family_id"]].append(row)
    sides = {key: _given(group, frozen.get(key)) for key, group in families.items()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for key, side in sides.items():
        if side and any(row["origin"] != "public" for row in families[key]):
            counts[_stratum(families[key])][side] += len(families[key])
    for key in sorted(families, key=lambda key: identity.hash_order("split", key)):
        if sides[key] is None:
            tally = counts[_stratum(families[key])]
            side = _short_side(tally, config.test_share)
            sides[key] = side
            tally[side] += len(families[key])
    return {key: side for key, side in sides.items() if side}


def _given(family: Sequence[Labeled], frozen: str | None) -> str | None:
    return frozen or ("train" if any(row["origin"] == "public" for row in family) else None)


def _stratum(family: Sequence[Labeled]) -> str:
    counts = Counter(stratum(row) for row in family)
    return min(counts, key=lambda name: (-counts[name], name))


def _short_side(tally: Mapping[str, int], test_share: float) -> str:
    short = tally["test"] * (1 - test_share) < tally["train"] * test_share
    return "test" if short else "train"
