"""The stand-in engine: an OpenAI-compatible ASGI application over the rule-based twins.

`respond` answers in process what the wire would send to a real endpoint; `app` is the same over
ASGI, for drills and for the test that holds it against a real engine.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from resources.offline import judges, lexicon, writers

Message = MutableMapping[str, Any]
_WRITERS = {
    "offline-expander": writers.expand,
    "offline-synthesizer": writers.synthesize,
    "offline-rewriter": writers.rewrite,
}


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer `POST /v1/chat/completions`; anything else is 404."""
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    status, payload = respond(scope["path"], body)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


def respond(path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a POST."""
    status, answer = _route(path, body)
    return status, json.dumps(answer, ensure_ascii=False).encode("utf-8")


def answer(model: str, messages: list[dict[str, str]]) -> str | None:
    """What the twin called `model` says; None if there is no such twin."""
    text = {message["role"]: message["content"] for message in messages}
    if model in _WRITERS:
        return _WRITERS[model](text["system"], text["user"])
    if model in lexicon.lexicon()["jurors"]:
        return judges.vote(model, text["user"])
    if model == "offline-categorizer":
        return judges.categorize(text["system"], text["user"])
    return None


def _route(path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    if not path.endswith("/chat/completions"):
        return 404, {"detail": "Not Found"}
    try:
        request = json.loads(body)
    except ValueError:
        return 400, _error("Bad Request", 400, "the body is not JSON")
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        return 400, _error("Bad Request", 400, "messages: Field required", "body.messages")
    model = request.get("model")
    text = answer(str(model), request["messages"])
    if text is None:
        return 404, _error("NotFoundError", 404, f"The model `{model}` does not exist.", "model")
    spelled = _certain(text) if request.get("logprobs") else None
    sent = sum(len(message["content"]) for message in request["messages"])
    return 200, {
        "id": "chatcmpl-offline",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "system_fingerprint": "offline",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "logprobs": spelled,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": sent,
            "completion_tokens": len(text),
            "total_tokens": sent + len(text),
        },
    }


def _certain(text: str) -> dict[str, Any]:
    """Log-probabilities of a rule: it says one thing, and never another."""
    tokens = [{"token": c, "logprob": 0.0, "bytes": list(c.encode("utf-8"))} for c in text]
    return {"content": [{**token, "top_logprobs": [token]} for token in tokens]}


def _error(kind: str, code: int, message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
