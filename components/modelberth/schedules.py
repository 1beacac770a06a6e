"""Cron schedules with a time zone: checked, and their next run computed.

A schedule is the five fields of crontab(5): minute, hour, day of month, month, day of week (0 or 7 is Sunday).
"""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter
from croniter.croniter import CroniterError

from .errors import did_you_mean


def check_schedule(expression: str) -> str:
    """Return `expression` if it is a five-field cron expression that ever fires.

    Raises:
        ValueError: it is not; the text says which form is allowed.
    """
    fields = expression.split()
    form = "five fields: minute hour day-of-month month day-of-week, such as '0 3 * * 1' (Mondays at 03:00)"
    if len(fields) != 5:
        raise ValueError(f"is no cron schedule: it has {len(fields)} fields; write {form}")
    try:
        croniter(expression).get_next()
    except (CroniterError, ValueError, KeyError) as error:
        raise ValueError(f"is no cron schedule ({error}); write {form}") from error
    return expression


def check_timezone(name: str) -> str:
    """Return `name` if it is a time zone of the IANA database.

    Raises:
        ValueError: it is not; the text names the nearest one.
    """
    known = available_timezones()
    if name not in known:
        raise ValueError(f"is no time zone: write an IANA name such as UTC or Europe/Prague{did_you_mean(name, known)}")
    return name


def next_run(expression: str, timezone: str, after: datetime | None = None) -> datetime:
    """Return when `expression` next fires in `timezone`, strictly after `after` (now unless given)."""
    start = (after or datetime.now(UTC)).astimezone(ZoneInfo(timezone))
    return croniter(expression, start).get_next(datetime)


def longest_gap(expression: str) -> timedelta:
    """Return the longest time between two runs of `expression`, among the next thousand of them, in UTC."""
    runs = croniter(expression, datetime.now(UTC))
    moments = [runs.get_next(datetime) for _ in range(1000)]
    return max(after - before for before, after in pairwise(moments))
