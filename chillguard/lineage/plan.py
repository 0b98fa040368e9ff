"""The refresh plan: what a run would ask, found out by going through the lineage without asking.

Runs the domain functions of every stage over the current inputs with an `ask` that only counts. A
call that was never answered makes no rows, so what would follow from its answer is estimated: one
vote per juror for every prompt that it may bring. Anchors are asked anew where prompts, decisions
or votes are not those of the last run, since a new release then follows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from chillguard import annotation, embedding, keywords, translation
from chillguard.calls import call, roles
from chillguard.cleaning import survivors
from chillguard.labeling import anchors, jury, review
from chillguard.rewriting import rewrites
from chillguard.settings import Settings
from chillguard.synthesis import rag
from chillguard.tables import lineage
from chillguard.tables.table import Table
from chillguard.taxonomy import Taxonomy

AskFor = Callable[[str], call.Ask]
Collect = Callable[[Table, Iterable[Iterable[Mapping[str, Any]]]], pa.Table]
Nearest = Callable[[Sequence[str], int, embedding.PostFilter, pa.Table], list[list[str]]]


@dataclass(frozen=True)
class Inputs:
    """What a run starts from: files as read, the keyword pool, earlier releases, the index.

    `index`, `clean` and `reviewed` are tables of the last run, if there was one; `nearest` asks the
    index; `collected` builds a table of rows in chunks; `translate` is None where a model role
    translates; `releases` counts those there are.
    """

    taxonomy: Taxonomy
    seeds: pa.Table
    pool: pa.Table
    extra_queries: Mapping[str, int]
    real: pa.Table
    public: pa.Table
    released: frozenset[str]
    releases: int
    decisions: Sequence[review.Decision]
    anchors: Sequence[anchors.Anchor]
    jurors: Sequence[str]
    index: pa.Table | None
    clean: pa.Table | None
    reviewed: pa.Table | None
    collected: Collect
    nearest: Nearest
    translate: translation.Local | None


@dataclass(frozen=True)
class StagePlan:
    """One line of the plan: calls of one role in one stage."""

    asset: str
    role: str
    model: str
    new: int
    known: int
    follow_up: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    hours: float | None


def dry_run(inputs: Inputs, settings: Settings, ask_for: AskFor) -> int:
    """Go through all stages with counting asks; returns how many prompts may come on top."""
    known, config = inputs.taxonomy, settings
    pool = keywords.expand(
        inputs.pool, inputs.seeds, known, config.keywords, ask_for("expanded_keywords")
    )
    synthesized = _synthesized(inputs, pool, settings, ask_for("synthesized_prompts"))
    annotated = annotation.annotate(
        inputs.real, inputs.jurors, known, config.labeling, ask_for("annotated_prompts")
    )
    made = rewrites.rewrite(
        annotated, known, config.rewriting, config.guards, ask_for("rewritten_prompts")
    )
    rewritten = inputs.collected(lineage.REWRITTEN_PROMPTS, made)
    candidates = translation.candidates(
        (synthesized, annotated, rewritten, inputs.public),
        config.translation,
        ask_for("candidate_prompts"),
        inputs.translate,
        rewrites.surface_methods(),
    )
    clean = survivors.clean(candidates, inputs.released, config.cleaning)
    decisions = review.rows(inputs.decisions, clean)
    same = _equal(clean, inputs.clean) and _equal(decisions, inputs.reviewed)
    settled = _jury(clean, review.applied(decisions), inputs, settings, ask_for)
    _anchors(inputs, settings, ask_for, same and settled)
    return _unasked(synthesized) + _unasked(rewritten) + _unasked(candidates)


def _synthesized(inputs: Inputs, pool: pa.Table, settings: Settings, ask: call.Ask) -> pa.Table:
    config, drawn = settings.synthesis, list[rag.Draw]()
    if inputs.index is not None:
        queries = rag.queries(pool, inputs.taxonomy, config, inputs.extra_queries)
        texts = [query.text for query in queries]
        nearest = inputs.nearest(texts, config.top_k, config.posts, inputs.index)
        drawn = rag.draws(queries, nearest, embedding.posts(inputs.index), config)
    return rag.generate(drawn, inputs.taxonomy, config, settings.guards, ask)


def _jury(
    clean: pa.Table,
    reviewed: review.Reviewed,
    inputs: Inputs,
    settings: Settings,
    ask_for: AskFor,
) -> bool:
    """Whether every vote is in the ledger."""
    prompts = jury.to_judge(clean, settings.labeling)
    tables = []
    for juror in inputs.jurors:
        ask = ask_for(roles.votes_of(juror))
        tables.append(jury.cast(juror, prompts, inputs.taxonomy, settings.labeling, ask))
    votes = jury.by_prompt(tables)
    unasked = {
        row["prompt_id"] for t in tables for row in t.to_pylist() if row["reason"] == call.UNASKED
    }
    labeled = jury.to_label(clean, settings.labeling)
    settled = [row for row in labeled if row["prompt_id"] not in unasked]
    ask = ask_for("labeled_prompts")
    jury.rule(settled, votes, inputs.taxonomy, settings.labeling, ask, reviewed)
    return not unasked


def _equal(table: pa.Table, last: pa.Table | None) -> bool:
    if last is None or last.schema.names != table.schema.names:
        return False
    return bool(table.equals(last.cast(table.schema)))


def _anchors(inputs: Inputs, settings: Settings, ask_for: AskFor, same: bool) -> None:
    refresh = max(inputs.releases + (not same), 1)
    for juror in inputs.jurors if inputs.anchors else ():
        asked = anchors.requests(inputs.anchors, inputs.taxonomy, settings.labeling, refresh)
        list(ask_for("anchor_votes")(juror, asked, jury.parse_vote))


def _unasked(table: pa.Table) -> int:
    rows = table.select(["drop_reason", "drop_evidence"]).to_pylist()
    return sum(row["drop_evidence"] == call.UNASKED for row in rows)
