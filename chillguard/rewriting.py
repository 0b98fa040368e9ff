"""Prompt rewriting (paper section 3.1 and appendix C.2): implicit variants of annotated prompts.

Methods are data (`data/rewriting_methods.yaml`): a model with a template, or a model-free
transform. Which methods a prompt gets is a stable draw among those that fit its label and macro
category.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from chillguard import annotation, calls, identity, intake, schema, taxonomy, transforms
from prompts import render

TEMPLATE = "rewriting/rewrite"
Row = dict[str, Any]


class RewritingConfig(BaseModel):
    """Rewrites per source prompt; the paper kept 109,312 of 3 x 46,742 (section 3.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rewrites_per_prompt: int = 3
    sampling: calls.Sampling = calls.Sampling(temperature=0.7, max_tokens=1024)


class Method(BaseModel):
    """One rewriting method; `transform` names a model-free one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name_zh: str
    name_en: str
    description_zh: str
    labels: tuple[Literal["safe", "unsafe"], ...]
    macro: tuple[str, ...] | None = None
    transform: str | None = None

    def fits(self, label: str, macro: str | None) -> bool:
        """Whether the method applies to prompts of this label and macro category."""
        return label in self.labels and (self.macro is None or macro in self.macro)


@dataclass(frozen=True)
class Slot:
    """One rewrite to make: a source prompt and a method."""

    source: Row
    method: Method

    @property
    def row_id(self) -> str:
        """Name of the slot in requests and outcomes."""
        return f"{self.source['prompt_id']}/{self.method.id}"


@functools.cache
def methods() -> tuple[Method, ...]:
    """The methods that ship with the product."""
    found = taxonomy.packaged("rewriting_methods.yaml")
    return tuple(Method.model_validate(entry) for entry in found)


def slots(
    annotated: pa.Table, categories: taxonomy.Taxonomy, config: RewritingConfig
) -> list[Slot]:
    """The rewrites to make: a draw of methods per prompt that has an annotation outcome."""
    found = []
    by_id = {method.id: method for method in methods()}
    for row in annotated.to_pylist():
        if annotation.has_outcome(row):
            code = row["intended_category"]
            macro = categories.macro_of[code].code if code else None
            fitting = [m.id for m in by_id.values() if m.fits(row["intended_label"], macro)]
            drawn = identity.rendezvous(row["prompt_id"], fitting, config.rewrites_per_prompt)
            found += [Slot(row, by_id[one]) for one in drawn]
    return found


def requests(wanted: Iterable[Slot], config: RewritingConfig) -> Iterator[calls.ChatRequest]:
    """One request per slot whose method needs a model."""
    for slot in wanted:
        if slot.method.transform is None:
            values = {"method": slot.method, "text": slot.source["text"]}
            yield calls.ChatRequest(
                row_id=slot.row_id,
                messages=calls.messages(render(TEMPLATE, values)),
                sampling=config.sampling,
                answer_schema=_ANSWER,
            )


def parse(answer: calls.Answer) -> str:
    """The rewritten prompt."""
    prompt = calls.parse_json(answer).get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise calls.Unreadable("no text under `prompt`")
    return prompt


def rows(wanted: Sequence[Slot], outcomes: Iterable[calls.Outcome[str]]) -> pa.Table:
    """The `rewritten_prompts` table: one row per slot, also where no rewrite came."""
    outcome_of = {outcome.row_id: outcome for outcome in outcomes}
    return schema.REWRITTEN_PROMPTS.build(
        _row(slot, outcome_of.get(slot.row_id)) for slot in wanted
    )


def _row(slot: Slot, outcome: calls.Outcome[str] | None) -> Row:
    source, method = slot.source, slot.method
    drop: Row = {}
    if outcome is None:
        text: str | None = transforms.TRANSFORMS[str(method.transform)](source["text"])
        lang = source["lang"]
    else:
        text, lang = outcome.value and outcome.value.strip(), None
    if text is None and outcome:
        drop = {"drop_reason": "quarantined", "drop_evidence": outcome.reason}
    elif text == source["text"]:
        drop = {"drop_reason": "unchanged", "drop_evidence": f"method {method.id} changed nothing"}
    return intake.prompt(
        "rewrite",
        method.id,
        [source["prompt_id"]],
        text,
        family_id=source["family_id"],
        call_key=outcome.call_key if outcome else None,
        lang=lang,
        intended_label=source["intended_label"],
        intended_category=source["intended_category"],
        **intake.inherited([source]),
        **drop,
    )


_ANSWER = {
    "type": "object",
    "properties": {"prompt": {"type": "string", "minLength": 1}},
    "required": ["prompt"],
    "additionalProperties": False,
}
