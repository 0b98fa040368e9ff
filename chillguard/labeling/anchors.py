"""The frozen anchor set: texts with known labels that every juror judges at each refresh.

An anchor's repeat index in the ledger is the number of the release that a refresh makes or makes
again: a new release asks anew, so a hosted model that changed behind its declared revision shows,
and a run over unchanged input pays for nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from chillguard import identity
from chillguard.calls import call
from chillguard.labeling import jury
from chillguard.tables import lineage
from chillguard.tables.jury import AnchorVote
from chillguard.tables.rows import WithText
from chillguard.tables.table import LABELS
from chillguard.taxonomy import Taxonomy


class AnchorError(ValueError):
    """An anchor file that cannot be used; the message says which entry and why."""


@dataclass(frozen=True)
class Anchor:
    """One text whose label and category are known; a safe one has the category it is close to."""

    anchor_id: str
    text: str
    label: str
    category: str


def parse(document: Any, taxonomy: Taxonomy, where: str) -> tuple[Anchor, ...]:
    """Anchors of a document `{code: {unsafe: text or list, safe: …}}`; `where` is its name."""
    if not isinstance(document, dict):
        raise AnchorError(f"anchor file {where} does not map category codes to anchors")
    by_id: dict[str, Anchor] = {}
    for code, by_label in document.items():
        if code not in taxonomy.codes:
            raise AnchorError(f"anchor file {where}: category {code!r} is not in the taxonomy")
        for label, text in _texts(code, by_label, where):
            key = identity.digest("anchor", text)
            if key in by_id:
                raise AnchorError(f"anchor file {where}: {code}: a text stands twice")
            by_id[key] = Anchor(key, text, label, code)
    return tuple(by_id.values())


def requests(
    anchors: Iterable[Anchor], taxonomy: Taxonomy, config: jury.LabelingConfig, refresh: int
) -> Iterator[call.ChatRequest]:
    """The vote on each anchor, in the very words of every other vote."""
    rows: Iterator[WithText] = (
        {"prompt_id": anchor.anchor_id, "text": anchor.text} for anchor in anchors
    )
    for request in jury.vote_requests(rows, taxonomy, config):
        yield replace(request, repeat=refresh)


def votes(
    anchors: Sequence[Anchor],
    taxonomy: Taxonomy,
    config: jury.LabelingConfig,
    ask: call.Ask,
    jurors: Mapping[str, str],
    refresh: int,
) -> pa.Table:
    """The `anchor_votes` table; `jurors` are slots with their model and revision."""
    anchor_of = {anchor.anchor_id: anchor for anchor in anchors}
    cast: list[AnchorVote] = []
    for juror, model in jurors.items() if anchors else ():
        asked = requests(anchors, taxonomy, config, refresh)
        for outcome in ask(juror, asked, jury.parse_vote, len(anchors)):
            anchor = anchor_of[outcome.row_id]
            cast.append(
                {
                    "anchor_id": outcome.row_id,
                    "juror": juror,
                    "model": model,
                    "intended_label": anchor.label,
                    "intended_category": anchor.category,
                    "verdict": outcome.value.label if outcome.value else "abstain",
                    "p_unsafe": outcome.value.p_unsafe if outcome.value else None,
                    "reason": outcome.reason,
                    "refresh": refresh,
                    "call_key": outcome.call_key,
                }
            )
    return lineage.ANCHOR_VOTES.build(cast)


def _texts(code: str, by_label: Any, where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(by_label, dict) or set(by_label) - set(LABELS):
        raise AnchorError(f"anchor file {where}: {code} does not map safe and unsafe to texts")
    for label, texts in by_label.items():
        for text in texts if isinstance(texts, list) else [texts]:
            if not isinstance(text, str) or not text.strip():
                raise AnchorError(f"anchor file {where}: {code}, {label}: a text is empty or none")
            yield label, text
