"""Times as sites write them, brought to one form."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.crawlers.source import moment

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@given(st.datetimes(timezones=st.timezones()))
def test_every_time_becomes_utc_in_whole_seconds(written):
    told = moment(written.isoformat())
    try:
        wanted = written.astimezone(dt.UTC).replace(microsecond=0)
    except OverflowError:
        assert told is None
        return
    assert ISO.fullmatch(told)
    assert dt.datetime.fromisoformat(told) == wanted


@given(st.text(max_size=30) | st.integers() | st.none() | st.floats() | st.booleans())
def test_whatever_is_no_time_is_none(written):
    told = moment(written)
    assert told is None or ISO.fullmatch(told)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("2026-11-21T09:00:00.123+08:00", "2026-11-21T01:00:00Z"),
        ("2026-11-21T09:00:00.000Z", "2026-11-21T09:00:00Z"),
        ("2026-11-21T09:00:00", "2026-11-21T09:00:00Z"),
        ("2026-11-21", "2026-11-21T00:00:00Z"),
        ("0001-01-01T00:00:00+08:00", None),
        ("9999-12-31T23:59:59-08:00", None),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00Z"),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1700000000, None),
    ],
)
def test_times_are_told_in_one_form(written, told):
    assert moment(written) == told
