"""Asking over a ledger on PostgreSQL: the same promises as on SQLite."""

import pytest

from chillguard.calls import call
from resources.models.ledger import Ledger
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole
from tests.resources.fake_endpoint import completion, serve

pytestmark = pytest.mark.enable_socket


def requests(count):
    for i in range(count):
        messages = ({"role": "user", "content": f"q{i}"},)
        yield call.ChatRequest(f"row{i}", messages, call.Sampling(max_tokens=8))


def parse(answer):
    if answer.text.startswith("odd"):
        raise call.Unreadable("odd")
    return answer.text


def ask(url, ledger, count):
    role = ModelRole(role="juror", model="m", urls=[url], structured="prompt", concurrency=16)
    models = LanguageModels(roles=[role], ledger=ledger)
    asker = Asker(models, "asset", "run", Progress("asset", lambda line: None))
    return {one.row_id: one for one in asker("juror", requests(count), parse)}, asker.usage


def test_nothing_is_paid_twice_and_what_cannot_be_read_is_quarantined(postgres):
    ledger = Ledger(url=postgres)
    with serve(lambda text, n: completion("odd\0" if text == "q7" else f"re {text}")) as endpoint:
        first, usage = ask(endpoint.url, ledger, 60)
        assert (usage.paid, usage.from_ledger, usage.quarantined) == (61, 0, 1)
        again, usage = ask(endpoint.url, ledger, 61)
        assert (usage.paid, usage.from_ledger, usage.quarantined) == (1, 61, 1)
        assert ledger.redrive("asset") == 1
        _, usage = ask(endpoint.url, ledger, 61)
        assert (usage.paid, usage.quarantined) == (2, 1)
    assert {one: again[one] for one in first} == first
    assert first["row7"].reason == "unreadable: odd"
    assert first["row8"].value == "re q8"
    key = first["row7"].call_key
    assert ledger.answers([key])[key].text == "odd\ufffd"
