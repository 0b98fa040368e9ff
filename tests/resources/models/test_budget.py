"""Caps on calls, tokens and money, shared by all who spend in a run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chillguard.calls import call
from resources.models.budget import Budget, Cap, Price, estimate

# Ten bytes and the marks of a template are 26 tokens at most, and 4 may be answered.
REQUEST = call.ChatRequest(
    "row", ({"role": "user", "content": "0123456789"},), call.Sampling(max_tokens=4)
)


@pytest.fixture
def budget(tmp_path):
    """A function that makes a budget of asset `a` in run `run`, in one database."""

    def make(stage=None, run=None, asset="a", run_id="run"):
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
        return Budget(asset, run_id, stage or Cap(), run or Cap(), url)

    return make


def _reserve(budget, *keys, price=None):
    return budget.reserve([(key, REQUEST) for key in keys], price)


def test_without_caps_everything_has_room_and_nothing_is_written(budget, tmp_path):
    one = budget()
    assert _reserve(one, *map(str, range(1000))) == 1000
    assert not (tmp_path / "ledger.db").exists()


def test_what_is_reserved_counts_until_it_is_settled(budget):
    one = budget(stage=Cap(tokens=100))
    assert _reserve(one, "k1", "k2", "k3", "k4") == 3
    one.settle("k1", 8, 2, 0.0)
    assert _reserve(one, "k4") == 1
    assert _reserve(one, "k5") == 0
    assert one.crossed == "stage a: 10 of 100 tokens, and 120 may be needed next"


@pytest.mark.parametrize(
    ("stage", "run", "says"),
    [
        (Cap(calls=3), Cap(), "stage a: 3 of 3 calls"),
        (Cap(tokens=30), Cap(), "stage a: 30 of 30 tokens"),
        (Cap(), Cap(calls=3), "run: 3 of 3 calls"),
    ],
)
def test_a_crossed_cap_is_named(budget, stage, run, says):
    one = budget(stage, run)
    for number in range(3):
        _reserve(one, str(number))
        one.settle(str(number), 6, 4, 0.1)
    assert _reserve(one, "more") == 0
    assert one.crossed == says


def test_steps_of_a_run_share_its_cap_and_other_runs_do_not(budget):
    cap = Cap(calls=10)
    one, other, elsewhere = (
        budget(run=cap),
        budget(run=cap, asset="b"),
        budget(run=cap, run_id="other"),
    )
    assert _reserve(one, *"12345678") == 8
    assert _reserve(other, *"12345678") == 2
    assert _reserve(elsewhere, *"12345678") == 8
    one.settle("1", 1, 1, 0.0)
    one.close()
    assert _reserve(other, *"abcdefghij") == 7


def test_a_step_that_is_made_again_has_spent_what_it_did_in_this_run(budget):
    first = budget(stage=Cap(calls=3))
    _reserve(first, "k1", "k2")
    first.settle("k1", 6, 4, 0.0)
    first.settle("k2", 6, 4, 0.0)
    first.close()
    again = budget(stage=Cap(calls=3))
    assert _reserve(again, "k3", "k4") == 1


def test_money_is_reserved_at_the_price_of_the_model(budget):
    price = Price(prompt=1e6, completion=1e6)
    assert _reserve(budget(stage=Cap(cost=65.0)), "1", "2", "3", price=price) == 2


def test_prices_are_per_million_tokens():
    assert Price(prompt=2.0, completion=10.0).cost(500_000, 100_000) == pytest.approx(2.0)


@given(st.text(max_size=50))
@settings(max_examples=50)
def test_an_estimate_is_at_least_a_third_of_the_bytes(text):
    assert estimate(text) * 3 >= len(text.encode("utf-8", "replace"))
