"""Answers that hold several prompts: a numbered JSON list, or a list with separators.

The paper's appendix C prints the list. There a prompt that itself holds a separator is cut in two,
so counts are checked: an answer with another number of prompts is asked anew, and only when that
does not help its prompts are used without their numbers. JSON is the default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from chillguard.calls import call, refusals

Layout = Literal["json", "delimited"]
_SEMICOLON, _SEPARATOR = re.compile(r"[;；]+"), re.compile(r"[;；\n]+")
# Neither 1.5 nor -5: those are numbers of the prompt itself.
_NUMBER = re.compile(r"^\s*(?:\d{1,2}\s*[.、:：)）](?!\d)|[-*]\s|•)\s*")


@dataclass(frozen=True)
class Prompts:
    """Prompts by their number, from 1, and those whose number cannot be trusted."""

    numbered: Mapping[int, str] = field(default_factory=dict)
    loose: tuple[str, ...] = ()


def parser(count: int, layout: Layout, key: str) -> call.Parser[Prompts]:
    """A parser of answers with `count` prompts; in JSON the number stands under `key`."""
    return lambda answer: _json(answer, count, key) if layout == "json" else _list(answer, count)


def answer_schema(count: int, layout: Layout, key: str) -> Mapping[str, object] | None:
    """What the endpoint is to bind; a list with separators cannot be bound."""
    if layout == "delimited":
        return None
    item = {
        "type": "object",
        "properties": {
            key: {"type": "integer", "minimum": 1, "maximum": count},
            "prompt": {"type": "string", "minLength": 1},
        },
        "required": [key, "prompt"],
        "additionalProperties": False,
    }
    prompts = {"type": "array", "items": item, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {"prompts": prompts},
        "required": ["prompts"],
        "additionalProperties": False,
    }


def _json(answer: call.Answer, count: int, key: str) -> Prompts:
    entries = call.parse_json(answer).get("prompts")
    if not isinstance(entries, list):
        raise call.Unreadable("no list under `prompts`")
    found: dict[int, str] = {}
    for entry in entries:
        number = entry.get(key) if isinstance(entry, dict) else None
        prompt = entry.get("prompt") if isinstance(entry, dict) else None
        if type(number) is int and isinstance(prompt, str) and prompt.strip():
            found.setdefault(number, prompt.strip())
    found = {number: found[number] for number in range(1, count + 1) if number in found}
    if len(found) < count:
        raise call.Unreadable(f"{len(found)} of {count} prompts", _fallback(found))
    return Prompts(found)


def _list(answer: call.Answer, count: int) -> Prompts:
    if refusals.declines(answer.text):
        raise call.Unreadable("a refusal")
    found = _parts(answer.text, _SEMICOLON)
    if len(found) != count or answer.finish_reason == "length":
        found = _parts(answer.text, _SEPARATOR)
    if answer.finish_reason == "length":
        # The last one may have lost its end.
        raise call.Unreadable("cut off at max_tokens", _fallback(loose=tuple(found[:-1])))
    if len(found) != count:
        raise call.Unreadable(f"{len(found)} prompts for {count}", _fallback(loose=tuple(found)))
    return Prompts(dict(enumerate(found, 1)))


def _parts(text: str, separator: re.Pattern[str]) -> list[str]:
    parts = [_NUMBER.sub("", part).strip() for part in separator.split(text)]
    return [part for part in parts if part]


def _fallback(
    numbered: Mapping[int, str] | None = None, loose: tuple[str, ...] = ()
) -> Prompts | None:
    """What there is, or nothing: an empty fallback would hide that there is no usable answer."""
    return Prompts(numbered or {}, loose) if numbered or loose else None
