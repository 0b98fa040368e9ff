import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chillguard.rows.values import written


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        ("", None),
        (float("nan"), None),
        (True, "true"),
        ("True", "true"),
        ("FALSE", "false"),
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        (Decimal("1.00"), "1"),
        (-3.0, "-3"),
        (0.5, "0.5"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        ("1.10", "1.10"),
        ("v1.0", "v1.0"),
        ("yes", "yes"),
        (dt.date(2026, 11, 26), "2026-11-26"),
    ],
)
def test_a_value_has_one_written_form(value, form):
    assert written(value) == form


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_is_the_same_as_number_fraction_and_text(number):
    forms = {written(number), written(float(number)), written(str(number)), written(f"{number}.0")}
    assert forms == {str(number)}


@given(st.one_of(st.text(), st.booleans(), st.integers(), st.floats(), st.decimals()))
def test_a_written_form_is_its_own_form(value):
    form = written(value)
    assert form is None or written(form) == form


@pytest.mark.parametrize("value", [[], ["a"], {}, {"a": 1}, b"a"])
def test_what_is_not_one_value_is_refused(value):
    with pytest.raises(TypeError, match="is not one value"):
        written(value)
