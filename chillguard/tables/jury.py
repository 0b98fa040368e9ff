"""The tables about the jury: reviewers' decisions, the review queue, anchors, jury quality."""

from typing import TypedDict

import pyarrow as pa

from chillguard.tables.reasons import Reason
from chillguard.tables.table import LABELS, VERDICTS, Column, Table

_TEXT, _WHOLE, _SHARE = pa.string(), pa.int64(), pa.float64()

REVIEW_STANDINGS = ("applied", "superseded", "unknown_prompt", "other_text")
SPLIT_VOTES = "split"
QUEUE_REASONS = (Reason.UNRESOLVED, Reason.UNCATEGORISED, SPLIT_VOTES)


class Decision(TypedDict):
    """A row of `review_decisions`."""

    source: str
    line: int
    prompt_id: str
    label: str
    micro_category: str | None
    reviewer: str
    decided_on: str
    standing: str


class Waiting(TypedDict):
    """A prompt that waits for a reviewer, before it has a place in the queue."""

    prompt_id: str
    queue_reason: str
    vote_entropy: float
    p_unsafe: float | None
    text: str
    text_hash: str
    votes: list[str]
    label: str | None
    micro_category: str | None
    intended_category: str | None


class Queued(Waiting):
    """A row of `review_queue`."""

    rank: int


class AnchorVote(TypedDict):
    """A row of `anchor_votes`."""

    anchor_id: str
    juror: str
    model: str
    intended_label: str
    intended_category: str
    verdict: str
    p_unsafe: float | None
    reason: str | None
    refresh: int
    call_key: str


class Figure(TypedDict):
    """A row of `jury_quality`."""

    measure: str
    reference: str
    category: str
    juror: str
    other: str
    value: float | None
    n: int


REVIEW_DECISIONS = Table(
    "review_decisions",
    "decision of a reviewer",
    ("source", "line"),
    (
        Column("source", _TEXT, "name of the file", traced=False),
        Column(
            "line",
            _WHOLE,
            "line of a CSV file, or number of the decision in an export",
            traced=False,
        ),
        Column("prompt_id", _TEXT, "the prompt that was decided"),
        Column("label", _TEXT, "the reviewer's label", values=LABELS),
        Column("micro_category", _TEXT, "the reviewer's micro code; null on safe", nullable=True),
        Column("reviewer", _TEXT, "who decided", personal=True),
        Column("decided_on", _TEXT, "when, ISO 8601 in UTC, as the file says"),
        Column("standing", _TEXT, "whether it counts, or why not", values=REVIEW_STANDINGS),
    ),
    Decision,
)
REVIEW_QUEUE = Table(
    "review_queue",
    "prompt that waits for a reviewer",
    ("prompt_id",),
    (
        Column("prompt_id", _TEXT, "the prompt"),
        Column("rank", _WHOLE, "place in the queue, from 1"),
        Column("queue_reason", _TEXT, "why it waits", values=QUEUE_REASONS),
        Column("vote_entropy", _SHARE, "entropy of the valid votes, in bits"),
        Column("p_unsafe", _SHARE, "probability of unsafe by Dawid-Skene", nullable=True),
        Column("text", _TEXT, "stored form", holds_text=True, traced=False),
        Column("text_hash", _TEXT, "digest of the text", traced=False),
        Column("votes", pa.list_(_TEXT), "one `juror=verdict` per juror, in slot order"),
        Column("label", _TEXT, "label as it stands; null = dropped", True, LABELS),
        Column("micro_category", _TEXT, "micro code as it stands", nullable=True),
        Column("intended_category", _TEXT, "micro category it was made for", nullable=True),
    ),
    Queued,
)
ANCHOR_VOTES = Table(
    "anchor_votes",
    "(anchor, juror)",
    ("anchor_id", "juror"),
    (
        Column("anchor_id", _TEXT, "digest of the anchor's text"),
        Column("juror", _TEXT, "juror slot"),
        Column("model", _TEXT, "model and revision in the slot"),
        Column("intended_label", _TEXT, "the anchor's known label", values=LABELS),
        Column("intended_category", _TEXT, "the anchor's micro category, on safe ones too"),
        Column("verdict", _TEXT, "the vote", values=VERDICTS),
        Column("p_unsafe", _SHARE, "probability of unsafe, where known", nullable=True),
        Column("reason", _TEXT, "why the juror abstained", nullable=True),
        Column("refresh", _WHOLE, "number of the release that the vote was asked for"),
        Column("call_key", _TEXT, "ledger key of the vote", is_call_key=True),
    ),
    AnchorVote,
)
JURY_QUALITY = Table(
    "jury_quality",
    "(measure, reference, category, juror, other juror)",
    ("measure", "reference", "category", "juror", "other"),
    (
        Column("measure", _TEXT, "what was measured"),
        Column("reference", _TEXT, "what votes are held against: panel, review, anchors, last"),
        Column("category", _TEXT, "micro code, a label, or `all`"),
        Column("juror", _TEXT, "juror slot, or `all`"),
        Column("other", _TEXT, "second juror, category or label; else `all`"),
        Column("value", _SHARE, "the figure; null where it is not defined", nullable=True),
        Column("n", _WHOLE, "rows that it rests on"),
    ),
    Figure,
)
