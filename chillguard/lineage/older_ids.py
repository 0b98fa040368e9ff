"""Homes made before a `family_id` was that of the root's text: whose families are whose today.

There the family of a prompt had the `prompt_id` of its root, which held the name of its source; the
family of a RAG prompt had the `post_id` of its post.
"""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from chillguard import identity
from chillguard.rows import intake
from chillguard.text import matching

COLUMNS = ["prompt_id", "family_id", "origin", "method", "parent_ids", "text", "translated_from"]
_READ = pa.array(["real", "public"])


def successors(candidates: pa.Table, released: Iterable[pa.Table]) -> dict[str, str]:
    """Families of today by the ids that they have in `released` (`COLUMNS`), where these differ.

    `candidates` tells what the roots are called today. Without releases of that kind it is empty.
    """
    old = [table for table in released if table.num_rows and _is_old(table)]
    if not old:
        return {}
    found: dict[str, str] = {}
    names: set[tuple[str, str]] = set()
    for row in _roots([*old, candidates]):
        names.add((row["origin"], row["method"]))
        if row["prompt_id"] == row["family_id"]:
            # What is replaced in a text may have changed since.
            admitted = intake.admit(row["translated_from"] or row["text"])
            found[row["family_id"]] = matching.family_id(admitted.text or admitted.text_hash)
    for row in _roots([candidates]):
        text = row["translated_from"] or row["text"]
        for origin, name in names:
            if origin == row["origin"]:
                found[identity.prompt_id(origin, [], name, 0, text)] = row["family_id"]
    return found | dict(_made_from(candidates))


def taken_over(sides: Mapping[str, str], successors: Mapping[str, str]) -> dict[str, str]:
    """The sides of families under their ids of today, beside those that they had.

    Copies that were two families on two sides are one in Train: then Test is clean of it for all
    who trained on either.
    """
    found = dict(sides)
    for old, new in sorted(successors.items()):
        side = sides.get(old)
        if side is not None and new not in sides:
            found[new] = "train" if "train" in (side, found.get(new)) else side
    return found


def _is_old(table: pa.Table) -> bool:
    """Whether a root is its own family, or a post that of its prompts."""
    by_prompt = pc.any(pc.equal(table["family_id"], table["prompt_id"])).as_py()
    return bool(by_prompt) or any(post == family for post, family in _made_from(table))


def _made_from(table: pa.Table) -> Iterator[tuple[str, str]]:
    """The post and the family of each RAG prompt."""
    made = table.filter(pc.equal(table["origin"], "rag"))
    pairs = zip(made["parent_ids"].to_pylist(), made["family_id"].to_pylist(), strict=True)
    return ((post, family) for parents, family in pairs for post in parents)


def _roots(tables: Iterable[pa.Table]) -> Iterator[dict[str, str]]:
    for table in tables:
        read = table.filter(pc.is_in(table["origin"], value_set=_READ)).select(COLUMNS)
        yield from (row for row in read.to_pylist() if row["text"])
