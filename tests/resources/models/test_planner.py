from dataclasses import replace

import pytest

from chillguard.calls import call
from chillguard.lineage.bounds import Foreseen
from resources.models.budget import Price
from resources.models.ledger import Call, Quarantined
from resources.models.llm import LanguageModels
from resources.models.planner import Planner
from resources.models.roles import ModelRole
from resources.models.stream import SALVAGE


@pytest.fixture
def planner(ledger):
    roles = [ModelRole(role="juror_1", model="m", concurrency=4)]
    models = LanguageModels(
        roles=roles, ledger=ledger, prices={"m": Price(prompt=1000.0, completion=2000.0)}
    )
    return Planner(models)


def _answered(ledger, request, answer="yes", latency_ms=2000.0, repeat=0):
    key = call.call_key("m", "main", request, repeat)
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


def _salvaged(ledger, request, answer):
    varied = replace(request, sampling=request.sampling.varied())
    _answered(ledger, varied, answer, repeat=SALVAGE)


def _text(answer):
    if answer.text.startswith("hm"):
        raise call.Unreadable("hm is no word", answer.text[3:] or None)
    return answer.text


def _stage(planner, least, most=None):
    foreseen = Foreseen("jury_votes/juror_1", "juror_1", least, least if most is None else most)
    [stage] = planner.stages([foreseen])
    return stage


def _ask(planner, wanted):
    ask = planner.ask_for("jury_votes/juror_1")
    return [(one.value, one.reason) for one in ask("juror_1", iter(wanted), _text)]


def test_what_is_not_in_the_ledger_is_new_and_nothing_is_asked(planner, ledger, requests):
    assert _ask(planner, requests("ab", "cdef")) == [(None, call.UNASKED)] * 2
    stage = _stage(planner, 2)
    # Each answer may have to be asked again.
    assert (stage.calls, stage.known) == ((2, 4), 0)
    # Without a history, every character is a token, and every answer is as long as it may be.
    assert (stage.prompt_tokens, stage.completion_tokens) == ((6, 12), (2 * 512, 4 * 512))
    assert stage.hours is None
    assert ledger.count() == 0


def test_what_is_in_the_ledger_is_known_and_read(planner, ledger, requests):
    first, second = requests("a", "b")
    _answered(ledger, first, "yes")
    _answered(ledger, second, "no")
    assert _ask(planner, [first, second]) == [("yes", None), ("no", None)]
    assert _stage(planner, 0).known == 2
    assert _stage(planner, 0).calls == (0, 0)


def test_an_unreadable_answer_is_followed_to_the_attempt_after_it(planner, ledger, requests):
    [request] = requests("a")
    _answered(ledger, request, "hm")
    assert _ask(planner, [request]) == [(None, call.UNASKED)]
    _salvaged(ledger, request, "yes")
    assert _ask(planner, [request]) == [("yes", None)]


def test_two_unreadable_answers_end_as_in_a_run(planner, ledger, requests):
    [request] = requests("a")
    _answered(ledger, request, "hm")
    _salvaged(ledger, request, "hm")
    assert _ask(planner, [request]) == [(None, "unreadable: hm is no word")]


def test_what_could_be_read_of_an_unreadable_answer_counts(planner, ledger, requests):
    [request] = requests("a")
    _answered(ledger, request, "hm half")
    _salvaged(ledger, request, "hm")
    assert _ask(planner, [request]) == [("half", None)]
    assert _stage(planner, 0).known == 2


def test_tokens_money_and_hours_come_from_the_history_of_the_role(planner, ledger, requests):
    _answered(ledger, requests("a")[0])
    _ask(planner, requests("b", "c"))
    stage = _stage(planner, 2, 5)
    assert (stage.prompt_tokens, stage.completion_tokens) == ((200, 1000), (20, 100))
    assert stage.cost == pytest.approx([(200 * 1000 + 20 * 2000) / 1e6 * n for n in (1, 5)])
    assert stage.hours == pytest.approx([n * 2.0 / 4 / 3600 for n in (2, 10)])


def test_a_held_request_is_neither_new_nor_known(planner, ledger, requests):
    [request] = requests("a")
    key = call.call_key("m", "main", request, 0)
    ledger.quarantine([Quarantined(key, "x", "juror_1", "m", "row", "rejected", 1, None)])
    assert _ask(planner, [request]) == [(None, "rejected")]
    assert _stage(planner, 0).known == 0


def test_a_redriven_request_has_all_its_attempts_again(planner, ledger, requests):
    [request] = requests("a")
    key = call.call_key("m", "main", request, 0)
    ledger.quarantine([Quarantined(key, "x", "juror_1", "m", "row", "unreadable", 2, None)])
    ledger.redrive()
    _answered(ledger, request, "hm")
    _salvaged(ledger, request, "hm")
    assert _ask(planner, [request]) == [(None, call.UNASKED)]
    assert _stage(planner, 1).calls == (1, 4)
