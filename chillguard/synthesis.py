"""RAG prompt synthesis (paper section 3.1 and appendix C.1).

Per micro category a number of queries, each with a draw of keywords; per query a draw from the
nearest posts; per drawn post one prompt. The post that a prompt was made from is its family.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from chillguard import calls, identity, intake, keywords, schema
from chillguard.taxonomy import Taxonomy
from prompts import render

TEMPLATE = "synthesis/generate"
METHOD = "rag"
Row = dict[str, Any]


class SynthesisConfig(BaseModel):
    """Scale of synthesis: 31 x 384 queries x 5 prompts are the paper's 59,520 (section 3.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queries_per_category: int = 384
    keywords_per_query: int = 3
    top_k: int = 100
    prompts_per_query: int = 5
    sampling: calls.Sampling = calls.Sampling(temperature=0.7, max_tokens=2048)


@dataclass(frozen=True)
class Query:
    """One retrieval query: its category, drawn keywords and the text that is embedded."""

    query_id: str
    category: str
    keywords: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Draw:
    """A query and the posts that it drew, in the order in which the model sees them."""

    query: Query
    posts: tuple[Row, ...]


def queries(pool: pa.Table, taxonomy: Taxonomy, config: SynthesisConfig) -> list[Query]:
    """Queries of all categories: macro label + micro label + drawn keywords."""
    words = keywords.by_category(pool)
    found = []
    for code in taxonomy.codes:
        by_id = {row["keyword_id"]: row["zh"] for row in words[code]}
        for number in range(config.queries_per_category):
            key = identity.digest("query", code, number)
            drawn = identity.rendezvous(key, by_id, config.keywords_per_query)
            terms = tuple(by_id[one] for one in drawn)
            labels = (taxonomy.macro_of[code].label_zh, taxonomy.micro[code].label_zh)
            found.append(Query(key, code, terms, " ".join((*labels, *terms))))
    return found


def draws(
    asked: Iterable[Query],
    nearest: Iterable[Sequence[str]],
    posts: Mapping[str, Row],
    config: SynthesisConfig,
) -> list[Draw]:
    """Per query the posts drawn from its nearest ones; `nearest` is in the order of `asked`."""
    found = []
    for query, candidates in zip(asked, nearest, strict=True):
        drawn = identity.rendezvous(query.query_id, candidates, config.prompts_per_query)
        found.append(Draw(query, tuple(posts[one] for one in drawn)))
    return found


def requests(
    drawn: Iterable[Draw], taxonomy: Taxonomy, config: SynthesisConfig
) -> Iterator[calls.ChatRequest]:
    """One request per query that drew a post; its row id is the query id."""
    for draw in drawn:
        if draw.posts:
            code = draw.query.category
            values = {
                "macro": taxonomy.macro_of[code],
                "micro": taxonomy.micro[code],
                "keywords": draw.query.keywords,
                "texts": [post["text"] for post in draw.posts],
            }
            yield calls.ChatRequest(
                row_id=draw.query.query_id,
                messages=calls.messages(render(TEMPLATE, values)),
                sampling=config.sampling,
                answer_schema=_answer(len(draw.posts)),
            )


def parse(answer: calls.Answer) -> dict[int, str]:
    """Prompt by the number of its source text, from 1; the first of a number counts."""
    entries = calls.parse_json(answer).get("prompts")
    if not isinstance(entries, list):
        raise calls.Unreadable("no list under `prompts`")
    found: dict[int, str] = {}
    for entry in entries:
        source = entry.get("source") if isinstance(entry, dict) else None
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if type(source) is int and isinstance(prompt, str) and prompt.strip():
            found.setdefault(source, prompt.strip())
    return found


def rows(drawn: Sequence[Draw], outcomes: Iterable[calls.Outcome[dict[int, str]]]) -> pa.Table:
    """The `synthesized_prompts` table: one row per prompt asked for, also where none came."""
    outcome_of = {outcome.row_id: outcome for outcome in outcomes}
    found: list[Row] = []
    for draw in drawn:
        if draw.posts:
            outcome = outcome_of[draw.query.query_id]
            found += [_row(draw, outcome, slot) for slot in range(len(draw.posts))]
    return schema.SYNTHESIZED_PROMPTS.build(found)


def _row(draw: Draw, outcome: calls.Outcome[dict[int, str]], slot: int) -> Row:
    post = draw.posts[slot]
    text = (outcome.value or {}).get(slot + 1)
    drop: Row = {}
    if outcome.value is None:
        drop = {"drop_reason": "quarantined", "drop_evidence": outcome.reason}
    elif text is None:
        drop = {"drop_reason": "no_source", "drop_evidence": f"no prompt for text {slot + 1}"}
    return intake.prompt(
        "rag",
        METHOD,
        [post["post_id"]],
        text,
        repeat=slot,
        born_from=[draw.query.query_id],
        family_id=post["post_id"],
        context_post_ids=[other["post_id"] for other in draw.posts if other is not post],
        query_id=draw.query.query_id,
        call_key=outcome.call_key,
        intended_label="unsafe",
        intended_category=draw.query.category,
        **intake.inherited(draw.posts),
        **drop,
    )


def _answer(count: int) -> Mapping[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "source": {"type": "integer", "minimum": 1, "maximum": count},
            "prompt": {"type": "string", "minLength": 1},
        },
        "required": ["source", "prompt"],
        "additionalProperties": False,
    }
    prompts = {"type": "array", "items": item, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {"prompts": prompts},
        "required": ["prompts"],
        "additionalProperties": False,
    }
