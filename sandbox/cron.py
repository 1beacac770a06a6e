"""The moments that a cron expression stands for in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError


def next_after(expression: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first moment after another one, in UTC; None when there is none.

    In spring a moment that does not exist is skipped, in autumn one that exists twice counts once.
    """
    iterator = croniter(expression, after.astimezone(zone).replace(tzinfo=None))
    while True:
        try:
            found: datetime = iterator.get_next(datetime)
        except CroniterError:
            return None
        moment = found.replace(tzinfo=zone).astimezone(UTC)
        if moment > after and moment.astimezone(zone).replace(tzinfo=None) == found:
            return moment
