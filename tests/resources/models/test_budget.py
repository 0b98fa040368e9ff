"""Caps on calls, tokens and money."""

import pytest

from resources.models.budget import Budget, Cap, Price
from resources.models.ledger import Call, Ledger, Spent

NOTHING = Spent(0, 0, 0.0)


def test_without_caps_nothing_is_crossed():
    budget = Budget("a", Cap(), Cap(), NOTHING)
    for _ in range(1000):
        budget.spent(10**6, 10.0)
    assert budget.calls_left is None
    assert budget.crossed() is None


def test_the_tighter_cap_counts():
    budget = Budget("a", Cap(calls=10), Cap(calls=12), Spent(5, 0, 0.0))
    assert budget.calls_left == 7


@pytest.mark.parametrize(
    ("stage", "run", "says"),
    [
        (Cap(calls=3), Cap(), "stage a: 3 of 3 calls"),
        (Cap(tokens=25), Cap(), "stage a: 30 of 25 tokens"),
        (Cap(cost=0.25), Cap(), "stage a: 0.3"),
        (Cap(), Cap(calls=4), "run: 5 of 4 calls"),
    ],
)
def test_a_crossed_cap_is_named(stage, run, says):
    budget = Budget("a", stage, run, Spent(2, 0, 0.0))
    for _ in range(3):
        budget.spent(10, 0.1)
    assert says in (budget.crossed() or "")


def test_prices_are_per_million_tokens():
    assert Price(prompt=2.0, completion=10.0).cost(500_000, 100_000) == pytest.approx(2.0)


def _call(key, asset, run_id):
    given = {"asset": asset, "run_id": run_id, "role": "juror", "model": "m", "revision": "main"}
    told = {"repeat_index": 0, "answer": "yes", "finish_reason": "stop", "endpoint": "e"}
    used = {"latency_ms": 1.0, "prompt_tokens": 6, "completion_tokens": 4, "cost": 0.5}
    return Call(key=key, **given, **told, **used)


def test_a_step_that_is_made_again_has_spent_what_it_did_in_this_run(tmp_path):
    ledger = Ledger(url=f"sqlite:///{tmp_path / 'ledger.db'}")
    rows = (("k1", "a", "run"), ("k2", "a", "run"), ("k3", "b", "run"), ("k4", "a", "earlier"))
    ledger.add(_call(*row) for row in rows)
    again = Budget.of("a", "run", Cap(calls=3, tokens=99, cost=9.0), Cap(calls=5), ledger)
    assert (again.calls, again.tokens, again.cost) == (2, 20, 1.0)
    assert again.before == Spent(1, 10, 0.5)
    assert again.calls_left == 1
    again.spent(10, 0.5)
    assert again.crossed() == "stage a: 3 of 3 calls"
