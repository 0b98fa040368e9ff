"""The rows of the tables as types: what mypy knows of a column.

A table names its type, and `Table.build` and `Table.rows` take and give it; a test holds each type
against the Arrow schema, both ways. A column is declared once per group of columns, as the tables
themselves are made.
"""

from typing import TypedDict, TypeVar

from chillguard.tables.reasons import Drop


class Terms(TypedDict):
    """What may be done with a text."""

    may_redistribute: bool
    may_train: bool


class Texted(TypedDict):
    """Whatever has a text; a dropped row has none."""

    text: str | None


class WithText(Texted):
    """Whatever has an id and a text."""

    prompt_id: str


class Categorised(TypedDict):
    """Whatever has a final category; safe rows have none."""

    micro_category: str | None


class Derived(TypedDict):
    """What says whether a row was made from a post, or shown one."""

    family_id: str
    parent_ids: list[str]
    context_post_ids: list[str]


class Made(WithText, Derived):
    """The row of an earlier release, as cleaning compares it."""

    origin: str


class Birth(Made, Terms):
    """A prompt as it was born."""

    method: str
    parent_ids: list[str]
    query_id: str | None
    call_key: str | None
    text_hash: str
    lang: str | None
    response: str | None
    source_label: str | None
    intended_label: str | None
    intended_category: str | None
    is_twin: bool
    decided_by: str | None


class Prompt(Birth, Drop):
    """A row of the tables in which prompts are born."""


class Born(TypedDict, total=False):
    """Columns of a prompt at birth that tell nothing of its identity."""

    family_id: str
    context_post_ids: list[str]
    query_id: str | None
    call_key: str | None
    lang: str | None
    response: str | None
    source_label: str | None
    intended_label: str | None
    intended_category: str | None
    is_twin: bool
    decided_by: str | None
    may_redistribute: bool
    may_train: bool
    drop_reason: str | None
    drop_evidence: str | None


class Candidate(Prompt):
    """A row of `candidate_prompts`."""

    translated_from: str | None


class Clean(Candidate):
    """A row of `clean_prompts`."""

    match_text: str | None


class Judged(Categorised):
    """The final word on a prompt."""

    label: str | None
    macro_category: str | None


class Voted(TypedDict):
    """What the jury said of a prompt."""

    votes: list[str]
    n_valid_votes: int
    agreement: float | None
    category_call_key: str | None


class Labeled(Clean, Judged, Voted):
    """A row of `labeled_prompts`."""


class Sample(Birth, Judged, Voted):
    """A row of Train or Test."""

    translated_from: str | None
    split: str


class Published(TypedDict):
    """A row of the published files."""

    prompt_id: str
    text: str | None
    label: str | None
    macro_category: str | None
    micro_category: str | None
    origin: str
    method: str
    family_id: str
    split: str
    lang: str | None
    is_twin: bool
    decided_by: str | None
    n_valid_votes: int
    agreement: float | None
    may_redistribute: bool


class ReleaseDrop(TypedDict):
    """A row of `release_drops`."""

    prompt_id: str
    family_id: str
    split: str | None
    drop_reason: str
    drop_evidence: str | None


class Change(TypedDict):
    """A row of what changed since the last release."""

    rank: int
    prompt_id: str
    change: str
    columns: list[str]
    label_before: str | None
    label_now: str | None
    micro_category_before: str | None
    micro_category_now: str | None
    split_before: str | None
    split_now: str | None


class Release(TypedDict):
    """The row of `dataset_card`."""

    version: str
    previous_version: str | None
    n_train: int
    n_test: int
    n_added: int
    n_removed: int
    n_relabeled: int


class Category(TypedDict):
    """A row of `taxonomy`."""

    code: str
    level: str
    macro_category: str
    clause: str | None
    label_zh: str
    label_en: str
    definition_zh: str
    preamble_zh: str | None
    taxonomy: str
    version: str


class SeedKeyword(TypedDict):
    """A row of `seed_keywords`."""

    keyword_id: str
    micro_category: str
    zh: str
    en: str


class Keyword(SeedKeyword):
    """A row of `expanded_keywords`."""

    provenance: str
    call_key: str | None


class Post(Terms, Drop):
    """A row of `crawled_posts`."""

    post_id: str
    native_id: str
    source: str
    url: str | None
    posted_at: str | None
    keyword_id: str | None
    text: str | None
    lang: str | None


class IndexedPost(Terms):
    """A row of `post_index`."""

    post_id: str
    point_id: str
    sources: list[str]
    text: str
    lang: str | None
    embedding_model: str
    dimension: int
    retrievable: bool


class RetrievablePost(IndexedPost):
    """An indexed post, with the family of what is made from it."""

    family_id: str


class Rejected(TypedDict):
    """A row of `rejected_rows`."""

    source: str
    line: int
    column: str
    reason: str


class Benchmark(WithText, Drop):
    """A row of `benchmark_prompts`."""

    benchmark: str
    text_hash: str


class Vote(TypedDict):
    """A row of `jury_votes`."""

    prompt_id: str
    juror: str
    model: str
    verdict: str
    p_unsafe: float | None
    reason: str | None
    call_key: str


T = TypeVar("T")


def given(value: T | None) -> T:
    """A value that may be null in its column and cannot be here, such as the text of a kept row."""
    if value is None:
        raise ValueError("a kept row lacks a value that only a dropped one may lack")
    return value
