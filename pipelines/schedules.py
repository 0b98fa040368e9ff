"""Schedules."""

import dagster as dg

from pipelines.jobs import refresh

quarterly_release = dg.ScheduleDefinition(
    name="quarterly_release",
    job=refresh,
    cron_schedule="0 3 1 1,4,7,10 *",
    execution_timezone="Asia/Shanghai",
    description="A release on the first day of each quarter, 03:00 Beijing time.",
)
SCHEDULES = (quarterly_release,)
