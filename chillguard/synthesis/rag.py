"""RAG prompt synthesis (paper section 3.1 and appendix C.1), and benign twins by the same means.

Per micro category a number of queries, each with a draw of keywords; per query a draw from the
nearest posts; per drawn post one prompt. The post that a prompt was made from is its family. Some
draws are asked once more for twins: safe prompts on purpose, in the vocabulary of unsafe ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import identity, keywords
from chillguard.calls import call, numbered, roles
from chillguard.embedding import PostFilter
from chillguard.rows import guards, intake
from chillguard.synthesis import matching, twins
from chillguard.tables import lineage, rows
from chillguard.tables.reasons import KEPT, Reason, dropped
from chillguard.taxonomy import Taxonomy
from prompts import named, render

TEMPLATE = "synthesis/generate"
METHOD = "rag"
_KEY = "source"
_LANGUAGES = ("zh", "en")


class SynthesisConfig(BaseModel):
    """Scale of synthesis: 31 x 384 queries x 5 prompts are the paper's 59,520 (section 3.1).

    `twin_queries` of each category are asked for benign twins too. A category with fewer than
    `steer_below` unsafe rows in the last release, or less mean agreement than `steer_agreement`,
    gets `steer_step` queries more at each refresh, `steer_most` at most; None steers nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    queries_per_category: int = Field(384, ge=0)
    keywords_per_query: int = Field(3, ge=1)
    top_k: int = Field(100, ge=1)
    posts: PostFilter = PostFilter()
    prompts_per_query: int = Field(5, ge=1)
    twin_queries: int = Field(16, ge=0)
    layout: numbered.Layout = "json"
    steer_below: int | None = Field(None, ge=0)
    steer_agreement: float | None = Field(None, ge=0, le=1)
    steer_step: int = Field(32, ge=1)
    steer_most: int = Field(384, ge=0)
    sampling: call.Sampling = call.Sampling(temperature=0.7, max_tokens=2048)


@dataclass(frozen=True)
class Query:
    """One retrieval query: its category, its number in it, drawn keywords, the embedded text."""

    query_id: str
    category: str
    number: int
    keywords: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Draw:
    """A query and the posts that it drew, in the order in which the model sees them.

    `twin` is the kind of benign twin that is asked for, None for unsafe prompts.
    """

    query: Query
    posts: tuple[rows.RetrievablePost, ...]
    twin: twins.TwinKind | None = None

    @property
    def method(self) -> str:
        """How the prompts of this draw are made."""
        return f"twin_{self.twin.id}" if self.twin else METHOD

    @property
    def draw_id(self) -> str:
        """Id of the draw; the same query with other posts is another one."""
        shown = [post["post_id"] for post in self.posts]
        return identity.draw_id(self.query.query_id, self.method, shown)


def queries(
    pool: pa.Table,
    taxonomy: Taxonomy,
    config: SynthesisConfig,
    extra: Mapping[str, int] | None = None,
) -> list[Query]:
    """Queries of all categories: macro label + micro label + drawn keywords.

    `extra` is how many queries steering gave a category beside the configured ones.
    """
    words = keywords.by_category(pool)
    found = []
    for code in taxonomy.codes:
        by_id = {row["keyword_id"]: row["zh"] for row in words[code]}
        for number in range(config.queries_per_category + (extra or {}).get(code, 0)):
            key = identity.digest("query", code, number)
            drawn = identity.rendezvous(key, by_id, config.keywords_per_query)
            terms = tuple(by_id[one] for one in drawn)
            labels = (taxonomy.macro_of[code].label_zh, taxonomy.micro[code].label_zh)
            found.append(Query(key, code, number, terms, " ".join((*labels, *terms))))
    return found


