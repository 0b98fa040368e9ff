"""Columns that several tables share: the same fact has the same column name in every table.

What is true of a column stands here, once, for every table that has it.
"""

from dataclasses import replace

import pyarrow as pa

from chillguard.tables.reasons import Reason
from chillguard.tables.table import LABELS, Column

ORIGINS = ("real", "rag", "rewrite", "public")

_TEXT, _WHOLE, _SHARE, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TEXTS = pa.list_(_TEXT)

TERMS = (
    Column("may_redistribute", _FLAG, "the text itself may be published", published=True),
    Column("may_train", _FLAG, "the text may be used to make or be training data"),
)
# A prompt has the terms of what it was made from; its walk shows them there.
_TERMS_OF_PROMPT = tuple(replace(column, traced=False) for column in TERMS)
DROP = (
    Column("drop_reason", _TEXT, "why the row goes no further; null = kept", True, tuple(Reason)),
    Column("drop_evidence", _TEXT, "what the reason rests on: rule, twin, call", nullable=True),
)
BIRTH = (
    Column(
        "prompt_id",
        _TEXT,
        "digest of the row's birth, assigned once",
        published=True,
        trained=True,
        traced=False,
    ),
    Column(
        "family_id", _TEXT, "lineage root: the post or prompt it all comes from", published=True
    ),
    Column("origin", _TEXT, "where the prompt was born", values=ORIGINS, published=True),
    Column(
        "method", _TEXT, "how it was made: source name, `rag` or a rewriting method", published=True
    ),
    Column("parent_ids", _TEXTS, "the rows it was made from", traced=False),
    Column(
        "context_post_ids", _TEXTS, "posts shown to the model beside the source post", traced=False
    ),
    Column("query_id", _TEXT, "retrieval query (RAG prompts)", nullable=True),
    Column("call_key", _TEXT, "ledger key of the call that made the text", True, is_call_key=True),
    Column(
        "text",
        _TEXT,
        "stored form, evasion characters kept; null = dropped",
        True,
        holds_text=True,
        published=True,
        trained=True,
    ),
    Column("text_hash", _TEXT, "digest of the text", traced=False),
    Column("lang", _TEXT, "zh, en, or another ISO 639-1 code", nullable=True, published=True),
    Column("response", _TEXT, "the answer to the prompt (null for now)", True, holds_text=True),
    Column("source_label", _TEXT, "label that came with the file", True, LABELS),
    Column("intended_label", _TEXT, "label the row was made or annotated for", True, LABELS),
    Column("intended_category", _TEXT, "micro category it was made for, kept on safe rows", True),
    Column("is_twin", _FLAG, "a benign twin: safe on purpose, unsafe vocabulary", published=True),
    Column(
        "decided_by",
        _TEXT,
        "who gave the label: source, jury, tie_breaker, review",
        True,
        published=True,
    ),
    *_TERMS_OF_PROMPT,
)
TRANSLATED = (
    Column("translated_from", _TEXT, "the text before translation", True, holds_text=True),
)
MATCH = (
    Column("match_text", _TEXT, "normalised form, for comparison only", True, holds_text=True),
)
VERDICT = (
    Column(
        "label", _TEXT, "final label; null = dropped", True, LABELS, published=True, trained=True
    ),
    Column(
        "macro_category", _TEXT, "macro code; null on safe rows", True, published=True, traced=False
    ),
    Column(
        "micro_category", _TEXT, "micro code; null on safe rows", True, published=True, trained=True
    ),
)
VOTES = (
    Column("votes", _TEXTS, "one `juror=verdict` per juror, in slot order"),
    Column("n_valid_votes", _WHOLE, "votes that are not abstentions", published=True),
    Column(
        "agreement", _SHARE, "share of valid votes for the majority, 0 to 1", True, published=True
    ),
    Column(
        "category_call_key", _TEXT, "ledger key of the categorizer's call", True, is_call_key=True
    ),
)
