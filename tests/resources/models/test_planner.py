import pytest

from chillguard.calls import call
from resources.models.budget import Price
from resources.models.ledger import Call, Quarantined
from resources.models.llm import LanguageModels
from resources.models.planner import Planner
from resources.models.roles import ModelRole


@pytest.fixture
def planner(ledger):
    roles = [ModelRole(role="juror_1", model="m", concurrency=4)]
    models = LanguageModels(
        roles=roles, ledger=ledger, prices={"m": Price(prompt=1000.0, completion=2000.0)}
    )
    return Planner(models)


def _answered(ledger, request, answer="yes", latency_ms=2000.0):
    key = call.call_key("m", "main", request, 0)
    ledger.add(
        [
            Call(
                *(key, "jury_votes/juror_1", "juror_1", "run", "m", "main", 0, answer, "stop"),
                endpoint="e",
                latency_ms=latency_ms,
                prompt_tokens=100,
                completion_tokens=10,
            )
        ]
    )


def _text(answer):
    if answer.text.startswith("hm"):
        raise call.Unreadable("hm is no word", answer.text[3:] or None)
    return answer.text


def _ask(planner, wanted):
    ask = planner.ask_for("jury_votes/juror_1")
    return [(one.value, one.reason) for one in ask("juror_1", iter(wanted), _text)]


def test_what_is_not_in_the_ledger_is_new_and_nothing_is_asked(planner, ledger, requests):
    assert _ask(planner, requests("ab", "cdef")) == [(None, call.UNASKED)] * 2
    [stage] = planner.stages(0)
    assert (stage.new, stage.known, stage.follow_up) == (2, 0, 0)
    # Without a history, every character is a token, and every answer is as long as it may be.
    assert (stage.prompt_tokens, stage.completion_tokens) == (6, 2 * 512)
    assert stage.hours is None
    assert ledger.count() == 0


def test_what_is_in_the_ledger_is_known_and_read(planner, ledger, requests):
    for request, answer in zip(requests("a", "b"), ("yes", "hm"), strict=True):
        _answered(ledger, request, answer)
    assert _ask(planner, requests("a", "b", "c")) == [
        ("yes", None),
        (None, "hm is no word"),
        (None, call.UNASKED),
    ]
    [stage] = planner.stages(0)
    assert (stage.new, stage.known) == (1, 2)


def test_what_could_be_read_of_an_unreadable_answer_counts(planner, ledger, requests):
    [request] = requests("a")
    _answered(ledger, request, "hm half")
    assert _ask(planner, [request]) == [("half", None)]
    assert planner.stages(0)[0].known == 1


def test_tokens_money_and_hours_come_from_the_history_of_the_role(planner, ledger, requests):
    _answered(ledger, requests("a")[0])
    _ask(planner, requests("b", "c"))
    [stage] = planner.stages(0)
    assert (stage.prompt_tokens, stage.completion_tokens) == (200, 20)
    assert stage.cost == pytest.approx((200 * 1000 + 20 * 2000) / 1e6)
    assert stage.hours == pytest.approx(2 * 2.0 / 4 / 3600)


def test_equal_requests_are_new_once(planner, requests):
    _ask(planner, requests("a", "a", "b"))
    assert planner.stages(0)[0].new == 2


def test_a_held_request_is_neither_new_nor_known(planner, ledger, requests):
    [request] = requests("a")
    key = call.call_key("m", "main", request, 0)
    ledger.quarantine([Quarantined(key, "x", "juror_1", "m", "row", "rejected", 1, None)])
    assert _ask(planner, [request]) == [(None, "rejected")]
    [stage] = planner.stages(0)
    assert (stage.new, stage.known) == (0, 0)


def test_jurors_get_a_vote_for_each_prompt_that_is_to_come(planner, requests):
    _ask(planner, requests("a"))
    [stage] = planner.stages(7)
    assert (stage.new, stage.follow_up) == (1, 7)
