import pytest

from resources.models import progress
from resources.models.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


@pytest.fixture
def told(clock):
    """A progress of `some/asset`, and what it told."""
    lines = []
    return Progress("some/asset", lines.append), lines


def test_the_end_tells_counts_rate_tokens_and_money(told, clock):
    it, lines = told
    it.begin("juror_1", 4)
    for _ in range(4):
        it.usage.paid_for(1000, 500, 0.25)
        it.outcome(None, "m")
    clock(2)
    it.end()
    assert lines == ["some/asset: juror_1: 4 of 4 done, 4 calls paid, 2/s, 6,000 tokens, cost 1.00"]
    assert it.usage.seconds == 2


def test_it_tells_at_most_every_five_seconds_and_how_long_it_will_take(told, clock):
    it, lines = told
    it.begin("juror_1", 100)
    for _ in range(20):
        clock(1)
        it.outcome(None, "m")
        it.tick({})
    assert len(lines) == 3
    assert "6 of 100 done, 0 calls paid, 1/s, ETA 94 s" in lines[0]


def test_errors_are_counted_over_all_roles_of_the_asset(told):
    it, lines = told
    for role in ("juror_1", "juror_2"):
        it.begin(role, None)
        it.tick({"HTTP 500": 2})
        it.tick({"HTTP 500": 3, "connection lost": 1})
        it.outcome(None, "m")
        it.end()
    assert it.usage.errors == {"HTTP 500": 6, "connection lost": 2}
    assert lines[-1].endswith("errors: HTTP 500 6, connection lost 2")


def test_outcomes_without_a_value_are_counted_by_reason_and_refusals_by_model(told):
    it, _ = told
    it.begin("juror_1", None)
    for reason, model in (("refusal", "m"), ("refusal", "n"), ("taken down", "m"), (None, "m")):
        it.outcome(reason, model, reason == "refusal")
    assert it.usage.quarantined == 3
    assert it.usage.reasons == {"refusal": 2, "taken down": 1}
    assert +it.usage.refusals == {"m": 1, "n": 1}


def test_a_role_that_was_asked_nothing_tells_nothing(told):
    it, lines = told
    it.begin("juror_1", 0)
    it.end()
    assert lines == []


def test_each_role_counts_its_own_paid_calls(told, clock):
    it, lines = told
    for role, count in (("one", 3), ("two", 1)):
        it.begin(role, None)
        for _ in range(count):
            it.usage.paid_for(1, 1, 0.0)
            it.outcome(None, "m")
        clock(1)
        it.end()
    assert "two: 1 done, 1 calls paid" in lines[1]


def test_each_role_tells_its_own_tokens_and_money(told, clock):
    it, lines = told
    for role, tokens, cost in (("one", 1000, 0.25), ("two", 10, None), ("three", 7, 0.5)):
        it.begin(role, None)
        it.usage.paid_for(tokens, 0, cost)
        it.outcome(None, "m")
        clock(1)
        it.end()
    assert [line.partition("1/s, ")[2] for line in lines] == [
        "1,000 tokens, cost 0.25",
        "10 tokens, unpriced",
        "7 tokens, cost 0.50",
    ]
    assert (it.usage.tokens, it.usage.cost, it.usage.unpriced) == (1017, 0.75, 1)


def test_calls_without_a_price_beside_others_are_told(told, clock):
    it, lines = told
    it.begin("one", None)
    it.usage.paid_for(1, 1, None)
    it.usage.paid_for(1, 1, 0.5)
    it.outcome(None, "m")
    clock(1)
    it.end()
    assert lines[-1].endswith("4 tokens, cost 0.50, 1 calls unpriced")
