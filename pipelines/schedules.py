"""Schedules: what is made anew by the calendar, in Beijing time; off until switched on."""

import dagster as dg

from pipelines.jobs import corpus_refresh, refresh

_ZONE = "Asia/Shanghai"

monthly_crawl = dg.ScheduleDefinition(
    name="monthly_crawl",
    job=corpus_refresh,
    cron_schedule="0 3 15 * *",
    execution_timezone=_ZONE,
    description="New posts on the 15th of each month, 03:00 Beijing time.",
)
quarterly_release = dg.ScheduleDefinition(
    name="quarterly_release",
    job=refresh,
    cron_schedule="0 3 1 1,4,7,10 *",
    execution_timezone=_ZONE,
    description="A release on the first day of each quarter, 03:00 Beijing time.",
)
SCHEDULES = (monthly_crawl, quarterly_release)
