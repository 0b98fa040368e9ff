"""The door of the lineage: every text, read or generated, passes here once, at birth.

Personal data is replaced, the dual-use screen is applied, and the row gets its identity. What
happens to a row afterwards is the business of its stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chillguard import identity
from chillguard.tables.reasons import Reason
from chillguard.text import language, matching, personal_data, screening

# Patterns and screens run over every character, and a table holds it: 64 Ki characters are more
# than any stage keeps (posts 2,000, prompts 1,000).
MAX_CHARS = 65_536


@dataclass(frozen=True)
class Admitted:
    """A text at the door: stored form (None if it may not be stored) and why it was stopped."""

    text: str | None
    text_hash: str
    drop_reason: Reason | None
    drop_evidence: str | None


def admit(text: str) -> Admitted:
    """Replace personal data and screen; a text too long or screened leaves only its hash."""
    if len(text) > MAX_CHARS:
        evidence = f"{len(text)} characters, at most {MAX_CHARS} are read"
        return Admitted(None, identity.text_hash(text), Reason.TOO_LONG, evidence)
    clean = personal_data.replace(text.strip())
    rule = screening.screen(clean)
    if rule:
        return Admitted(None, identity.text_hash(clean), Reason.SCREENED, f"rule {rule}")
    return Admitted(clean, identity.text_hash(clean), None, None)


def taken_down(admitted: Admitted) -> Admitted:
    """What is left of a text that somebody had removed: its hash."""
    return Admitted(None, admitted.text_hash, Reason.TAKEDOWN, "removed on request")


def prompt(
    origin: str,
    method: str,
    parents: Sequence[str],
    text: str | None,
    repeat: int = 0,
    born_from: Sequence[str] = (),
    **columns: Any,
) -> dict[str, Any]:
    """A prompt row at birth; `text` None makes a dropped slot (give `drop_reason`).

    `parents` are the rows it was made from. `born_from` names what else tells two births apart
    (a query, a slot). A row without parents is the root of its own family, and its `method` is the
    name of its source, which is no part of its id.
    """
    admitted = admit(text or "")
    born_by = method if parents else ""
    root = admitted.text or admitted.text_hash
    row = {
        "prompt_id": identity.prompt_id(origin, [*parents, *born_from], born_by, repeat, root),
        "family_id": columns.get("family_id") or matching.family_id(root),
        "origin": origin,
        "method": method,
        "parent_ids": list(parents),
        "context_post_ids": [],
        "is_twin": False,
        "may_redistribute": True,
        "may_train": True,
        "text_hash": admitted.text_hash,
        **columns,
        "text": admitted.text or None,
    }
    if row["text"] and not row.get("lang"):
        row["lang"] = language.detect(row["text"])
    if admitted.drop_reason:
        row |= {"drop_reason": admitted.drop_reason, "drop_evidence": admitted.drop_evidence}
    return row


def inherited(parents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Terms of a row made from `parents`: the strictest of theirs."""
    return {
        term: all(parent[term] for parent in parents) for term in ("may_redistribute", "may_train")
    }
