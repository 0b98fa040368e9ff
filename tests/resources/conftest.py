"""A chat endpoint that is a function, a ledger in a temporary folder, and tries without pauses."""

import json

import httpx
import pytest

from chillguard.calls import call
from resources.models import backpressure
from resources.models.ledger import Ledger
from tests.resources.fake_endpoint import answer_by


class Endpoint:
    """Answers requests by `reply(number, body)`, and keeps what it was sent."""

    def __init__(self):
        self.requests = []
        self.bodies = []
        self.reply = lambda number, body: self.completion(f"re {body['messages'][-1]['content']}")

    def __call__(self, request):
        if request.method == "GET":
            return httpx.Response(404)
        self.requests.append(request)
        self.bodies.append(json.loads(request.content))
        return self.reply(len(self.bodies), self.bodies[-1])

    @staticmethod
    def completion(text, finish_reason="stop", **more):
        choice = {"message": {"content": text}, "finish_reason": finish_reason}
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        return httpx.Response(200, json={"choices": [choice], "usage": usage, **more})

    @property
    def asked(self):
        """The user messages, sorted: the order of arrival is nobody's business."""
        return sorted(body["messages"][-1]["content"] for body in self.bodies)


@pytest.fixture
def endpoint(monkeypatch):
    found = Endpoint()
    answer_by(monkeypatch, found)
    monkeypatch.setattr(backpressure, "_BACKOFF_S", 0.0)
    return found


@pytest.fixture
def ledger(tmp_path):
    return Ledger(url=f"sqlite:///{tmp_path / 'home' / 'ledger.db'}")


@pytest.fixture
def requests():
    """A function that makes requests for the given user messages."""

    def make(*texts, **more):
        return [
            call.ChatRequest(
                row_id=f"row {text}",
                messages=({"role": "user", "content": text},),
                sampling=call.Sampling(),
                **more,
            )
            for text in texts
        ]

    return make
