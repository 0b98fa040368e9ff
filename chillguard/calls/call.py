"""One model call as the domain sees it: what is asked, and what came of it.

It is sent by `resources.models.chat` and tried again by `resources.models.engine`; what was paid
for is looked up and kept by `resources.models.stream`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from chillguard.calls.answer import Answer as Answer
from chillguard.calls.answer import plain

T = TypeVar("T")
# The outcome of a request in a plan, which asks nobody: a word of ours, never of an endpoint.
UNASKED = "not asked yet"
_SALVAGE_AT = 0.5
# Made once: `json.dumps` with options makes an encoder per call.
_form = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class Sampling(BaseModel):
    """Sampling parameters of a call; every field is part of the ledger key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(512, ge=1)
    top_logprobs: int = Field(0, ge=0, le=20)

    def varied(self) -> "Sampling":
        """Sampling of a salvage attempt: asked greedily, the same answer would come again."""
        return self if self.temperature else self.model_copy(update={"temperature": _SALVAGE_AT})


@dataclass(frozen=True)
class ChatRequest:
    """One request: `row_id` says for which row, the rest is what the model gets.

    `answer_schema` is logical: a JSON schema, or `{"choice": [...]}` for one of several words.
    `template` names the template and its fingerprint, for the record only.
    """

    row_id: str
    messages: tuple[Mapping[str, str], ...]
    sampling: Sampling
    answer_schema: Mapping[str, object] | None = None
    repeat: int = 0
    template: str | None = None


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of a request: `value`, or else `reason` (why there is none).

    `call_key` is the ledger key of the answer that was read last.
    """

    row_id: str
    call_key: str
    value: T | None
    reason: str | None = None


class Unreadable(Exception):
    """A parser's verdict that an answer cannot be read; its text is the reason.

    `fallback` is what could be read all the same: it counts when asking anew did not help.
    """

    def __init__(self, reason: str, fallback: Any = None) -> None:
        super().__init__(reason)
        self.fallback = fallback


Parser = Callable[[Answer], T]
_READABLE = frozenset({"stop", "unknown"})


class Crashed(Unreadable):
    """A parser failed at an answer: the answer is unreadable, and the parser is to be mended."""


def read(parse: Parser[T], answer: Answer) -> T:
    """What a parser reads in an answer, normalised first; raises `Unreadable` and nothing else.

    An answer that did not end by itself is unreadable, whatever a parser makes of it; of one that
    was cut off at its length the parser's fallback counts.
    """
    if answer.finish_reason not in _READABLE and answer.finish_reason != "length":
        raise Unreadable(answer.finish_reason)
    try:
        value = parse(plain(answer))
    except Unreadable:
        raise
    except Exception as error:
        raise Crashed(f"the parser failed ({type(error).__name__})") from error
    if answer.finish_reason == "length":
        raise Unreadable("cut off at max_tokens")
    return value


class Ask(Protocol):
    """Ask the model of a role; outcomes come as they are answered, in no order."""

    def __call__(
        self,
        role: str,
        requests: Iterable[ChatRequest],
        parse: Parser[T],
        total: int | None = None,
    ) -> Iterator[Outcome[T]]:
        """Yield one outcome per request; `total` is how many there will be, for the ETA."""


def messages(blocks: Mapping[str, str]) -> tuple[Mapping[str, str], ...]:
    """Chat messages from the `system` and `user` blocks of a rendered template."""
    return tuple({"role": role, "content": blocks[role]} for role in ("system", "user"))


def call_key(model: str, revision: str, request: ChatRequest, repeat: int) -> str:
    """Ledger key: declared model and revision, messages, sampling, schema, repeat index.

    Nothing observed in an answer, no URL and no transport encoding is part of it.
    """
    form = _form(
        [
            model,
            revision,
            [[message["role"], message["content"]] for message in request.messages],
            request.sampling.model_dump(),
            request.answer_schema,
            repeat,
        ]
    )
    return hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest()


def parse_json(answer: Answer) -> dict[str, Any]:
    """The JSON object in an answer; raises `Unreadable` when cut off or not an object."""
    if answer.finish_reason == "length":
        raise Unreadable("cut off at max_tokens")
    try:
        value = json.loads(answer.text)
        # Only an escape can bring what was not in the text as it came.
        told = json.dumps(value, ensure_ascii=False) if "\\u" in answer.text else answer.text
        told.encode("utf-8")
    except UnicodeEncodeError:
        raise Unreadable("JSON with a lone surrogate") from None
    except (ValueError, RecursionError):
        raise Unreadable("not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("JSON, but not an object")
    return value
