"""Schedules as EventBridge Scheduler writes them.

Its cron expressions have six fields (minutes, hours, day of month, month, day of week, year). They count the days of
the week from 1, Sunday, and one of the two day fields must be `?`. Source: EventBridge Scheduler User Guide, "Schedule
types on EventBridge Scheduler", cron-based schedules.
"""

from collections.abc import Sequence
from datetime import timedelta

from croniter import croniter

from ...gaps import refusal

MOST_FLEXIBLE = timedelta(minutes=1440)
"""The longest flexible window. Source: FlexibleTimeWindow, EventBridge Scheduler API Reference."""


class DayAndWeekday(ValueError):
    """A schedule that EventBridge can't express because it restricts both kinds of day."""


def schedule_expression(cron: str) -> str:
    """Translate the five fields of crontab(5) to `cron(…)`.

    The fields are written out as numbers, because steps and ranges mean different things in the two forms.

    Raises:
        ValueError: EventBridge has no such schedule; the text says why and what to write.
    """
    expanded, weekday_of_month = croniter.expand(cron)
    fields: list[list[int] | None] = []
    for field in expanded[:5]:
        if field == ["*"]:
            fields.append(None)
        elif all(isinstance(value, int) for value in field):
            fields.append([int(value) for value in field])
        else:
            raise ValueError(f"{cron!r} uses L, which is not written for EventBridge: write the days as numbers")
    if weekday_of_month:
        raise ValueError(f"{cron!r} uses #, which is not written for EventBridge: write days of the week alone")
    minute, hour, day, month, weekday = fields
    if day is not None and weekday is not None:
        raise DayAndWeekday(f"{cron!r} restricts both the day of the month and the day of the week")
    days = "?" if weekday is not None else _written(day)
    weekdays = "?" if weekday is None else _written([value % 7 + 1 for value in weekday])
    return f"cron({_written(minute)} {_written(hour)} {days} {_written(month)} {weekdays} *)"


def _written(values: Sequence[int] | None) -> str:
    if values is None:
        return "*"
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(str(value) for value in run) for run in runs]
    return ",".join(parts)


def check_schedule(cron: str, platform: str, where: str) -> list[str]:
    """Say why EventBridge has no such schedule, if it has none."""
    try:
        schedule_expression(cron)
    except DayAndWeekday:
        return [refusal(platform, "day_and_weekday", f"{where}: {cron!r}")]
    except ValueError as error:
        return [f"{where}: {error}"]
    return []


def check_flexible_window(window: timedelta, platform: str, where: str) -> list[str]:
    """Say what EventBridge Scheduler can't do with a flexible window."""
    if window > MOST_FLEXIBLE:
        return [refusal(platform, "flexible_window_over_a_day", where)]
    if window % timedelta(minutes=1):
        return [f"{where}: EventBridge Scheduler counts in whole minutes"]
    return []


def flexible_time_window(window: timedelta) -> dict[str, str | int]:
    """Return the schedule's flexible window."""
    if not window:
        return {"mode": "OFF"}
    return {"mode": "FLEXIBLE", "maximum_window_in_minutes": window // timedelta(minutes=1)}


def alarm_pattern(alarm_name: str) -> dict[str, object]:
    """Return the event pattern of an alarm that begins to fire.

    Source: CloudWatch User Guide, "Alarm events and EventBridge".
    """
    return {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [alarm_name], "state": {"value": ["ALARM"]}},
    }
