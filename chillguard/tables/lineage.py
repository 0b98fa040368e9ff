"""Every table of the lineage: its columns, its key and what one row is.

The same fact has the same column name in every table. A blocking asset check per table is
generated from here. Tables about the jury are in `chillguard.tables.jury`, those of co-training in
`chillguard.tables.training`; what a table is, in `chillguard.tables.table`.
"""

from dataclasses import replace
from typing import Any

import pyarrow as pa

from chillguard.tables import rows
from chillguard.tables.columns import BIRTH, DROP, MATCH, TERMS, TRANSLATED, VERDICT, VOTES
from chillguard.tables.columns import ORIGINS as ORIGINS
from chillguard.tables.jury import ANCHOR_VOTES as ANCHOR_VOTES
from chillguard.tables.jury import JURY_QUALITY as JURY_QUALITY
from chillguard.tables.jury import REVIEW_DECISIONS as REVIEW_DECISIONS
from chillguard.tables.jury import REVIEW_QUEUE as REVIEW_QUEUE
from chillguard.tables.table import LABELS as LABELS
from chillguard.tables.table import VERDICTS as VERDICTS
from chillguard.tables.table import Column as Column
from chillguard.tables.table import SchemaError as SchemaError
from chillguard.tables.table import Table as Table

SPLITS = ("train", "test")

_TEXT, _WHOLE, _SHARE, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TEXTS = pa.list_(_TEXT)

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
    rows.Category,
)
_KEYWORD = (
    Column("keyword_id", _TEXT, "digest of category and Chinese form"),
    Column("micro_category", _TEXT, "micro code"),
    Column("zh", _TEXT, "Chinese form"),
    Column("en", _TEXT, "English form"),
)
SEED_KEYWORDS = Table("seed_keywords", "seed keyword", ("keyword_id",), _KEYWORD, rows.SeedKeyword)
EXPANDED_KEYWORDS = Table(
    "expanded_keywords",
    "keyword",
    ("keyword_id",),
    (
        *_KEYWORD,
        Column("provenance", _TEXT, "where it came from", values=("seed", "expanded")),
        Column("call_key", _TEXT, "ledger key of the expanding call", True, is_call_key=True),
    ),
    rows.Keyword,
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
        *DROP,
    ),
    rows.Post,
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
    rows.IndexedPost,
)


def _prompts(name: str, row: str) -> Table[rows.Prompt]:
    """A table in which prompts are born."""
    return Table(name, row, ("prompt_id",), (*BIRTH, *DROP), rows.Prompt)


SYNTHESIZED_PROMPTS = Table(
    "synthesized_prompts", "RAG prompt", ("prompt_id",), (*BIRTH, *DROP), rows.Prompt
)
REAL_PROMPTS = Table(
    "real_prompts", "production prompt", ("prompt_id",), (*BIRTH, *DROP), rows.Prompt
)
ANNOTATED_PROMPTS = Table(
    "annotated_prompts", "real prompt", ("prompt_id",), (*BIRTH, *DROP), rows.Prompt
)
REWRITTEN_PROMPTS = Table(
    "rewritten_prompts", "rewrite", ("prompt_id",), (*BIRTH, *DROP), rows.Prompt
)
PUBLIC_PROMPTS = Table(
    "public_prompts", "external sample", ("prompt_id",), (*BIRTH, *DROP), rows.Prompt
)
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
        *DROP,
    ),
    rows.Benchmark,
)
CANDIDATE_PROMPTS = Table(
    "candidate_prompts", "prompt", ("prompt_id",), (*BIRTH, *TRANSLATED, *DROP), rows.Candidate
)
CLEAN_PROMPTS = Table(
    "clean_prompts", "prompt", ("prompt_id",), (*BIRTH, *TRANSLATED, *MATCH, *DROP), rows.Clean
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
    rows.Vote,
)
LABELED_PROMPTS = Table(
    "labeled_prompts",
    "prompt",
    ("prompt_id",),
    (*BIRTH, *TRANSLATED, *MATCH, *VERDICT, *VOTES, *DROP),
    rows.Labeled,
)
_RELEASED_FIRST = (
    *("prompt_id", "text", "label", "macro_category", "micro_category"),
    *("origin", "method", "family_id"),
)
_SPLIT = Column("split", _TEXT, "side of the release", values=SPLITS, published=True)
_LATER = {c.name: c for c in (*VOTES, *BIRTH, *TRANSLATED, *VERDICT)}
_RELEASED = (*(_LATER.pop(name) for name in _RELEASED_FIRST), _SPLIT, *_LATER.values())
TRAIN_SET = Table("train_set", "sample", ("prompt_id",), _RELEASED, rows.Sample)
TEST_SET = Table("test_set", "sample", ("prompt_id",), _RELEASED, rows.Sample)
RELEASE_DROPS = Table(
    "release_drops",
    "labeled prompt that did not enter the release",
    ("prompt_id",),
    (
        Column("prompt_id", _TEXT, "the prompt"),
        Column("family_id", _TEXT, "its lineage root"),
        Column("split", _TEXT, "side its family is on; null = dropped before", True, SPLITS),
        replace(DROP[0], nullable=False),
        DROP[1],
    ),
    rows.ReleaseDrop,
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
    rows.Release,
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
    rows.Rejected,
)

TABLES: dict[str, Table[Any]] = {
    table.name: table
    for table in (
        TAXONOMY, SEED_KEYWORDS, EXPANDED_KEYWORDS, CRAWLED_POSTS, REJECTED_ROWS, POST_INDEX,
        SYNTHESIZED_PROMPTS, REAL_PROMPTS, ANNOTATED_PROMPTS, REWRITTEN_PROMPTS, PUBLIC_PROMPTS,
        BENCHMARK_PROMPTS, CANDIDATE_PROMPTS, CLEAN_PROMPTS, REVIEW_DECISIONS, JURY_VOTES,
        LABELED_PROMPTS, REVIEW_QUEUE, TRAIN_SET, TEST_SET, RELEASE_DROPS, ANCHOR_VOTES,
        JURY_QUALITY, DATASET_CARD,
    )
}  # fmt: skip
