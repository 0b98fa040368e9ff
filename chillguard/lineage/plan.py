"""The refresh plan: what a run would ask, found out by going through the lineage without asking.

Runs the domain functions of every stage over the current inputs with an `ask` that only counts.
What would follow from an answer that nobody has given yet is bounded (`chillguard.lineage.bounds`).
Anchors are asked anew where prompts, decisions or votes are not those of the last run, since a new
release then follows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from chillguard import annotation, embedding, keywords, translation
from chillguard.calls import call, roles
from chillguard.cleaning import earlier, survivors
from chillguard.labeling import anchors, docket, jury, review
from chillguard.lineage import bounds
from chillguard.rewriting import methods, rewrites
from chillguard.settings import Settings
from chillguard.synthesis import rag
from chillguard.tables import lineage
from chillguard.tables.rows import Prompt
from chillguard.tables.table import Table
from chillguard.taxonomy import Taxonomy

Collect = Callable[[Table[Prompt], Iterable[Iterable[Prompt]]], pa.Table]
Nearest = Callable[[Sequence[str], int, embedding.PostFilter, pa.Table], list[list[str]]]


@dataclass(frozen=True)
class Inputs:
    """What a run starts from: files as read, the keyword pool, earlier releases, the index.

    `index`, `clean` and `reviewed` are tables of the last run, if there was one; `new_posts` says
    which sources may bring posts that the index does not hold; `nearest` asks the index;
    `collected` builds a table of rows in chunks; `departed` finds what earlier releases hold beside
    candidates; `translate` is None where a role translates; `releases` counts those there are.
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
    new_posts: str
    clean: pa.Table | None
    reviewed: pa.Table | None
    collected: Collect
    nearest: Nearest
    departed: Callable[[pa.Table], earlier.Earlier | None]
    translate: translation.Local | None


def dry_run(inputs: Inputs, settings: Settings, ask_for: bounds.AskFor) -> list[bounds.Foreseen]:
    """Go through all stages with counting asks; returns what each role is asked, stage by stage."""
    watch = bounds.Watch(ask_for)
    known, config = inputs.taxonomy, settings
    pool = keywords.expand(
        inputs.pool, inputs.seeds, known, config.keywords, watch.ask_for("expanded_keywords")
    )
    synthesized = _synthesized(inputs, pool, settings, watch.ask_for("synthesized_prompts"))
    annotated = annotation.annotate(
        inputs.real, inputs.jurors, known, config.labeling, watch.ask_for("annotated_prompts")
    )
    made = rewrites.rewrite(
        annotated, known, config.rewriting, config.guards, watch.ask_for("rewritten_prompts")
    )
    rewritten = inputs.collected(lineage.REWRITTEN_PROMPTS, made)
    candidates = translation.candidates(
        (synthesized, annotated, rewritten, inputs.public),
        config.translation,
        watch.ask_for("candidate_prompts"),
        inputs.translate,
        methods.surface_methods(),
    )
    departed = inputs.departed(candidates)
    clean = survivors.clean(candidates, inputs.released, config.cleaning, departed)
    decisions = review.rows(inputs.decisions, clean)
    same = _equal(clean, inputs.clean) and _equal(decisions, inputs.reviewed)
    _jury(clean, review.applied(decisions), inputs, settings, watch)
    tables = _Made(pool, synthesized, annotated, rewritten, candidates, clean)
    found = _bounded(inputs, settings, watch, tables)
    _anchors(inputs, settings, watch, found, same)
    return found.foreseen()


@dataclass(frozen=True)
class _Made:
    """Tables of the dry run."""

    pool: pa.Table
    synthesized: pa.Table
    annotated: pa.Table
    rewritten: pa.Table
    candidates: pa.Table
    clean: pa.Table


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
    watch: bounds.Watch,
) -> None:
    """Votes on every prompt, and rulings where all of them are known."""
    prompts = docket.to_judge(clean, settings.labeling.relabel_public)
    tables = []
    for juror in inputs.jurors:
        ask = watch.ask_for(roles.votes_of(juror))
        tables.append(jury.cast(juror, prompts, inputs.taxonomy, settings.labeling, ask))
    votes = jury.by_prompt(tables)
    unasked = _without_votes(watch, _judging(inputs))
    labeled = docket.to_label(clean, settings.labeling.relabel_public)
    settled = [row for row in labeled if row["prompt_id"] not in unasked]
    ask = watch.ask_for("labeled_prompts")
    jury.rule(settled, votes, inputs.taxonomy, settings.labeling, ask, reviewed)


def _equal(table: pa.Table, last: pa.Table | None) -> bool:
    if last is None or last.schema.names != table.schema.names:
        return False
    return bool(table.equals(last.cast(table.schema)))


def _judging(inputs: Inputs) -> list[bounds.Line]:
    return [(roles.votes_of(juror), juror) for juror in inputs.jurors]


def _without_votes(watch: bounds.Watch, lines: Iterable[bounds.Line]) -> set[str]:
    """Rows that lack a vote in any of these lines."""
    return {row for line in lines for row in watch.at(*line).rows}