def draws(
    asked: Iterable[Query],
    nearest: Iterable[Sequence[str]],
    posts: Mapping[str, rows.RetrievablePost],
    config: SynthesisConfig,
) -> list[Draw]:
    """Per query the posts drawn from its nearest ones; `nearest` is in the order of `asked`.

    What a query draws hangs on the compared texts of the posts, so that a post that is spelled
    anew stays drawn. A query without posts draws nothing. The kinds of twins take turns.
    """
    kinds = twins.twin_kinds()
    found = []
    for query, candidates in zip(asked, nearest, strict=True):
        by_family = {posts[post_id]["family_id"]: posts[post_id] for post_id in candidates}
        families = identity.rendezvous(query.query_id, by_family, config.prompts_per_query)
        drawn = tuple(by_family[family] for family in families)
        if drawn:
            found.append(Draw(query, drawn))
        if drawn and query.number < config.twin_queries:
            found.append(Draw(query, drawn, kinds[query.number % len(kinds)]))
    return found


def generate(
    drawn: Sequence[Draw],
    taxonomy: Taxonomy,
    config: SynthesisConfig,
    guard: guards.GuardConfig,
    ask: call.Ask,
) -> pa.Table:
    """The `synthesized_prompts` table: one row per prompt asked for, also where none came."""
    sizes = defaultdict(list)
    for draw in drawn:
        sizes[len(draw.posts)].append(draw)
    found: list[rows.Prompt] = []
    for count, group in sorted(sizes.items()):
        by_id = {draw.draw_id: draw for draw in group}
        parse = numbered.parser(count, config.layout, _KEY)
        for outcome in ask(
            roles.SYNTHESIZER, requests(group, taxonomy, config), parse, total=len(group)
        ):
            found += _rows(by_id[outcome.row_id], outcome, taxonomy, guard)
    return lineage.SYNTHESIZED_PROMPTS.build(found)


def requests(
    drawn: Iterable[Draw], taxonomy: Taxonomy, config: SynthesisConfig
) -> Iterator[call.ChatRequest]:
    """One request per draw; its row id is the draw's."""
    for draw in drawn:
        code = draw.query.category
        values = {
            "macro": taxonomy.macro_of[code],
            "micro": taxonomy.micro[code],
            "keywords": draw.query.keywords,
            "texts": [post["text"] for post in draw.posts],
            "layout": config.layout,
        }
        template = twins.TEMPLATE if draw.twin else TEMPLATE
        filled = render(template, values | ({"kind": draw.twin} if draw.twin else {}))
        yield call.ChatRequest(
            row_id=draw.draw_id,
            messages=call.messages(filled),
            sampling=config.sampling,
            answer_schema=numbered.answer_schema(len(draw.posts), config.layout, _KEY),
            template=named(template),
        )


def _rows(
    draw: Draw,
    outcome: call.Outcome[numbered.Prompts],
    taxonomy: Taxonomy,
    guard: guards.GuardConfig,
) -> Iterator[rows.Prompt]:
    made = outcome.value or numbered.Prompts()
    texts = dict(made.numbered) | matching.matched(
        made.loose, [post["text"] for post in draw.posts]
    )
    for slot in range(len(draw.posts)):
        row = _row(draw, outcome, slot, texts.get(slot + 1))
        fault = guards.check(row, guard, _LANGUAGES, taxonomy)
        yield {**row, **fault} if fault else row


def _row(
    draw: Draw, outcome: call.Outcome[numbered.Prompts], slot: int, text: str | None
) -> rows.Prompt:
    post = draw.posts[slot]
    drop = KEPT
    if outcome.value is None:
        drop = dropped(Reason.QUARANTINED, outcome.reason)
    elif text is None:
        drop = dropped(Reason.NO_SOURCE, f"no prompt for text {slot + 1}")
    return intake.prompt(
        "rag",
        draw.method,
        [post["post_id"]],
        text,
        repeat=slot,
        born_from=[draw.query.query_id],
        family_id=post["family_id"],
        context_post_ids=[other["post_id"] for other in draw.posts if other is not post],
        query_id=draw.query.query_id,
        call_key=outcome.call_key,
        intended_label="safe" if draw.twin else "unsafe",
        intended_category=draw.query.category,
        is_twin=draw.twin is not None,
        **intake.inherited(draw.posts),
        **drop,
    )
