import datetime as dt
import itertools

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from pipelines import schedules
from pipelines.jobs import refresh


def test_a_release_starts_at_three_in_beijing_on_the_first_day_of_each_quarter():
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()
    schedule = schedules.quarterly_release
    ticks = schedule_execution_time_iterator(
        start, schedule.cron_schedule, schedule.execution_timezone
    )
    found = [tick.astimezone(dt.UTC) for tick in itertools.islice(ticks, 4)]
    # 03:00 in Beijing is 19:00 of the day before in UTC.
    assert found == [
        dt.datetime(2026, month, day, 19, tzinfo=dt.UTC)
        for month, day in ((3, 31), (6, 30), (9, 30), (12, 31))
    ]


def test_it_runs_the_whole_lineage():
    assert schedules.quarterly_release.job_name == refresh.name
    assert (schedules.quarterly_release,) == schedules.SCHEDULES


@pytest.mark.parametrize("schedule", schedules.SCHEDULES)
def test_a_schedule_starts_only_when_somebody_turns_it_on(schedule):
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.description
