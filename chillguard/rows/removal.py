"""What takedown knows of one row: what tells a post, and what was made from it.

Going through the tables is `chillguard.lineage.takedown`.
"""

from collections.abc import Collection

from chillguard.tables import rows
from chillguard.tables.reasons import Reason

# Why a prompt, and why a post, goes.
OF_PROMPT = (Reason.TAKEDOWN, "made from a removed post")
OF_POST = (Reason.TAKEDOWN, "removed on request")


def marks(post_id: str, native_id: str, source: str, url: str | None) -> set[str]:
    """What tells a post among those of all sources: post id, `source:own id`, URL."""
    return {post_id, f"{source}:{native_id}"} | ({url} if url else set())


def is_derived(row: rows.Derived, post_ids: Collection[str]) -> bool:
    """Whether a prompt was made from one of the posts, or with one as context."""
    return not {row["family_id"], *row["context_post_ids"]}.isdisjoint(post_ids)
