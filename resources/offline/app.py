"""The stand-in engine: an OpenAI-compatible ASGI application over the rule-based twins.

Served in process to the same client, in the same requests, as a real endpoint.
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
    status, answer = _route(scope["path"], body)
    payload = json.dumps(answer, ensure_ascii=False).encode("utf-8")
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


def answer(model: str, messages: list[dict[str, str]]) -> str | None:
    """What the twin called `model` says; None if there is no such twin."""
    text = {message["role"]: message["content"] for message in messages}
    if model in _WRITERS:
        return _WRITERS[model](text["user"])
    if model in lexicon.lexicon()["jurors"]:
        return judges.vote(model, text["user"])
    if model == "offline-categorizer":
        return judges.categorize(text["system"], text["user"])
    return None


def _route(path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    if not path.endswith("/chat/completions"):
        return 404, _error("NotFoundError", "not found")
    request = json.loads(body)
    text = answer(request["model"], request["messages"])
    if text is None:
        return 404, _error("NotFoundError", f"The model `{request['model']}` does not exist.")
    sent = sum(len(message["content"]) for message in request["messages"])
    return 200, {
        "object": "chat.completion",
        "model": request["model"],
        "system_fingerprint": "offline",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": sent, "completion_tokens": len(text)},
    }


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind}}
