"""The door for answers: what an endpoint says, as one checked type, made the moment it arrives.

Every field of a `Reply` can be stored; everything that is no reply is a kind of `Failure`. What an
answer means is a parser's matter.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any, cast

from pydantic import PlainValidator
from pydantic.dataclasses import dataclass

from chillguard.calls.answer import Answer, name, storable
from resources.models.failures import (
    Failed,
    Failure,
    Filtered,
    Forbidden,
    NoCompletion,
    Overloaded,
    Refused,
)

# 429 is Too Many Requests; 503 and Anthropic's 529 say that the service is full.
_OVERLOAD = frozenset({429, 503, 529})
_PASSING = frozenset({408, 409, 425, 499})
_FORBIDDEN = {
    401: "the API key is missing or not accepted",
    402: "the account has no credit left",
    403: "the API key is missing or not accepted",
    404: "there is no such model or path; mend `model` or `url` of the role",
}
_ILLEGAL_HERE = 451
# By code: Azure and OpenAI, DashScope, Zhipu (1301), DeepSeek, xAI, Volcano Ark, MiniMax (1026,
# 1027), StepFun, Moonshot, OpenRouter, Gemini.
_FILTERS = re.compile(
    r"content.?filter|content.?polic|responsibleai|data.?inspection|sensitive|moderation|censor"
    r"|safety|prohibited.?content|prompt.?block|content.?exists.?risk|risk.?control|\A(?:1301|1026"
    r"|1027)\Z",
    re.IGNORECASE,
)
# These gateways give a filter no code of its own, only a sentence.
_FILTER_SENTENCES = re.compile(
    r"\A\W*(?:content exists risk|content violates usage guidelines|.{0,40}data_inspection_failed)",
    re.IGNORECASE,
)
# No request is answered until a person has seen to the account; 1113 is Zhipu's.
_ACCOUNT = re.compile(
    r"\A(?:insufficient_quota|invalid_api_key|invalid_authentication_error|arrearage|1113"
    r"|exceeded_current_quota_error|billing_hard_limit_reached|insufficient_balance"
    r"|account_deactivated|accessdenied\.unpurchased|model_not_found|invalidapikey)\Z",
    re.IGNORECASE,
)
_MAX_MESSAGE = 200
# An INTEGER of PostgreSQL has 32 bits.
_MAX_TOKENS = 2**31
_TEXT_PARTS = frozenset({"text", "output_text", "input_text", None})
_THINKING_PARTS = frozenset({"thinking", "reasoning", "reasoning_text"})


def _count(value: Any) -> int | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    # NaN and infinities fail the comparison, and a float may be a whole number.
    return int(value) if whole and 0 <= value < _MAX_TOKENS and value == int(value) else None


@dataclass(frozen=True)
class Reply:
    """A raw answer and what came with it; what is not told, or cannot be true, is None."""

    answer: Answer
    prompt_tokens: Annotated[int | None, PlainValidator(_count)]
    completion_tokens: Annotated[int | None, PlainValidator(_count)]
    fingerprint: Annotated[str | None, PlainValidator(name)]


def masked(text: str, secrets: Collection[str]) -> str:
    """Text without the secrets of the profile, should an endpoint echo one."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def read(
    status: int, body: bytes, retry_after_s: float | None, secrets: Collection[str] = ()
) -> Reply:
    """The reply in a response; raises a kind of `Failure` for everything that is none."""
    document = _document(body, secrets)
    if status == 200 and (reply := _reply(document)):
        if reply.answer.finish_reason != "interrupted":
            return reply
        raise NoCompletion("HTTP 200, but the engine broke off the answer")
    raise _failure(status, _Error.of(document), retry_after_s)


def _document(body: bytes, secrets: Collection[str]) -> Any:
    try:
        text = masked(body.decode("utf-8", "replace"), secrets)
        document = json.loads(text)
        if secrets and "\\" in text:
            # An escape may hide a secret from the first look.
            shown = json.dumps(document, ensure_ascii=False)
            document = json.loads(masked(shown, secrets))
        return document
    except (ValueError, RecursionError):
        return None


