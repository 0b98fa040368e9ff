"""The stand-in engine against a real vLLM engine: the same requests, the same shapes."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from chillguard.tables import lineage
from resources.offline.app import app
from tests.integration.real_engine import BENIGN, JURORS

pytestmark = pytest.mark.engine

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": f"<text>\n{BENIGN}\n</text>"}]
LOGPROBS = {"logprobs": True, "top_logprobs": 2}
WRONG = {
    "unknown model": (CHAT, {"model": "no-such-model", "messages": QUESTION}),
    "unknown path": ("/v1/no/such/path", {"model": None, "messages": QUESTION}),
    "malformed JSON": (CHAT, b'{"model":'),
    "missing messages": (CHAT, {"model": None}),
}


async def send(transport, root, path, body, model):
    """Send to an endpoint a body in which None stands for the name of a model it has."""
    async with httpx.AsyncClient(transport=transport, base_url=root, trust_env=False) as http:
        if isinstance(body, dict):
            body = json.dumps({**body, "model": body["model"] or model}).encode()
        headers = {"content-type": "application/json"}
        return await http.post(path, content=body, headers=headers, timeout=60)


@pytest.fixture
def both(engine):
    """The engine's response and the stand-in's to the same request."""

    def post(path, body):
        stand_in = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return (
            asyncio.run(send(None, engine.root, path, body, JURORS[0])),
            asyncio.run(send(stand_in, "http://offline", path, body, "offline-juror-1")),
        )

    return post


def keys_of(response: httpx.Response, *path: str | int) -> set[str] | None:
    """Keys of the object at a place of a JSON body; None where there is no object."""
    try:
        place: Any = response.json()
        for step in path:
            place = place[step]
        return set(place)
    except (ValueError, LookupError, TypeError):
        return None


def good(**more):
    return {"model": None, "messages": QUESTION, "temperature": 0, "max_tokens": 4, **more}


BAD = ("unknown model", "unknown path", "malformed JSON", "missing messages")


@pytest.mark.parametrize("case", BAD)
def test_the_stand_in_has_the_status_of_the_engine(both, case):
    real, twin = both(*WRONG[case])
    assert twin.status_code == real.status_code
    assert twin.headers["content-type"] == real.headers["content-type"]


@pytest.mark.parametrize("case", BAD)
def test_the_stand_in_words_errors_as_the_engine_does(both, case):
    real, twin = both(*WRONG[case])
    assert keys_of(twin) == keys_of(real)
    assert keys_of(twin, "error") == keys_of(real, "error")
    if keys_of(real, "error"):
        assert twin.json()["error"]["type"] == real.json()["error"]["type"]


def test_the_stand_in_answers_a_good_request(both):
    real, twin = both(CHAT, good())
    assert twin.status_code == real.status_code == 200
    assert twin.headers["content-type"] == real.headers["content-type"]
    for body in (real.json(), twin.json()):
        assert body["choices"][0]["message"]["content"] in lineage.LABELS
        assert body["object"] == "chat.completion"


PLACES = [(), ("choices", 0), ("choices", 0, "message"), ("usage",)]


@pytest.mark.parametrize("place", PLACES)
def test_the_stand_in_invents_no_key(both, place):
    real, twin = both(CHAT, good())
    assert keys_of(twin, *place) <= keys_of(real, *place)


def test_the_stand_in_gives_log_probabilities_when_asked(both):
    real, twin = both(CHAT, good(**LOGPROBS))
    place = ("choices", 0, "logprobs", "content", 0)
    assert keys_of(real, *place) == {"token", "logprob", "bytes", "top_logprobs"}
    assert keys_of(twin, *place) == keys_of(real, *place)
