"""What a model said: the one checked type of an answer, and the one normaliser before all parsers.

An answer is checked when it is made, whether it comes from an endpoint or from a ledger of an
earlier version: what cannot be stored is replaced, what cannot be true is null. What an answer
means is a parser's matter.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import PlainValidator
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

# Words of engines and gateways for the same few ends of an answer.
_FINISHES = {
    "stop": "stop end end_turn eos eos_token stop_sequence stop_token complete completed finish "
    "finished normal done",
    "length": "length max_tokens max_output_tokens model_length token_limit max_length "
    "model_context_window_exceeded",
    "content_filter": "content_filter content_filtered safety sensitive content_policy "
    "content_moderation moderation prohibited_content blocklist guardrail_intervened risk spii "
    "blocked recitation",
    "refusal": "refusal refused",
    "tool_calls": "tool_calls function_call tool_use",
    # The engine itself broke off: the answer is none.
    "interrupted": "interrupted insufficient_system_resource network_error error abort aborted "
    "cancelled canceled timeout server_error failed model_error",
}
_FINISH = {word: finish for finish, words in _FINISHES.items() for word in words.split()}
_MAX_NAME = 64
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:\-]+\Z")
_STRANGE = re.compile(r"[^\w.:\-]+")
_TAGS = "think|thinking|thought|thoughts|reasoning|seed:think"
_OPENS = re.compile(rf"\s*(?:<(?:{_TAGS})>|\[THINK\]|◁think▷)", re.IGNORECASE)
_CLOSES = re.compile(rf"(?:</(?:{_TAGS})>|\[/THINK\]|◁/think▷)\s*", re.IGNORECASE)
_CHANNEL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>")
_END_MARKS = re.compile(
    r"(?:<\|(?:im_end|endoftext|return|end|eot_id|end_of_text)\|>|</s>|<｜end▁of▁sentence｜>)\s*\Z"
)
_FENCE = re.compile(r"\A\s*(```+|~~~+)[\w+-]*[ \t]*\n?(.*?)\n?\s*\1\s*\Z", re.DOTALL)
_WRAPPED = re.compile(r"\A(\*\*\*|\*\*|__|\*|_|`)(?!\s)([^*_`\n]+)(?<!\s)\1([.。!！]?)\Z")


# Without one of these a text is plain: the common case costs next to nothing.
_MARKED = re.compile(r"[<\[◁`~*_]")


class TokenLogprob(TypedDict):
    """A token that might have come, and its log-probability."""

    token: str
    logprob: float


class Position(TokenLogprob):
    """A token that came, and the likeliest ones at its place."""

    top_logprobs: list[TokenLogprob]


def storable(text: str) -> str:
    """Text as every database takes it: no lone surrogate, no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def name(value: Any) -> str | None:
    """A name that an endpoint gave to something, bounded and without markup; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, str) and len(value) <= _MAX_NAME and _PLAIN_NAME.match(value):
        return value
    told = str(value) if isinstance(value, str) or abs(value) < 10**_MAX_NAME else ""
    return _STRANGE.sub("_", storable(told.strip()))[:_MAX_NAME] or None


def _finish(value: Any) -> str:
    if value == "stop":
        return "stop"
    told = name(value)
    if told is None:
        return "unknown"
    return _FINISH.get(told.lower(), told)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return storable(value)


def _likelihood(entry: Any) -> TokenLogprob | None:
    """A token with a log-probability that can be one; None for an impossible token.

    Raises `ValueError` where the likelihood is not told.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("token"), str):
        raise ValueError("no token")
    logprob = entry.get("logprob")
    if isinstance(logprob, bool) or not isinstance(logprob, int | float):
        raise ValueError("no log-probability")
    if logprob == -math.inf:
        return None
    # Rounding in half precision may say a little more than certain.
    if not -1e6 < logprob < 1e-2:
        raise ValueError("no log-probability")
    return {"token": storable(entry["token"]), "logprob": min(0.0, float(logprob))}


def _position(entry: Any) -> Position:
    came = _likelihood(entry)
    others = entry.get("top_logprobs") or []
    if came is None or not isinstance(others, list | tuple):
        raise ValueError("a token that cannot have come")
    top = [one for one in map(_likelihood, others) if one]
    return {**came, "top_logprobs": top}


def _logprobs(value: Any) -> list[Position] | None:
    """All positions, or None: a probability from some of them would be a guess."""
    if not isinstance(value, list | tuple) or not value:
        return None
    try:
        return [_position(entry) for entry in value]
    except (ValueError, TypeError, OverflowError, AttributeError):
        return None


@dataclass(frozen=True)
class Answer:
    """An answer as it came, before any parsing: every field can be stored.

    `finish_reason` is one of `stop`, `length`, `content_filter`, `refusal`, `tool_calls`,
    `interrupted`, `unknown` (not told), or the endpoint's own word. `thinking` counts the
    characters of a model's reasoning that are not part of `text`.
    """

    text: Annotated[str, PlainValidator(_text)]
    finish_reason: Annotated[str, PlainValidator(_finish)]
    logprobs: Annotated[Sequence[Position] | None, PlainValidator(_logprobs)] = None
    thinking: int = 0


def plain(answer: Answer) -> Answer:
    """The answer proper: without thinking, end marks, a fence around it and emphasis.

    Nothing is guessed: what stands beside a fence, or between words, stays and is the parser's.
    """
    if not _MARKED.search(answer.text):
        return answer
    cut = _after_thinking(answer.text)
    text = _END_MARKS.sub("", answer.text[cut:])
    logprobs = _from(answer.logprobs, answer.text, cut) if cut else answer.logprobs
    if fence := _FENCE.match(text):
        text, logprobs = fence.group(2), None
    while wrapped := _WRAPPED.match(text.strip()):
        text, logprobs = wrapped.group(2) + wrapped.group(3), None
    if text == answer.text:
        return answer
    return replace(answer, text=text, logprobs=logprobs, thinking=answer.thinking + cut)


def _after_thinking(text: str) -> int:
    """Where the answer begins; at the end of a text that is thinking only."""
    if final := _CHANNEL.search(text):
        return final.end()
    if text.lstrip().startswith("<|channel|>"):
        return len(text)
    begin = 0
    while opened := _OPENS.match(text, begin):
        closed = _CLOSES.search(text, opened.end())
        if closed is None:
            return len(text)
        begin = closed.end()
    if begin == 0 and (closed := _CLOSES.search(text)):
        # Some chat templates open the thinking themselves.
        begin = closed.end()
    return begin


def _from(logprobs: Sequence[Position] | None, text: str, cut: int) -> Sequence[Position] | None:
    """Positions from a place in the text on; None where no token begins there."""
    seen = 0
    for number, position in enumerate(logprobs or ()):
        if seen >= cut or not text[seen:cut].strip():
            return (logprobs or ())[number:] if seen <= cut else None
        seen += len(position["token"])
    return None
