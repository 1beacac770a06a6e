"""Schedule expressions: cron(…), rate(…) and at(…), and the moments that they stand for.

Source: EventBridge Scheduler user guide, "Schedule types". In spring a moment that does not exist is skipped, in autumn
one that exists twice counts once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError

from sandbox.cron import next_after

_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELD = re.compile(r"[0-9A-Z*,/?#-]+")


@dataclass(frozen=True)
class Expression:
    """A schedule expression. `next_after` gives the first moment after another one; None when there is none."""

    text: str
    next_after: Callable[[datetime], datetime | None]
    is_rate: bool = False


def parse(text: str, zone: ZoneInfo, anchor: datetime) -> Expression:
    """Read an expression; a rate counts from `anchor`. Raises ValueError with the reason."""
    match = re.fullmatch(r"(cron|rate|at)\((.*)\)", text)
    if match is None:
        raise ValueError("it must be cron(…), rate(…) or at(…)")
    kind, inner = match.groups()
    if kind == "cron":
        return Expression(text, _cron(inner, zone))
    if kind == "rate":
        return Expression(text, _rate(inner, anchor), is_rate=True)
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner):
        raise ValueError("at(…) needs yyyy-mm-ddThh:mm:ss")
    moment = datetime.fromisoformat(inner).replace(tzinfo=zone).astimezone(UTC)
    return Expression(text, lambda after: moment if moment > after else None)


def _rate(text: str, anchor: datetime) -> Callable[[datetime], datetime | None]:
    match = re.fullmatch(r"([1-9]\d*) (minute|hour|day)s?", text)
    if match is None:
        raise ValueError("rate(…) needs a positive whole number and minutes, hours or days")
    step = timedelta(**{match.group(2) + "s": int(match.group(1))})

    def following(after: datetime) -> datetime:
        if after < anchor:
            return anchor
        return anchor + ((after - anchor) // step + 1) * step

    return following


def _cron(text: str, zone: ZoneInfo) -> Callable[[datetime], datetime | None]:
    fields = text.split()
    if len(fields) != 6:
        raise ValueError(
            f"cron(…) needs 6 fields (minutes, hours, day of month, month, day of week, year), not {len(fields)}"
        )
    unreadable = [one for one in fields if not _FIELD.fullmatch(one)]
    if unreadable:
        raise ValueError(f"the field {unreadable[0]} cannot be read")
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise ValueError("exactly one of the day of month and the day of week must be ?")
    if any("?" in one for one in (minute, hour, month, year)):
        raise ValueError("only the day of month and the day of week can be ?")
    parts = [minute, hour, day.replace("?", "*"), month, _weekdays(weekday), "0", year]
    expanded = " ".join(parts)
    try:
        croniter(expanded, datetime(2000, 1, 1))
    except (CroniterError, ValueError, KeyError) as error:
        raise ValueError(f"its fields cannot be read: {error}") from error

    return lambda after: next_after(expanded, zone, after)


def _weekdays(field: str) -> str:
    """The day-of-week field in crontab's numbers: AWS counts from 1, Sunday; crontab from 0."""
    if field in {"?", "*"}:
        return "*"
    return ",".join(_weekday(part) for part in field.split(","))


def _weekday(part: str) -> str:
    if match := re.fullmatch(r"([1-7]|[A-Z]{3})#([1-5])", part):
        return f"{_number(match.group(1))}#{match.group(2)}"
    if match := re.fullmatch(r"([1-7]|[A-Z]{3})?L", part):
        return f"L{_number(match.group(1))}" if match.group(1) else "6"
    match = re.fullmatch(r"(\*|[1-7]|[A-Z]{3})(?:-([1-7]|[A-Z]{3}))?(?:/([1-7]))?", part)
    if match is None:
        raise ValueError(f"the day of week {part} cannot be read")
    start, end, step = match.groups()
    first = 0 if start == "*" else _number(start)
    last = _number(end) if end else (6 if start == "*" or step else first)
    if last < first:
        last += 7  # such as FRI-MON
    return ",".join(str(number % 7) for number in range(first, last + 1, int(step or 1)))


def _number(name: str) -> int:
    if name in _WEEKDAYS:
        return _WEEKDAYS.index(name)
    if name.isdigit():
        return int(name) - 1
    raise ValueError(f"the day of week {name} is not known")
