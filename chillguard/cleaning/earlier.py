"""The signature index of released rows: what it looks like, and which rows it stands for.

It keeps ids and signatures only. Texts are in the releases; files are the business of `resources`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chillguard.rows import removal
from chillguard.tables.rows import Made, given
from chillguard.text import matching, near_duplicates

COLUMNS = ["prompt_id", "family_id", "origin", "parent_ids", "context_post_ids", "text"]


@dataclass(frozen=True)
class Earlier:
    """Released rows that are no candidates any more, and their signatures, shape (rows, num_perm).

    Rows hold at least `prompt_id`, `family_id`, `origin` and `text`.
    """

    rows: Sequence[Made]
    signatures: near_duplicates.Signatures


def table(released: pa.Table, config: near_duplicates.NearDuplicateConfig) -> pa.Table:
    """Columns `prompt_id` and `signature` of released rows; the metadata says how it was made."""
    texts = [matching.match_text(text) for text in released["text"].to_pylist()]
    found = near_duplicates.signatures(texts, config)
    columns = {
        "prompt_id": released["prompt_id"],
        "signature": pa.array([row.tobytes() for row in found], pa.binary(4 * config.num_perm)),
    }
    return pa.table(columns).sort_by("prompt_id").replace_schema_metadata(_made_by(config))


def mismatch(index: pa.Table, config: near_duplicates.NearDuplicateConfig) -> str | None:
    """How the index was made and how it should have been, if these differ."""
    found = {key.decode(): value.decode() for key, value in (index.schema.metadata or {}).items()}
    wanted = _made_by(config)
    if found == wanted:
        return None
    return f"its signatures are of {_told(found)}, the settings ask for {_told(wanted)}"


def departed(
    released: Iterable[pa.Table],
    candidates: pa.Table,
    taken_down: Collection[str],
    index: Iterable[pa.Table],
    config: near_duplicates.NearDuplicateConfig,
    successors: Mapping[str, str],
) -> Earlier:
    """The rows of `released` (newest last) that are no kept candidates and were not taken down.

    A candidate of the same origin and text is the same row, whatever its id was; `successors` are
    families by the ids that they had. A row that the index lacks gets its signature from its text.
    """
    kept = candidates.filter(pc.is_null(candidates["drop_reason"]))
    here = set(kept["prompt_id"].to_pylist())
    said = set(zip(kept["origin"].to_pylist(), kept["text"].to_pylist(), strict=True))
    rows: dict[str, Made] = {}
    for release in released:
        released_rows: list[Made] = release.select(COLUMNS).to_pylist()
        for row in released_rows:
            is_here = row["prompt_id"] in here or (row["origin"], row["text"]) in said
            if not is_here and not removal.is_derived(row, taken_down):
                row["family_id"] = successors.get(row["family_id"], row["family_id"])
                rows[row["prompt_id"]] = row
    saved: dict[str, bytes] = {}
    for part in index:
        saved |= zip(part["prompt_id"].to_pylist(), part["signature"].to_pylist(), strict=True)
    keys = sorted(rows)
    new = [i for i, key in enumerate(keys) if key not in saved]
    blank = bytes(4 * config.num_perm)
    packed = b"".join(saved.get(key, blank) for key in keys)
    found = np.frombuffer(bytearray(packed), np.uint32).reshape(-1, config.num_perm)
    texts = [matching.match_text(given(rows[keys[i]]["text"])) for i in new]
    found[new] = near_duplicates.signatures(texts, config)
    return Earlier([rows[key] for key in keys], found)


def _made_by(config: near_duplicates.NearDuplicateConfig) -> dict[str, str]:
    return {
        "scheme": near_duplicates.SCHEME,
        "shingle": str(config.shingle),
        "num_perm": str(config.num_perm),
    }


def _told(made_by: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(made_by.items())) or "nothing known"