def _bounded(inputs: Inputs, settings: Settings, watch: bounds.Watch, made: _Made) -> bounds.Bounds:
    """What answers to come may add, stage by stage."""
    found = bounds.Bounds(watch)
    from_posts = _posts_to_come(inputs, settings, watch, made, found)
    from_rewriting = _rewrites_to_come(inputs, settings, watch, made, found)
    to_come = from_posts + from_rewriting
    if inputs.translate is None:
        line = ("candidate_prompts", roles.TRANSLATOR)
        found.more(line, to_come * _PARTS, f"{to_come:,} prompts may come, in any language")
    to_come += _unasked(made.candidates)
    _votes_to_come(inputs, watch, made, found, to_come)
    return found


def _posts_to_come(
    inputs: Inputs, settings: Settings, watch: bounds.Watch, made: _Made, found: bounds.Bounds
) -> int:
    """How many prompts may still be made from posts."""
    config, line = settings.synthesis, ("synthesized_prompts", roles.SYNTHESIZER)
    growing = len(watch.at("expanded_keywords", roles.EXPANDER).rows)
    why = f"each of {growing:,} answers may be followed by {settings.keywords.rounds - 1} rounds"
    found.more(("expanded_keywords", roles.EXPANDER), growing * (settings.keywords.rounds - 1), why)
    open_for = [
        inputs.new_posts,
        f"{growing:,} answers with keywords are to come" if growing else "",
    ]
    if not any(open_for):
        return _unasked(made.synthesized)
    queries = rag.queries(made.pool, inputs.taxonomy, config, inputs.extra_queries)
    most = len(queries) + sum(query.number < config.twin_queries for query in queries)
    why = "; ".join(filter(None, open_for))
    found.only(line, (), why)
    found.more(line, most - len(watch.at(*line).keys), why)
    return most * config.prompts_per_query


def _rewrites_to_come(
    inputs: Inputs, settings: Settings, watch: bounds.Watch, made: _Made, found: bounds.Bounds
) -> int:
    """How many rewrites may still be made."""
    config, asset = settings.rewriting, "annotated_prompts"
    without_votes = _without_votes(watch, [(asset, juror) for juror in inputs.jurors])
    without = _rulings_to_come(watch, asset, without_votes, found)
    line, each = ("rewritten_prompts", roles.REWRITER), config.rewrites_per_prompt
    why = f"{len(without):,} real prompts have no label or category yet"
    if without and config.call_per == "texts":
        # A prompt more moves the groups of others.
        found.only(line, (), why)
        known = watch.at(*line)
        found.more(line, known.asked - len(known.keys), why)
    found.more(line, len(without) * (1 if config.call_per == "source" else each), why)
    return len(without) * each + _unasked(made.rewritten)


def _rulings_to_come(
    watch: bounds.Watch, asset: str, without_votes: set[str], found: bounds.Bounds, to_come: int = 0
) -> set[str]:
    """Bounds of tie-breaker and categorizer; returns the rows that wait for a ruling."""
    breaker, categorizer = (asset, roles.TIE_BREAKER), (asset, roles.CATEGORIZER)
    without = set(without_votes)
    for line in (breaker, categorizer):
        waiting = watch.at(*line).rows
        why = f"{len(without) + to_come:,} prompts have no ruling yet"
        certain = {row for row in waiting if row not in without}
        found.only(line, certain, why)
        found.more(line, len(without - waiting) + to_come, why)
        without |= waiting
    return without


def _votes_to_come(
    inputs: Inputs, watch: bounds.Watch, made: _Made, found: bounds.Bounds, to_come: int
) -> None:
    """Votes on prompts to come; those may also take the place of others that look alike."""
    rows = made.clean.select(["prompt_id", "origin", "drop_reason"]).to_pylist()
    if to_come:
        # What lost against one that goes may come back.
        to_come += made.candidates["drop_reason"].null_count - made.clean["drop_reason"].null_count
    firm = {
        row["prompt_id"]
        for row in rows
        if not to_come or row["origin"] == "real" or row["prompt_id"] in inputs.released
    }
    why = f"{to_come:,} prompts may come, and stand for others that look alike"
    for line in _judging(inputs):
        found.only(line, firm, why)
        found.more(line, to_come, why)
    for role in (roles.TIE_BREAKER, roles.CATEGORIZER):
        found.only(("labeled_prompts", role), firm, why)
    without_votes = _without_votes(watch, _judging(inputs))
    _rulings_to_come(watch, "labeled_prompts", without_votes, found, to_come)


def _anchors(
    inputs: Inputs, settings: Settings, watch: bounds.Watch, found: bounds.Bounds, same: bool
) -> None:
    """Votes on the anchors; they are sure only where there is no release that may come again."""
    same = same and watch.is_settled() and not inputs.new_posts
    refresh = max(inputs.releases + (not same), 1)
    ask = watch.ask_for("anchor_votes")
    for juror in inputs.jurors if inputs.anchors else ():
        asked = anchors.requests(inputs.anchors, inputs.taxonomy, settings.labeling, refresh)
        list(ask(juror, asked, jury.parse_vote))
        if inputs.releases:
            found.only(("anchor_votes", juror), (), "asked once a release, if a new one follows")


def _unasked(table: pa.Table) -> int:
    rows = table.select(["drop_reason", "drop_evidence"]).to_pylist()
    return sum(row["drop_evidence"] == call.UNASKED for row in rows)


# Sentences that a prompt is translated in, at most as a rule.
_PARTS = 12
