"""How concurrency follows evidence, and when an endpoint is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.models import backpressure
from resources.models.backpressure import Breaker, Limiter


def test_it_starts_at_the_configured_limit():
    assert Limiter(64).limit == 64


def _round(limiter, overloads=0, latency=None):
    """As many answers as the limit, the window being full."""
    count = int(limiter.limit)
    limiter.in_flight = count
    for i in range(count):
        if i < overloads:
            limiter.overloaded()
        else:
            limiter.succeeded(latency)


def test_auto_starts_low_and_doubles_per_round_until_the_limit():
    limiter = Limiter(64, auto=True)
    limits = []
    for _ in range(5):
        limits.append(limiter.limit)
        _round(limiter)
    assert limits == [4, 8, 16, 32, 64]


def test_auto_stops_doubling_at_the_first_overload():
    limiter = Limiter(64, auto=True)
    _round(limiter)
    _round(limiter, overloads=8)
    assert limiter.limit == 4
    _round(limiter)
    assert limiter.limit == 5


@pytest.mark.parametrize(("overloads", "limit"), [(64, 32), (32, 48), (4, 63)])
def test_a_round_is_cut_in_proportion_to_its_overloads(overloads, limit):
    limiter = Limiter(64)
    _round(limiter, overloads)
    assert limiter.limit == limit
    assert limiter.cuts == 1


def test_it_climbs_by_one_per_full_round_after_a_cut():
    limiter = Limiter(64)
    _round(limiter, overloads=64)
    for expected in (33, 34, 35):
        _round(limiter)
        assert limiter.limit == expected


def test_it_does_not_climb_while_the_window_is_not_full():
    limiter = Limiter(64)
    _round(limiter, overloads=64)
    limiter.in_flight = 3
    for _ in range(200):
        limiter.succeeded(None)
    assert limiter.limit == 32


def test_latency_that_grows_with_a_full_window_is_evidence():
    limiter = Limiter(32)
    _round(limiter, latency=0.1)
    _round(limiter, latency=1.0)
    assert limiter.limit <= 17


def test_latency_is_no_evidence_while_the_window_is_not_full():
    limiter = Limiter(32, in_flight=3)
    for latency in (0.1, 1.0):
        for _ in range(32):
            limiter.succeeded(latency)
    assert limiter.limit == 32


def test_requests_waiting_in_the_engine_are_taken_off():
    limiter = Limiter(64, in_flight=64)
    limiter.queued(waiting=40)
    assert limiter.limit == 24


@given(
    most=st.integers(1, 256),
    auto=st.booleans(),
    events=st.lists(st.tuples(st.sampled_from("soq"), st.floats(0, 5)), max_size=200),
)
def test_the_limit_stays_between_one_and_the_configured_one(most, auto, events):
    limiter = Limiter(most, auto)
    for kind, size in events:
        limiter.in_flight = int(limiter.limit)
        match kind:
            case "s":
                limiter.succeeded(size)
            case "o":
                limiter.overloaded()
            case "q":
                limiter.queued(int(size * 100))
        assert 1 <= limiter.limit <= most


@pytest.mark.parametrize(
    ("tries", "longest"), [(0, 0.25), (1, 0.5), (2, 1.0), (4, 4.0), (5, 8.0), (6, 8.0), (5000, 8.0)]
)
def test_a_request_waits_twice_as_long_after_each_failure_and_never_over_eight_seconds(
    tries, longest
):
    pauses = [backpressure.backoff_s(tries) for _ in range(200)]
    assert longest / 2 <= min(pauses) < 0.75 * longest < max(pauses) <= longest


def _fails(breaker, at, sent_at=None):
    breaker.failed(at, "HTTP 500", at if sent_at is None else sent_at)


def _down(at=19.0):
    breaker = Breaker()
    for number in range(20):
        _fails(breaker, at - 19 + number)
    return breaker


def test_a_breaker_opens_after_a_row_of_failures_and_lets_single_requests_through():
    breaker = _down()
    assert breaker.is_out(20.0, 0.0)
    assert not breaker.allows(19.1)
    assert breaker.allows(19.6)
    breaker.sent(19.6)
    assert not breaker.allows(19.7)
    breaker.succeeded()
    assert breaker.allows(19.7)
    assert not breaker.is_out(30.0, 0.0)


def test_what_was_in_flight_when_an_outage_began_does_not_make_the_pause_longer():
    breaker = _down()
    for _ in range(64):
        _fails(breaker, 19.2, sent_at=18.9)
    assert breaker.retry_at == 19.5
    breaker.sent(19.5)
    _fails(breaker, 19.6, sent_at=18.9)
    assert not breaker.allows(19.7)
    _fails(breaker, 19.8, sent_at=19.5)
    assert breaker.retry_at == pytest.approx(20.3)


def test_each_trial_that_fails_doubles_the_pause_up_to_half_a_minute():
    breaker, pauses = _down(), []
    for _ in range(9):
        at = breaker.retry_at
        breaker.sent(at)
        _fails(breaker, at)
        pauses.append(breaker.retry_at - at)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_pause_of_its_own_is_no_reason_to_give_up():
    breaker = _down()
    for _ in range(8):
        breaker.sent(breaker.retry_at)
        _fails(breaker, breaker.retry_at)
    breaker.down_since = now = breaker.retry_at - 25.0
    assert not breaker.is_out(now + 1, 10.0)
    assert breaker.is_out(now + 11, 10.0)


def test_failures_between_successes_do_not_open_it():
    breaker = Breaker()
    for second in range(100):
        _fails(breaker, float(second))
        if second % 10 == 9:
            breaker.succeeded()
    assert breaker.down_since is None


@pytest.mark.parametrize(("at", "allowed"), [(0.0, False), (4.9, False), (5.1, True)])
def test_retry_after_is_honoured(at, allowed):
    breaker = Breaker()
    breaker.paused(until=5.0)
    assert breaker.allows(at) is allowed


def test_the_best_latency_ages_so_that_a_slower_engine_is_not_cut_for_ever():
    limiter = Limiter(64)
    for _ in range(4):
        _round(limiter, latency=0.1)
    cuts = []
    for _ in range(40):
        before = limiter.cuts
        for _ in range(64):
            limiter.in_flight = int(limiter.limit)
            limiter.succeeded(0.4)
        cuts.append(limiter.cuts - before)
    assert sum(cuts[:3]) > 0
    # 1.05 ** 6 > 4 / 3: from then on 0.4 s is the engine's own pace.
    assert sum(cuts[10:]) == 0
