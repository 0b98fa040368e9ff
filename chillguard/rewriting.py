"""Prompt rewriting (paper section 3.1 and appendix C.2): implicit variants of annotated prompts.

Methods are data (`data/rewriting_methods.yaml`): a model with the method's instruction, or a
model-free transform. Which methods a prompt gets is a stable draw among those that fit its label,
macro category and language.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

from chillguard import (
    annotation,
    calls,
    guards,
    identity,
    intake,
    numbered,
    schema,
    taxonomy,
    transforms,
)
from prompts import fingerprint, named, render

TEMPLATE = "rewriting/rewrite"
_KEY = "method"
_CHUNK = 4096
Row = dict[str, Any]


class RewritingConfig(BaseModel):
    """Rewrites per source prompt; the paper kept 109,312 of 3 x 46,742 (section 3.1).

    A call asks for one method, or (`call_per: source`) for all methods that a source drew, as the
    paper's template does: fewer calls, but a change of one method asks for its neighbours too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rewrites_per_prompt: int = 3
    call_per: Literal["method", "source"] = "method"
    layout: numbered.Layout = "json"
    sampling: calls.Sampling = calls.Sampling(temperature=0.7, max_tokens=1024)


class Method(BaseModel):
    """One rewriting method: `instruction_zh` for a model, or `transform`, a model-free one.

    `surface` output keeps odd characters on purpose: its language is not detected, and it is
    neither translated nor guarded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name_zh: str
    name_en: str
    description_zh: str
    when_en: str
    labels: tuple[Literal["safe", "unsafe"], ...]
    instruction_zh: str | None = None
    macro: tuple[str, ...] | None = None
    transform: str | None = None
    surface: bool = False

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Method":
        if (self.instruction_zh is None) == (self.transform is None):
            raise ValueError(f"method {self.id} needs either instruction_zh or transform")
        return self

    def fits(self, label: str, macro: str | None, lang: str | None) -> bool:
        """Whether the method applies to prompts of this label, macro category and language."""
        of_category = self.macro is None or macro in self.macro
        return label in self.labels and of_category and (lang == "zh" or not self.surface)


@dataclass(frozen=True)
class Job:
    """One call: a source prompt, and the methods that it asks for."""

    source: Row
    methods: tuple[Method, ...]

    @property
    def row_id(self) -> str:
        """Name of the job in requests and outcomes."""
        return "/".join((self.source["prompt_id"], *(method.id for method in self.methods)))


@functools.cache
def methods() -> tuple[Method, ...]:
    """The methods that ship with the product."""
    found = taxonomy.packaged("rewriting_methods.yaml")
    return tuple(Method.model_validate(entry) for entry in found)


def surface_methods() -> frozenset[str]:
    """Ids of the methods whose output keeps odd characters on purpose."""
    return frozenset(method.id for method in methods() if method.surface)


def version() -> str:
    """Changes when, and only when, the template, a method or a table of a transform does."""
    made_of = [method.model_dump() for method in methods()]
    return identity.digest(fingerprint(TEMPLATE), made_of, transforms.tables())


def draw(row: Row, categories: taxonomy.Taxonomy, config: RewritingConfig) -> dict[str, str | None]:
    """The methods that a prompt gets, and the text where a transform makes it; else None.

    A transform that would change nothing about the text is passed over.
    """
    if not annotation.has_outcome(row):
        return {}
    code, label = row["intended_category"], row["intended_label"]
    macro = categories.macro_of[code].code if code else None
    fitting = [m.id for m in methods() if m.fits(label, macro, row["lang"])]
    found: dict[str, str | None] = {}
    for key in identity.rendezvous(row["prompt_id"], fitting, len(fitting)):
        if len(found) == config.rewrites_per_prompt:
            break
        transform = _by_id()[key].transform
        text = transforms.TRANSFORMS[transform](row["text"]) if transform else None
        if text != row["text"]:
            found[key] = text
    return found


def rewrite(
    annotated: pa.Table,
    categories: taxonomy.Taxonomy,
    config: RewritingConfig,
    guard: guards.GuardConfig,
    ask: calls.Ask,
) -> pa.Table:
    """The `rewritten_prompts` table: one row per rewrite asked for, also where none came.

    Sources are gone through twice, so that only what is in flight is held in memory.
    """
    found, groups = _Collected(), list[list[tuple[Method, ...]]]()
    for row in _rows_of(annotated):
        drawn = draw(row, categories, config)
        for key, text in drawn.items():
            if text is not None:
                found.add([_row(row, _by_id()[key], text, None)])
        groups.append(
            _calls([_by_id()[key] for key, text in drawn.items() if text is None], config)
        )
    sizes = Counter(len(group) for of_row in groups for group in of_row)
    for size, total in sorted(sizes.items()):
        wanted = (
            Job(row, group)
            for row, of_row in zip(_rows_of(annotated), groups, strict=True)
            for group in of_row
            if len(group) == size
        )
        waiting: dict[str, Job] = {}
        asked = requests(_noted(wanted, waiting), config)
        for outcome in ask("rewriter", asked, numbered.parser(size, config.layout, _KEY), total):
            found.add(_made(waiting.pop(outcome.row_id), outcome, categories, guard))
    return found.table()


def requests(wanted: Iterable[Job], config: RewritingConfig) -> Iterator[calls.ChatRequest]:
    """One request per job whose methods need a model."""
    for job in wanted:
        values = {"methods": job.methods, "text": job.source["text"], "layout": config.layout}
        yield calls.ChatRequest(
            row_id=job.row_id,
            messages=calls.messages(render(TEMPLATE, values)),
            sampling=config.sampling,
            answer_schema=numbered.answer_schema(len(job.methods), config.layout, _KEY),
            template=named(TEMPLATE),
        )


class _Collected:
    """Rows on their way into a table, as Arrow chunks: a tenth of their size as Python objects."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._chunks: list[pa.Table] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows."""
        self._rows += rows
        if len(self._rows) >= _CHUNK:
            self._flush()

    def table(self) -> pa.Table:
        """All rows, sorted by key."""
        self._flush()
        table = pa.concat_tables(self._chunks)
        return table.sort_by([(name, "ascending") for name in schema.REWRITTEN_PROMPTS.key])

    def _flush(self) -> None:
        self._chunks.append(schema.REWRITTEN_PROMPTS.build(self._rows))
        self._rows = []


