"""The door of the lineage: every text, read or generated, passes here once, at birth.

Personal data is replaced, the dual-use screen is applied, and the row gets its identity. What
happens to a row afterwards is the business of its stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from chillguard import identity
from chillguard.tables import rows
from chillguard.tables.reasons import KEPT, Reason, drop
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
    **columns: Unpack[rows.Born],
) -> rows.Prompt:
    """A prompt row at birth; `text` None makes a dropped slot (give `drop_reason`).

    `parents` are the rows it was made from. `born_from` names what else tells two births apart
    (a query, a slot). A row without parents is the root of its own family, and its `method` is the
    name of its source, which is no part of its id.
    """
    admitted = admit(text or "")
    born_by = method if parents else ""
    root = admitted.text or admitted.text_hash
    key = identity.prompt_id(origin, [*parents, *born_from], born_by, repeat, root)
    family = columns.get("family_id") or matching.family_id(root)
    begun = _begun(key, family, origin, method, parents, admitted)
    row: rows.Prompt = {**begun, **columns}
    if row["text"] and not row["lang"]:
        row["lang"] = language.detect(row["text"])
    if admitted.drop_reason:
        drop(row, admitted.drop_reason, admitted.drop_evidence)
    return row


def _begun(
    key: str, family: str, origin: str, method: str, parents: Sequence[str], admitted: Admitted
) -> rows.Prompt:
    """A prompt of which nothing else is known."""
    return {
        "prompt_id": key,
        "family_id": family,
        "origin": origin,
        "method": method,
        "parent_ids": list(parents),
        "context_post_ids": [],
        "query_id": None,
        "call_key": None,
        "text": admitted.text or None,
        "text_hash": admitted.text_hash,
        "lang": None,
        "response": None,
        "source_label": None,
        "intended_label": None,
        "intended_category": None,
        "is_twin": False,
        "decided_by": None,
        "may_redistribute": True,
        "may_train": True,
        **KEPT,
    }


def inherited(parents: Sequence[rows.Terms]) -> rows.Terms:
    """Terms of a row made from `parents`: the strictest of theirs."""
    return {
        "may_redistribute": all(parent["may_redistribute"] for parent in parents),
        "may_train": all(parent["may_train"] for parent in parents),
    }