def _reply(document: Any) -> Reply | None:
    """The first choice of a chat completion; None where there is none."""
    choices = document.get("choices") if isinstance(document, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        return None
    answer = _answer(choice)
    if answer is None:
        return None
    usage = _mapping(document.get("usage"))
    return Reply(
        answer,
        usage.get("prompt_tokens", usage.get("input_tokens")),
        usage.get("completion_tokens", usage.get("output_tokens")),
        document.get("system_fingerprint"),
    )


def _answer(choice: Mapping[str, Any]) -> Answer | None:
    message = choice.get("message")
    if not isinstance(message, Mapping):
        # A filter may leave nothing of the message, and old engines give a bare text.
        message = {"content": choice.get("text")}
        if message["content"] is None and choice.get("finish_reason") is None:
            return None
    told = _text(message.get("content"))
    if told is None:
        return None
    text, thinking = told
    thinking += sum(
        len(part)
        for part in (message.get("reasoning_content"), message.get("reasoning"))
        if isinstance(part, str)
    )
    finish_reason = choice.get("finish_reason")
    refusal = message.get("refusal")
    if not text and isinstance(refusal, str) and refusal:
        text, finish_reason = refusal, "refusal"
    logprobs = _mapping(choice.get("logprobs")).get("content")
    answer = Answer(text, cast(str, finish_reason), logprobs, thinking)
    # Emptied by a filter, whatever the gateway calls the end of it.
    filtered = _mapping(choice.get("content_filter_results"))
    blocked = any(_mapping(one).get("filtered") is True for one in filtered.values())
    return replace(answer, finish_reason="content_filter") if blocked and not text else answer


def _text(content: Any) -> tuple[str, int] | None:
    """Text, and characters of thinking, of a message's content: a string, parts, or nothing."""
    if content is None:
        return "", 0
    if isinstance(content, str):
        return content, 0
    if not isinstance(content, list):
        return None
    texts, thinking = [], 0
    for part in content:
        entry = part if isinstance(part, Mapping) else {"text": part}
        kind = entry.get("type") if isinstance(entry.get("type"), str) else None
        text = entry.get("text", entry.get("thinking"))
        if kind in _THINKING_PARTS:
            thinking += len(str(text or ""))
        elif kind in _TEXT_PARTS and isinstance(text, str):
            texts.append(text)
        elif kind != "refusal":
            return None
    return "".join(texts), thinking


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True)
class _Error:
    """An error as an endpoint tells it: names of its kind, and its message."""

    names: tuple[str, ...] = ()
    message: str = ""

    @classmethod
    def of(cls, document: Any) -> "_Error":
        """The error in a document, in the forms of Western and Chinese gateways."""
        outer = _mapping(document)
        inner = outer.get("error", outer)
        error = _mapping(inner) or outer
        base = _mapping(outer.get("base_resp"))
        told = (error.get("code"), error.get("type"), error.get("status"), outer.get("code"))
        deeper = _mapping(error.get("innererror")).get("code")
        candidates = (deeper, *told, base.get("status_code"))
        message = inner if isinstance(inner, str) else error.get("message")
        return cls(
            tuple(filter(None, map(_named, candidates))),
            storable(message) if isinstance(message, str) else "",
        )

    def shown(self, status: int) -> str:
        """The first name that says more than the status, with a space before it."""
        telling = [one for one in self.names if one != str(status)]
        return f" {telling[0]}" if telling else ""


def _named(value: Any) -> str | None:
    """A code as a gateway names it; words of a sentence, or of another script, are none."""
    told = name(value)
    plain = told == str(value).strip() and told.isascii() if told else False
    # A number of one or two digits is no code of any gateway.
    return told if told and plain and not (told.isdigit() and len(told) < 3) else None


def _failure(status: int, error: _Error, retry_after_s: float | None) -> Failure:
    """What kind of failure a response is, by what it says and by the class of its status."""
    shown = f"HTTP {status}{error.shown(status)}"
    message = " ".join(error.message.split())[:_MAX_MESSAGE]
    refers = [one for one in error.names if _FILTERS.search(one)]
    if status == _ILLEGAL_HERE or refers or _FILTER_SENTENCES.match(error.message):
        return Filtered(f"HTTP {status} {refers[0]}" if refers else shown, message)
    if any(_ACCOUNT.match(one) for one in error.names):
        told = _FORBIDDEN.get(status, "the account or the model is not there to be asked")
        return Forbidden(f"{shown}: {told}")
    if status == 200:
        return NoCompletion("HTTP 200, but not a chat completion")
    if status in _OVERLOAD:
        return Overloaded(f"HTTP {status}", retry_after_s)
    if status in _PASSING or status >= 500:
        return Failed(f"HTTP {status}")
    if status in _FORBIDDEN:
        return Forbidden(f"HTTP {status}: {_FORBIDDEN[status]}")
    return Refused(shown, message)
