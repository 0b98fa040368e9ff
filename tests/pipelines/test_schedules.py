import datetime as dt
import itertools

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from pipelines import schedules
from pipelines.jobs import corpus_refresh, refresh


def _ticks(schedule, count):
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()
    ticks = schedule_execution_time_iterator(
        start, schedule.cron_schedule, schedule.execution_timezone
    )
    return [tick.astimezone(dt.UTC) for tick in itertools.islice(ticks, count)]


def test_a_release_starts_at_three_in_beijing_on_the_first_day_of_each_quarter():
    # 03:00 in Beijing is 19:00 of the day before in UTC.
    assert _ticks(schedules.quarterly_release, 4) == [
        dt.datetime(2026, month, day, 19, tzinfo=dt.UTC)
        for month, day in ((3, 31), (6, 30), (9, 30), (12, 31))
    ]


def test_a_crawl_starts_at_three_in_beijing_on_the_15th_of_each_month():
    assert _ticks(schedules.monthly_crawl, 12) == [
        dt.datetime(2026, month, 14, 19, tzinfo=dt.UTC) for month in range(1, 13)
    ]


def test_a_release_is_the_whole_lineage_and_a_crawl_the_corpus():
    assert schedules.quarterly_release.job_name == refresh.name
    assert schedules.monthly_crawl.job_name == corpus_refresh.name
    assert {schedules.monthly_crawl, schedules.quarterly_release} == {*schedules.SCHEDULES}


@pytest.mark.parametrize("schedule", schedules.SCHEDULES)
def test_a_schedule_starts_only_when_somebody_turns_it_on(schedule):
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.description
