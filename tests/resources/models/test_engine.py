"""The engine over wires that answer by script: what is sent again, given up, committed."""

import asyncio
import json

import pytest

from chillguard.calls import call
from resources.models import backpressure, chat
from resources.models.backpressure import Limiter
from resources.models.desk import Answered, GivenUp, Item
from resources.models.endpoint import Endpoint
from resources.models.engine import Engine

DONE = json.dumps(
    {"choices": [{"message": {"content": "好"}, "finish_reason": "stop"}], "usage": {}}
).encode()
GOOD = (200, DONE, None)


class Wire:
    """Gives what its script says, then good answers; an exception is raised."""

    def __init__(self, *script):
        self.script = list(script)
        self.secrets = ()
        self.sent = 0
        self.is_open = True

    async def complete(self, body):
        self.sent += 1
        answer = self.script.pop(0) if self.script else GOOD
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def queue_length(self):
        return None

    async def close(self):
        self.is_open = False


def _item(number):
    request = call.ChatRequest(f"r{number}", ({"role": "user", "content": "问"},), call.Sampling())
    return Item(f"key {number}", request, 0)


class Desk:
    """Pays for everything; `book` says whether more may be sent."""

    def __init__(self, book, commits):
        self.book = book
        self.commit = commits.append

    def may_ask(self, _):
        return True

    may_send = charged = may_ask


class Run:
    """What an engine made of items, over one or several wires."""

    def __init__(self, *wires, items=1, attempts=3, room=2, may_go_on=lambda _: True):
        self.commits = []
        self.results = []
        self.wires = wires
        endpoints = [
            Endpoint(f"http://{n}.test/v1", wire, Limiter(room), "prompt")
            for n, wire in enumerate(wires)
        ]
        desk = Desk(may_go_on, self.commits)
        self.engine = Engine(endpoints, "m", desk, attempts, 60.0)
        self._items = [_item(number) for number in range(items)]

    async def _work(self):
        self.engine.put(self._items)
        try:
            while results := await self.engine.results():
                committed = {one.item.key for group in self.commits for one in group}
                for one in results:
                    assert isinstance(one, GivenUp) or one.item.key in committed
                self.results += results
        finally:
            await self.engine.close()

    def __call__(self):
        asyncio.run(self._work())
        assert not any(wire.is_open for wire in self.wires)
        return self


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """No pause between two tries."""
    monkeypatch.setattr(backpressure, "backoff_s", lambda tries, told: 0.0)


def test_every_item_comes_out_once_and_is_committed_before_it_is_read():
    run = Run(Wire(), Wire(), items=9)()
    assert sorted(one.item.key for one in run.results) == [f"key {n}" for n in range(9)]
    assert all(isinstance(one, Answered) for one in run.results)
    assert sum(wire.sent for wire in run.wires) == 9
    assert all(wire.sent for wire in run.wires)


@pytest.mark.parametrize("failure", [chat.Failed("connection lost"), (500, b"", None)])
def test_a_failure_that_may_pass_is_tried_again_until_the_attempts_are_used_up(failure):
    run = Run(Wire(failure, failure), attempts=3)()
    assert [type(one) for one in run.results] == [Answered]
    run = Run(Wire(failure, failure, failure), attempts=3)()
    [one] = run.results
    assert isinstance(one, GivenUp)
    assert one.reason.startswith("gave up: ")
    assert run.wires[0].sent == 3
    assert run.engine.errors.total() == 3


def test_an_overload_costs_no_attempt():
    run = Run(Wire(*[(429, b"", None)] * 4), attempts=1)()
    assert [type(one) for one in run.results] == [Answered]
    assert run.wires[0].sent == 5


def test_a_time_out_costs_an_attempt():
    wire = Wire(*[chat.TimedOut("time-out after 1 s")] * 2)
    [one] = Run(wire, attempts=2)().results
    assert (type(one), one.reason) == (GivenUp, "gave up: time-out after 1 s")


def test_a_rejected_request_is_given_up_at_once_and_the_others_go_on():
    run = Run(Wire((400, b"{}", None)), items=3, room=1)()
    reasons = [one.reason for one in run.results if isinstance(one, GivenUp)]
    assert len(reasons) == 1
    assert reasons[0].startswith("rejected: ")
    assert run.wires[0].sent == 3


def test_nothing_more_is_sent_when_the_book_says_so():
    run = Run(Wire(), items=5, room=1, may_go_on=lambda answered: False)()
    assert run.wires[0].sent == 1
    assert [one.item.key for one in run.results] == ["key 0"]
