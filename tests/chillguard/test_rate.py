from chillguard.rate import Rate


def test_the_rest_takes_as_long_as_what_is_done_in_proportion():
    assert Rate(30, 10.0).per_s == 3.0
    assert Rate(30, 10.0).eta_s(60) == 20.0


def test_nothing_done_has_no_eta_and_no_time_no_rate():
    assert Rate(0, 5.0).eta_s(10) is None
    assert Rate(5, 0.0).per_s == 0.0
