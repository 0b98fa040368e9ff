"""The walk of one prompt: back to its keyword, post or file, and on to its votes and its release.

Reads the tables of the last run; what a call cost and which model answered is in the ledger.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chillguard.synthesis.rag import Query

Row = dict[str, Any]
_BIRTH = (
    "synthesized_prompts",
    "annotated_prompts",
    "rewritten_prompts",
    "public_prompts",
    "real_prompts",
)
_LATER = (
    *("candidate_prompts", "clean_prompts", "review_decisions", "labeled_prompts"),
    *("review_queue", "release_drops"),
)
_SIDES = ("train_set", "test_set")
_SHOWN = {
    "keyword": ("micro_category", "zh", "en", "provenance", "call_key"),
    "post": ("source", "native_id", "url", "posted_at", "lang", "may_redistribute", "may_train"),
    "birth": (
        *("origin", "method", "family_id", "query_id", "intended_label", "intended_category"),
        *("is_twin", "source_label", "decided_by", "lang", "text", "call_key"),
    ),
    "vote": ("model", "verdict", "p_unsafe", "reason", "call_key"),
    "candidate_prompts": ("translated_from",),
    "clean_prompts": ("match_text",),
    "labeled_prompts": (
        *("label", "micro_category", "decided_by", "votes", "n_valid_votes", "agreement"),
        "category_call_key",
    ),
    "review_decisions": ("label", "micro_category", "reviewer", "decided_on", "standing"),
    "review_queue": ("rank", "queue_reason", "vote_entropy", "p_unsafe"),
    "release_drops": ("split",),
    "train_set": ("split", "label", "micro_category"),
    "test_set": ("split", "label", "micro_category"),
}
_DROP = ("drop_reason", "drop_evidence")


class DeadEnd(LookupError):
    """An id that no table holds; the message names it and who referred to it."""


@dataclass(frozen=True)
class Step:
    """One stop of the walk: the table, the id of the row in it, what there is to know of it."""

    table: str
    id: str
    facts: Row


class Walker:
    """Walks over tables by key (`jury_votes/juror_1`); `queries` are those of the run, by id."""

    def __init__(self, tables: Mapping[str, pa.Table], queries: Mapping[str, Query]) -> None:
        self._tables = tables
        self._queries = queries
        self._places: dict[tuple[str, str], dict[str, int]] = {}

    def walk(self, prompt_id: str) -> list[Step]:
        """Every stop from the first ancestor to the release; raises `DeadEnd`."""
        steps = list(self._back(prompt_id, "the request"))
        steps += [
            _step(name, prompt_id, row, name)
            for name in _LATER
            if (row := self._row(name, "prompt_id", prompt_id))
        ]
        for name in sorted(self._tables, key=_slot):
            if name.startswith("jury_votes/") and (row := self._row(name, "prompt_id", prompt_id)):
                steps.append(_step(name, prompt_id, row, "vote"))
        return steps + [
            _step(name, prompt_id, row, name)
            for name in _SIDES
            if (row := self._row(name, "prompt_id", prompt_id))
        ]

    def _back(self, prompt_id: str, asked_by: str) -> Iterator[Step]:
        for name in _BIRTH:
            row = self._row(name, "prompt_id", prompt_id)
            if row:
                break
        else:
            raise DeadEnd(f"prompt {prompt_id}, named by {asked_by}, is in no table of this run")
        if row["origin"] == "rag":
            yield self._query(row)
            for post_id in row["parent_ids"]:
                yield from self._post(post_id, prompt_id)
        else:
            for parent in row["parent_ids"]:
                yield from self._back(parent, prompt_id)
        yield _step(name, prompt_id, row, "birth")

    def _query(self, row: Row) -> Step:
        query = self._queries.get(row["query_id"])
        if query is None:
            raise DeadEnd(
                f"query {row['query_id']} of prompt {row['prompt_id']} is not of this run"
            )
        facts = {"micro_category": query.category, "keywords": list(query.keywords)}
        return Step("queries", query.query_id, facts)

    def _post(self, post_id: str, asked_by: str) -> Iterator[Step]:
        found = [
            (name, row)
            for name in sorted(self._tables)
            if name.startswith("crawled_posts/") and (row := self._row(name, "post_id", post_id))
        ]
        if not found:
            raise DeadEnd(f"post {post_id}, named by {asked_by}, is in no table of this run")
        for name, row in found:
            if row["keyword_id"]:
                keyword = self._row("expanded_keywords", "keyword_id", row["keyword_id"])
                if keyword is None:
                    raise DeadEnd(f"keyword {row['keyword_id']}, named by post {post_id}, is gone")
                yield _step("expanded_keywords", row["keyword_id"], keyword, "keyword")
            yield _step(name, post_id, row, "post")

    def _row(self, name: str, key: str, value: str) -> Row | None:
        table = self._tables.get(name)
        if table is None:
            return None
        if (name, key) not in self._places:
            self._places[name, key] = _places(table, key)
        place_of = self._places[name, key].get(value)
        if place_of is None:
            return None
        row: Row = table.slice(place_of, 1).to_pylist()[0]
        return row


def _places(table: pa.Table, key: str) -> dict[str, int]:
    """Row by id; of rows with one id (copies of a post, decisions) the one that counts."""
    found: dict[str, int] = {}
    counts: list[bool] = []
    for name, value in (("drop_reason", None), ("standing", "applied")):
        if name in table.column_names:
            counts = [one == value for one in table[name].to_pylist()]
    for place, known in enumerate(table[key].to_pylist()):
        if known not in found or (counts and counts[place]):
            found[known] = place
    return found


def _slot(name: str) -> tuple[int, str]:
    """Sort key by which juror_10 comes after juror_2."""
    return len(name), name


def _step(table: str, key: str, row: Row, kind: str) -> Step:
    names = [name for name in (*_SHOWN[kind], *_DROP) if row.get(name) not in (None, [])]
    return Step(table, key, {name: row[name] for name in names})
