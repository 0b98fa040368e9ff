"""What takedown knows of one row: what tells a post, and what was made from it.

Going through the tables is `chillguard.lineage.takedown`.
"""

from collections.abc import Collection

from chillguard.tables import rows
from chillguard.tables.reasons import Reason

# Why a prompt, and why a post, goes.
OF_PROMPT = (Reason.TAKEDOWN, "made from a removed post")
OF_POST = (Reason.TAKEDOWN, "removed on request")


def marks(
    post_id: str, native_id: str, source: str, url: str | None, family_id: str | None
) -> set[str]:
    """What tells a post among those of all sources: post id, `source:own id`, URL, family.

    The family is that of its text, so that a copy in another spelling is barred too.
    """
    return {post_id, f"{source}:{native_id}"} | {mark for mark in (url, family_id) if mark}


def is_derived(row: rows.Derived, marked: Collection[str]) -> bool:
    """Whether a prompt was made from one of the posts, or with one as context, by their marks."""
    made_of = {row["family_id"], *row["parent_ids"], *row["context_post_ids"]}
    return not made_of.isdisjoint(marked)
