"""The walk of one prompt: back to its keyword, post or file, and on to its votes and its release.

Reads the tables of the last run; what a call cost and which model answered is in the ledger.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from chillguard import tables as kinds
from chillguard.synthesis.rag import Query

# Any row, read by the names of its columns.
Row = Mapping[str, Any]
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
# Shown whole, as votes are: what somebody says of a prompt is no later form of its row.
_OF_PEOPLE = ("review_decisions",)


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
        told = dict[str, object](self._birth(prompt_id, "the request")[1])
        votes = [name for name in sorted(self._tables, key=_slot) if name.startswith("jury_votes/")]
        for name in (*_LATER, *votes, *_SIDES):
            row = self._row(name, "prompt_id", prompt_id)
            if row is not None and (name in votes or name in _OF_PEOPLE):
                steps.append(_step(name, prompt_id, row, {}))
            elif row is not None:
                steps.append(_step(name, prompt_id, row, told))
                told |= row
        return steps

    def _birth(self, prompt_id: str, asked_by: str) -> tuple[str, Row]:
        """The table that a prompt was born in, and its row there."""
        for name in _BIRTH:
            row = self._row(name, "prompt_id", prompt_id)
            if row:
                return name, row
        raise DeadEnd(f"prompt {prompt_id}, named by {asked_by}, is in no table of this run")

    def _back(self, prompt_id: str, asked_by: str) -> Iterator[Step]:
        name, row = self._birth(prompt_id, asked_by)
        if row["origin"] == "rag":
            yield self._query(row)
            for post_id in row["parent_ids"]:
                yield from self._post(post_id, prompt_id)
        else:
            for parent in row["parent_ids"]:
                yield from self._back(parent, prompt_id)
        yield _step(name, prompt_id, row, {})

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
                yield _step("expanded_keywords", row["keyword_id"], keyword, {})
            yield _step(name, post_id, row, {})

    def _row(self, name: str, key: str, value: str) -> Row | None:
        table = self._tables.get(name)
        if table is None:
            return None
        if (name, key) not in self._places:
            self._places[name, key] = _places(table, key)
        place_of = self._places[name, key].get(value)
        if place_of is None:
            return None
        [row] = kinds.table_of(name.split("/")).rows(table.slice(place_of, 1))
        return cast("Row", row)


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


def _step(table: str, key: str, row: Row, told: Row) -> Step:
    """What is known at a stop, and was not told before."""
    names = [column.name for column in kinds.table_of(table.split("/")).where("traced")]
    facts = {name: row[name] for name in names if row.get(name) not in (None, [], key)}
    return Step(table, key, {n: value for n, value in facts.items() if told.get(n) != value})
