"""Prompt rewriting (paper section 3.1 and appendix C.2): implicit variants of annotated prompts.

A prompt gets a stable draw of the methods (`chillguard.rewriting.methods`) that fit it. A transform
makes its text here; what a model is to make is asked for by `chillguard.rewriting.jobs`, and what
comes of each answer is a row.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from chillguard import annotation, identity, taxonomy
from chillguard.calls import call, numbered, roles
from chillguard.rewriting import jobs, methods, transforms
from chillguard.rewriting.jobs import Job
from chillguard.rewriting.methods import Method
from chillguard.rows import guards, intake
from chillguard.tables import lineage
from chillguard.tables.reasons import KEPT, Reason, dropped
from chillguard.tables.rows import Prompt, given
from prompts import fingerprint

_CHUNK = 4096


class RewritingConfig(BaseModel):
    """Rewrites per source prompt; the paper kept 109,312 of 3 x 46,742 (section 3.1).

    The paper's template (appendix C.2) asks for one text and for three; both are here. A call asks
    for one method of one source; or (`call_per: source`) for all methods that a source drew, where
    a change of one method asks for its neighbours too; or (`texts`) for one method of up to
    `texts_per_call` sources, where a source that comes or goes asks for a few others too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rewrites_per_prompt: int = Field(3, ge=0)
    call_per: jobs.CallPer = "method"
    texts_per_call: int = Field(default=3, ge=1)
    layout: numbered.Layout = "json"
    sampling: call.Sampling = call.Sampling(temperature=0.7, max_tokens=1024)


def version() -> str:
    """Changes when, and only when, the template, a method or a table of a transform does."""
    made_of = [method.model_dump() for method in methods.methods()]
    return identity.digest(fingerprint(jobs.TEMPLATE), made_of, transforms.tables())


def draw(
    row: Prompt, categories: taxonomy.Taxonomy, config: RewritingConfig
) -> dict[str, str | None]:
    """The methods that a prompt gets, and the text where a transform makes it; else None.

    The draw hangs on the family: another spelling of the prompt draws the same methods.
    A transform that would change nothing about the text is passed over.
    """
    if not annotation.has_outcome(row):
        return {}
    macro = jobs.macro_of(row["intended_category"], categories)
    code = macro.code if macro else None
    fitting = methods.fitting(given(row["intended_label"]), code, row["lang"])
    drawn: dict[str, str | None] = {}
    for key in identity.rendezvous(row["family_id"], fitting, len(fitting)):
        if len(drawn) == config.rewrites_per_prompt:
            break
        transform = methods.by_id()[key].transform
        text = transforms.TRANSFORMS[transform](given(row["text"])) if transform else None
        if text != row["text"]:
            drawn[key] = text
    return drawn


def rewrite(
    annotated: pa.Table,
    categories: taxonomy.Taxonomy,
    config: RewritingConfig,
    guard: guards.GuardConfig,
    ask: call.Ask,
) -> Iterator[Iterable[Prompt]]:
    """Rows of `rewritten_prompts`, call by call: one per rewrite asked for, also where none came.

    Sources are gone through again for every size of a call, so that only what is in flight is held
    in memory.
    """
    drawn = list[tuple[Method, ...]]()
    for row in _rows_of(annotated):
        texts = draw(row, categories, config)
        yield [
            _row(row, methods.by_id()[key], text, None)
            for key, text in texts.items()
            if text is not None
        ]
        drawn.append(tuple(methods.by_id()[key] for key, text in texts.items() if text is None))
    yield from _asked(annotated, drawn, categories, config, guard, ask)


def _asked(
    annotated: pa.Table,
    drawn: Sequence[tuple[Method, ...]],
    categories: taxonomy.Taxonomy,
    config: RewritingConfig,
    guard: guards.GuardConfig,
    ask: call.Ask,
) -> Iterator[Iterator[Prompt]]:
    """The rows of each call."""

    def groups() -> Iterator[jobs.Group]:
        return jobs.groups(annotated, drawn, categories, config.call_per, config.texts_per_call)

    for (size, key), total in sorted(Counter(map(jobs.shape, groups())).items()):
        wanted = (group for group in groups() if jobs.shape(group) == (size, key))
        waiting: dict[str, Job] = {}
        noted = _noted(jobs.jobs(annotated, wanted), waiting)
        asked = jobs.requests(noted, categories, config.layout, config.sampling)
        for outcome in ask(roles.REWRITER, asked, numbered.parser(size, config.layout, key), total):
            yield _made(waiting.pop(outcome.row_id), outcome, categories, guard)


def _noted(wanted: Iterable[Job], waiting: dict[str, Job]) -> Iterator[Job]:
    for job in wanted:
        waiting[job.row_id] = job
        yield job


def _rows_of(table: pa.Table) -> Iterator[Prompt]:
    for batch in table.to_batches(max_chunksize=_CHUNK):
        yield from lineage.ANNOTATED_PROMPTS.rows(pa.Table.from_batches([batch]))


def _made(
    job: Job,
    outcome: call.Outcome[numbered.Prompts],
    categories: taxonomy.Taxonomy,
    guard: guards.GuardConfig,
) -> Iterator[Prompt]:
    made = outcome.value or numbered.Prompts()
    # Without numbers only one prompt where one was asked for is beyond doubt.
    texts = made.numbered or ({1: made.loose[0]} if len(made.loose) == len(job.asked) == 1 else {})
    for number, (source, method) in enumerate(job.asked, 1):
        row = _row(source, method, texts.get(number), outcome)
        languages = ("zh",) if source["lang"] == "zh" else ("zh", "en")
        fault = guards.check(row, guard, languages, categories, source["text"])
        yield {**row, **fault} if fault else row


def _row(
    source: Prompt,
    method: Method,
    text: str | None,
    outcome: call.Outcome[numbered.Prompts] | None,
) -> Prompt:
    drop = KEPT
    if outcome and outcome.value is None:
        drop = dropped(Reason.QUARANTINED, outcome.reason)
    elif text is None:
        drop = dropped(Reason.NO_REWRITE, f"no prompt by {method.id}")
    elif text == source["text"]:
        drop = dropped(Reason.UNCHANGED, f"method {method.id} changed nothing")
    return intake.prompt(
        "rewrite",
        method.id,
        [source["prompt_id"]],
        text,
        family_id=source["family_id"],
        call_key=outcome.call_key if outcome else None,
        lang=source["lang"] if method.surface else None,
        intended_label=source["intended_label"],
        intended_category=source["intended_category"],
        **intake.inherited([source]),
        **drop,
    )
