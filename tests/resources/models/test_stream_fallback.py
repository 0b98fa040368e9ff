"""What could be read of an unreadable answer: used when asking anew did not help, and only then."""

import pytest

from chillguard.calls import call, numbered
from resources.models import stream
from resources.models.llm import Asker, LanguageModels
from resources.models.progress import Progress
from resources.models.roles import ModelRole

THREE, TWO, ONE = "去公园；看书；吃早餐", "去公园；看书", "去公园"


@pytest.fixture
def ask(ledger, endpoint):
    """A function that asks for three prompts, with answers by turn; gives outcomes and usage.

    `by_text` gives the answers by the text of the request instead, in every turn.
    """

    def make(*answers, salvage=1, by_text=None):
        def reply(number, body):
            told = by_text and by_text[body["messages"][0]["content"]]
            return endpoint.completion(told or answers[min(number, len(answers)) - 1])

        endpoint.reply = reply
        role = ModelRole(
            role="writer",
            model="m",
            urls=["http://127.0.0.1:9/v1"],
            structured="prompt",
            salvage=salvage,
        )
        models = LanguageModels(roles=[role], ledger=ledger)
        asker = Asker(models, "asset", "run", Progress("asset", lambda line: None))
        wanted = [
            call.ChatRequest(f"row {text}", ({"role": "user", "content": text},), call.Sampling())
            for text in by_text or ["q"]
        ]
        parse = numbered.parser(3, "delimited", "source")
        return list(asker("writer", wanted, parse)), asker.usage

    return make


def _key(text, salvage):
    request = call.ChatRequest("row", ({"role": "user", "content": text},), call.Sampling())
    if salvage:
        sampling = request.sampling.varied()
        request = call.ChatRequest("row", request.messages, sampling)
    return call.call_key("m", "main", request, salvage * stream.SALVAGE)


def _held(ledger, text="q"):
    return ledger.quarantined([_key(text, 0)])


def test_a_good_answer_is_asked_for_once(ask, ledger):
    (outcome,), usage = ask(THREE)
    assert (len(outcome.value.numbered), usage.paid) == (3, 1)


@pytest.mark.parametrize("salvage", [1, 2, 3])
def test_a_good_second_answer_wins(ask, ledger, salvage):
    (outcome,), usage = ask(TWO, THREE, ONE, salvage=salvage)
    assert outcome.value.numbered == {1: "去公园", 2: "看书", 3: "吃早餐"}
    assert outcome.value.loose == ()
    assert (outcome.reason, outcome.call_key) == (None, _key("q", 1))
    assert (usage.paid, usage.quarantined, _held(ledger)) == (2, 0, {})


@pytest.mark.parametrize("salvage", [0, 1, 2])
def test_the_fallback_is_used_when_asking_anew_did_not_help(ask, ledger, salvage):
    (outcome,), usage = ask(TWO, salvage=salvage)
    assert outcome.value == numbered.Prompts(loose=("去公园", "看书"))
    assert (outcome.reason, outcome.call_key) == (None, _key("q", salvage))
    assert (usage.paid, usage.quarantined, _held(ledger)) == (1 + salvage, 0, {})


@pytest.mark.parametrize("answers", [(TWO, "抱歉，我无法提供。"), ("抱歉，我无法提供。", TWO)])
def test_the_fallback_of_either_answer_is_used(ask, ledger, answers):
    (outcome,), usage = ask(*answers)
    assert outcome.value.loose == ("去公园", "看书")
    assert (usage.paid, usage.quarantined, _held(ledger)) == (2, 0, {})


def test_without_any_fallback_the_request_is_quarantined(ask, ledger):
    (outcome,), usage = ask("抱歉，我无法提供。")
    assert (outcome.value, outcome.reason) == (None, "refusal")
    assert (usage.paid, usage.quarantined) == (2, 1)
    assert _held(ledger)[_key("q", 0)].attempts == 2


@pytest.mark.parametrize("answer", ["；；", " "])
def test_an_answer_of_which_nothing_could_be_read_is_quarantined(ask, ledger, answer):
    (outcome,), usage = ask(answer)
    assert outcome.value is None
    assert outcome.reason.startswith("unreadable")
    assert (usage.quarantined, len(_held(ledger))) == (1, 1)


def test_a_later_run_gives_the_same_from_the_ledger(ask):
    before, _ = ask(TWO, ONE, "去公园；看书；吃早餐；散步")
    after, usage = ask(THREE)
    assert after == before
    assert (usage.paid, usage.from_ledger) == (0, 2)


def test_a_fallback_of_one_request_is_no_matter_of_another(ask, ledger):
    answers = {"good": THREE, "short": TWO, "shorter": ONE, "bad": "抱歉，我无法提供。"}
    outcomes, usage = ask(by_text=answers)
    found = {one.row_id: one.value for one in outcomes}
    assert len(found.pop("row good").numbered) == 3
    assert found == {
        "row short": numbered.Prompts(loose=("去公园", "看书")),
        "row shorter": numbered.Prompts(loose=("去公园",)),
        "row bad": None,
    }
    assert (usage.paid, usage.quarantined) == (7, 1)
    assert [len(_held(ledger, text)) for text in answers] == [0, 0, 0, 1]


def test_a_redriven_request_whose_fallback_is_used_leaves_the_quarantine(ask, ledger):
    ask("抱歉，我无法提供。")
    assert ledger.redrive("asset") == 1
    (outcome,), _ = ask(TWO)
    assert outcome.value.loose == ("去公园", "看书")
    assert _held(ledger) == {}
