"""Every table of the lineage: its columns, its key and what one row is.

The same fact has the same column name in every table. A blocking asset check per table is
generated from here. Tables about the jury are in `chillguard.tables.jury`, those of co-training in
`chillguard.tables.training`; what a table is, in `chillguard.tables.table`.
"""

from dataclasses import replace

import pyarrow as pa

from chillguard.tables.jury import ANCHOR_VOTES as ANCHOR_VOTES
from chillguard.tables.jury import JURY_QUALITY as JURY_QUALITY
from chillguard.tables.jury import REVIEW_DECISIONS as REVIEW_DECISIONS
from chillguard.tables.jury import REVIEW_QUEUE as REVIEW_QUEUE
from chillguard.tables.reasons import Reason
from chillguard.tables.table import LABELS as LABELS
from chillguard.tables.table import VERDICTS as VERDICTS
from chillguard.tables.table import Column as Column
from chillguard.tables.table import SchemaError as SchemaError
from chillguard.tables.table import Table as Table

ORIGINS = ("real", "rag", "rewrite", "public")
SPLITS = ("train", "test")

_TEXT, _WHOLE, _SHARE, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TEXTS = pa.list_(_TEXT)

TERMS = (
    Column("may_redistribute", _FLAG, "the text itself may be published", published=True),
    Column("may_train", _FLAG, "the text may be used to make or be training data"),
)
# A prompt has the terms of what it was made from; its walk shows them there.
_TERMS_OF_PROMPT = tuple(replace(column, traced=False) for column in TERMS)
_DROP = (
    Column("drop_reason", _TEXT, "why the row goes no further; null = kept", True, tuple(Reason)),
    Column("drop_evidence", _TEXT, "what the reason rests on: rule, twin, call", nullable=True),
)
_BIRTH = (
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
_TRANSLATED = (
    Column("translated_from", _TEXT, "the text before translation", True, holds_text=True),
)
_MATCH = (
    Column("match_text", _TEXT, "normalised form, for comparison only", True, holds_text=True),
)
_VERDICT = (
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

TAXONOMY = Table(
    "taxonomy",
    "category",
    ("code",),
    (
        Column("code", _TEXT, "category code"),
        Column("level", _TEXT, "macro or micro", values=("macro", "micro")),
        Column("macro_category", _TEXT, "code of the macro category it belongs to"),
        Column("clause", _TEXT, "clause of the standard", nullable=True),
        Column("label_zh", _TEXT, "Chinese label"),
        Column("label_en", _TEXT, "English label"),
        Column("definition_zh", _TEXT, "definition shown to models"),
        Column("preamble_zh", _TEXT, "context a category needs to be judged", nullable=True),
        Column("taxonomy", _TEXT, "name of the taxonomy"),
        Column("version", _TEXT, "version of the taxonomy"),
    ),
)
_KEYWORD = (
    Column("keyword_id", _TEXT, "digest of category and Chinese form"),
    Column("micro_category", _TEXT, "micro code"),
    Column("zh", _TEXT, "Chinese form"),
    Column("en", _TEXT, "English form"),
)
SEED_KEYWORDS = Table("seed_keywords", "seed keyword", ("keyword_id",), _KEYWORD)
EXPANDED_KEYWORDS = Table(
    "expanded_keywords",
    "keyword",
    ("keyword_id",),
    (
        *_KEYWORD,
        Column("provenance", _TEXT, "where it came from", values=("seed", "expanded")),
        Column("call_key", _TEXT, "ledger key of the expanding call", True, is_call_key=True),
    ),
)
CRAWLED_POSTS = Table(
    "crawled_posts",
    "post",
    ("post_id", "native_id"),
    (
        Column("post_id", _TEXT, "digest of the text"),
        Column("native_id", _TEXT, "the source's own id", personal=True),
        Column("source", _TEXT, "configured source"),
        Column("url", _TEXT, "where it was read", nullable=True, personal=True),
        Column("posted_at", _TEXT, "time of the post, ISO 8601 in UTC", nullable=True),
        Column("keyword_id", _TEXT, "keyword that found it", nullable=True, traced=False),
        Column(
            "text",
            _TEXT,
            "text, personal data replaced; null = dropped",
            True,
            holds_text=True,
            traced=False,
        ),
        Column("lang", _TEXT, "detected language", nullable=True),
        *TERMS,
        *_DROP,
    ),
)
POST_INDEX = Table(
    "post_index",
    "indexed post",
    ("post_id",),
    (
        Column("post_id", _TEXT, "id of the post"),
        Column("point_id", _TEXT, "id of its point: post, language, sources and terms"),
        Column("sources", _TEXTS, "every source that holds the text"),
        Column("text", _TEXT, "text that was embedded", holds_text=True),
        Column("lang", _TEXT, "detected language", nullable=True),
        Column("embedding_model", _TEXT, "model and revision of the vector"),
        Column("dimension", _WHOLE, "length of the vector"),
        Column(
            "retrievable", _FLAG, "in the index; false where terms bar training or no vector came"
        ),
        *TERMS,
    ),
)
SYNTHESIZED_PROMPTS = Table("synthesized_prompts", "RAG prompt", ("prompt_id",), (*_BIRTH, *_DROP))
REAL_PROMPTS = Table("real_prompts", "production prompt", ("prompt_id",), (*_BIRTH, *_DROP))
ANNOTATED_PROMPTS = Table("annotated_prompts", "real prompt", ("prompt_id",), (*_BIRTH, *_DROP))
REWRITTEN_PROMPTS = Table("rewritten_prompts", "rewrite", ("prompt_id",), (*_BIRTH, *_DROP))
PUBLIC_PROMPTS = Table("public_prompts", "external sample", ("prompt_id",), (*_BIRTH, *_DROP))
BENCHMARK_PROMPTS = Table(
    "benchmark_prompts",
    "prompt of an evaluation set, which Train must not hold",
    ("prompt_id",),
    (
        Column("prompt_id", _TEXT, "digest of benchmark and text"),
        Column("benchmark", _TEXT, "configured benchmark"),
        Column(
            "text", _TEXT, "text, personal data replaced; null = dropped", True, holds_text=True
        ),
        Column("text_hash", _TEXT, "digest of the text"),
        *_DROP,
    ),
)
CANDIDATE_PROMPTS = Table(
    "candidate_prompts", "prompt", ("prompt_id",), (*_BIRTH, *_TRANSLATED, *_DROP)
)
CLEAN_PROMPTS = Table(
    "clean_prompts", "prompt", ("prompt_id",), (*_BIRTH, *_TRANSLATED, *_MATCH, *_DROP)
)
JURY_VOTES = Table(
    "jury_votes",
    "(prompt, juror)",
    ("prompt_id", "juror"),
    (
        Column("prompt_id", _TEXT, "the prompt that was judged"),
        Column("juror", _TEXT, "juror slot", traced=False),
        Column("model", _TEXT, "model and revision in the slot"),
        Column("verdict", _TEXT, "the vote", values=VERDICTS),
        Column("p_unsafe", _SHARE, "probability of unsafe, where known", nullable=True),
        Column("reason", _TEXT, "why the juror abstained", nullable=True),
        Column("call_key", _TEXT, "ledger key of the vote", is_call_key=True),
    ),
)
LABELED_PROMPTS = Table(
    "labeled_prompts",
    "prompt",
    ("prompt_id",),
    (*_BIRTH, *_TRANSLATED, *_MATCH, *_VERDICT, *VOTES, *_DROP),
)
_RELEASED_FIRST = (
    *("prompt_id", "text", "label", "macro_category", "micro_category"),
    *("origin", "method", "family_id"),
)
_SPLIT = Column("split", _TEXT, "side of the release", values=SPLITS, published=True)
_LATER = {c.name: c for c in (*VOTES, *_BIRTH, *_TRANSLATED, *_VERDICT)}
_RELEASED = (*(_LATER.pop(name) for name in _RELEASED_FIRST), _SPLIT, *_LATER.values())
TRAIN_SET = Table("train_set", "sample", ("prompt_id",), _RELEASED)
TEST_SET = Table("test_set", "sample", ("prompt_id",), _RELEASED)
RELEASE_DROPS = Table(
    "release_drops",
    "labeled prompt that did not enter the release",
    ("prompt_id",),
    (
        Column("prompt_id", _TEXT, "the prompt"),
        Column("family_id", _TEXT, "its lineage root"),
        Column("split", _TEXT, "side its family is on; null = dropped before", True, SPLITS),
        replace(_DROP[0], nullable=False),
        _DROP[1],
    ),
)
DATASET_CARD = Table(
    "dataset_card",
    "release",
    ("version",),
    (
        Column("version", _TEXT, "digest of the content of Train and Test"),
        Column("previous_version", _TEXT, "release before this one", nullable=True),
        Column("n_train", _WHOLE, "rows in Train"),
        Column("n_test", _WHOLE, "rows in Test"),
        Column("n_added", _WHOLE, "rows that the previous release lacks"),
        Column("n_removed", _WHOLE, "rows that only the previous release holds"),
        Column("n_relabeled", _WHOLE, "rows in both with another label or category"),
    ),
)
REJECTED_ROWS = Table(
    "rejected_rows",
    "input row that could not be read",
    ("source", "line", "column"),
    (
        Column("source", _TEXT, "configured source"),
        Column("line", _WHOLE, "line of the file, or row of a Parquet file, from 1"),
        Column("column", _TEXT, "column at fault, or `*` for the whole row"),
        Column("reason", _TEXT, "what is wrong with it; never the raw text"),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        TAXONOMY, SEED_KEYWORDS, EXPANDED_KEYWORDS, CRAWLED_POSTS, REJECTED_ROWS, POST_INDEX,
        SYNTHESIZED_PROMPTS, REAL_PROMPTS, ANNOTATED_PROMPTS, REWRITTEN_PROMPTS, PUBLIC_PROMPTS,
        BENCHMARK_PROMPTS, CANDIDATE_PROMPTS, CLEAN_PROMPTS, REVIEW_DECISIONS, JURY_VOTES,
        LABELED_PROMPTS, REVIEW_QUEUE, TRAIN_SET, TEST_SET, RELEASE_DROPS, ANCHOR_VOTES,
        JURY_QUALITY, DATASET_CARD,
    )
}  # fmt: skip