def _noted(wanted: Iterable[Job], waiting: dict[str, Job]) -> Iterator[Job]:
    for job in wanted:
        waiting[job.row_id] = job
        yield job


def _rows_of(table: pa.Table) -> Iterator[Row]:
    for batch in table.to_batches(max_chunksize=_CHUNK):
        yield from batch.to_pylist()


@functools.cache
def _by_id() -> dict[str, Method]:
    return {method.id: method for method in methods()}


def _calls(drawn: Sequence[Method], config: RewritingConfig) -> list[tuple[Method, ...]]:
    """Methods by the call that asks for them."""
    if config.call_per == "source":
        return [tuple(drawn)] if drawn else []
    return [(method,) for method in drawn]


def _made(
    job: Job,
    outcome: calls.Outcome[numbered.Prompts],
    categories: taxonomy.Taxonomy,
    guard: guards.GuardConfig,
) -> Iterator[Row]:
    made = outcome.value or numbered.Prompts()
    # Without numbers only one prompt for one method is beyond doubt.
    texts = made.numbered or (
        {1: made.loose[0]} if len(made.loose) == len(job.methods) == 1 else {}
    )
    for number, method in enumerate(job.methods, 1):
        row = _row(job.source, method, texts.get(number), outcome)
        languages = ("zh",) if job.source["lang"] == "zh" else ("zh", "en")
        yield row | guards.check(row, guard, languages, categories, job.source["text"])


def _row(
    source: Row,
    method: Method,
    text: str | None,
    outcome: calls.Outcome[numbered.Prompts] | None,
) -> Row:
    drop: Row = {}
    if outcome and outcome.value is None:
        drop = {"drop_reason": "quarantined", "drop_evidence": outcome.reason}
    elif text is None:
        drop = {"drop_reason": "no_rewrite", "drop_evidence": f"no prompt by {method.id}"}
    elif text == source["text"]:
        drop = {"drop_reason": "unchanged", "drop_evidence": f"method {method.id} changed nothing"}
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
