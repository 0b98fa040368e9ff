"""Shapes of rows that are not one text in one column: conversations, and labelling exports.

The last turn of a user is the prompt; what the assistant says after it is the response.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Shape = Literal["rows", "messages", "sharegpt", "label_studio", "prompt_response"]
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "rows": {"text": "text"},
    "messages": {"text": "messages"},
    "sharegpt": {"text": "conversations"},
    "label_studio": {"text": "text"},
    "prompt_response": {"text": "prompt", "response": "response"},
}
"""Columns that a source of a shape has unless it says otherwise."""

_TURNS = {"messages": ("role", "content"), "sharegpt": ("from", "value")}
_USER = frozenset({"user", "human", "prompter"})
_ASSISTANT = frozenset({"assistant", "gpt", "chatgpt", "model", "bot"})


class ShapeError(ValueError):
    """A row that is not of the shape that its source declares; the message quotes no text."""


@dataclass(frozen=True)
class Exchange:
    """The last thing that a user said in a conversation, and the answer, if there is one."""

    prompt: Any
    response: str | None


def exchange(shape: Shape, value: Any) -> Exchange:
    """The last exchange of a column's value, which is one text where the shape is no conversation.

    Raises `ShapeError` for a value that is no conversation.
    """
    if shape not in _TURNS or value is None:
        return Exchange(value, None)
    turns = [_turn(turn, *_TURNS[shape]) for turn in _list(shape, value)]
    asked = [place for place, (role, _) in enumerate(turns) if role in _USER]
    if not asked:
        raise ShapeError("no turn of a user")
    answers = (text for role, text in turns[asked[-1] + 1 :] if role in _ASSISTANT)
    return Exchange(turns[asked[-1]][1], next(answers, None))


def flat(columns: Mapping[str, object]) -> Mapping[str, Any]:
    """A task of Label Studio as one row: its data, its id, and what annotators chose by name.

    A choice on which annotators differ is null. A flat export (JSON-MIN, CSV) stays as it is.
    """
    data = columns.get("data")
    if not isinstance(data, Mapping):
        return columns
    chosen: dict[str, set[str]] = {}
    for annotation in _items(columns.get("annotations") or columns.get("completions")):
        if annotation.get("was_cancelled") is True:
            continue
        for part in _items(annotation.get("result")):
            chosen.setdefault(str(part.get("from_name")), set()).update(_choices(part))
    agreed = {name: next(iter(forms)) for name, forms in chosen.items() if len(forms) == 1}
    return {"id": columns.get("id"), **data, **dict.fromkeys(chosen), **agreed}


def _list(shape: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ShapeError(f"shape {shape} needs a list of turns, not a text") from None
    if not isinstance(value, list):
        raise ShapeError(f"shape {shape} needs a list of turns, not {type(value).__name__}")
    return value


def _turn(turn: Any, role_key: str, text_key: str) -> tuple[str, str | None]:
    if not isinstance(turn, Mapping) or not isinstance(turn.get(role_key), str):
        raise ShapeError(f"a turn without `{role_key}`")
    return turn[role_key].lower(), _words(turn.get(text_key), text_key)


def _words(content: Any, text_key: str) -> str | None:
    """The text of a turn; a turn may be a list of parts, of which pictures have no text."""
    if content is None or isinstance(content, str):
        return content
    texts = [part.get("text") for part in _items(content)]
    words = [text for text in texts if isinstance(text, str)]
    if not isinstance(content, list):
        raise ShapeError(f"a turn whose `{text_key}` is {type(content).__name__}")
    return "\n".join(words) or None


def _items(value: Any) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _choices(part: Mapping[str, object]) -> list[str]:
    value = part.get("value")
    choices = value.get("choices") if isinstance(value, Mapping) else None
    return [", ".join(map(str, choices))] if isinstance(choices, list) and choices else []
