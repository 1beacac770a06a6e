"""Schedules as EventBridge writes them, against an interpretation of its own rules that shares nothing with ours.

Source: EventBridge Scheduler User Guide, "Schedule types on EventBridge Scheduler", cron-based schedules: minutes,
hours, day of month, month, day of week (1-7, 1 is Sunday) and year; `?` for one of the two day fields.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st
from modelberth.platforms.sagemaker import eventbridge

START = datetime(2027, 1, 31, 23, 58)


def admits(field: str, value: int) -> bool:
    for part in field.split(","):
        low, _, high = part.partition("-")
        if part in "*?" or int(low) <= value <= int(high or low):
            return True
    return False


def fires(expression: str, after: datetime) -> Iterator[datetime]:
    """The times at which EventBridge fires, by walking through the days and looking at each field."""
    minute, hour, day, month, weekday, year = expression.removeprefix("cron(").removesuffix(")").split()
    assert year == "*"
    assert [day, weekday].count("?") == 1
    times = [(at, past) for at in range(24) for past in range(60) if admits(hour, at) and admits(minute, past)]
    for days in range(366 * 9):
        date = after.date() + timedelta(days=days)
        # isoweekday() counts from 1, Monday, to 7, Sunday; EventBridge from 1, Sunday.
        if admits(month, date.month) and admits(day, date.day) and admits(weekday, date.isoweekday() % 7 + 1):
            for at, past in times:
                moment = datetime(date.year, date.month, date.day, at, past)
                if moment > after:
                    yield moment


def same(cron: str) -> None:
    expected = croniter(cron, START)
    found = list(islice(fires(eventbridge.schedule_expression(cron), START), 8))
    assert found == [expected.get_next(datetime) for _ in found]
    assert found


@pytest.mark.parametrize(
    ("cron", "expression"),
    [
        ("0 3 * * 1", "cron(0 3 ? * 2 *)"),
        ("0 3 * * 0", "cron(0 3 ? * 1 *)"),
        ("0 3 * * 7", "cron(0 3 ? * 1 *)"),
        ("0 3 * * mon-fri", "cron(0 3 ? * 2-6 *)"),
        ("0 3 * * 5-7", "cron(0 3 ? * 1,6,7 *)"),
        ("*/15 * * * *", "cron(0,15,30,45 * * * ? *)"),
        ("10-40/15 * * * *", "cron(10,25,40 * * * ? *)"),
        ("0 */6 1 * *", "cron(0 0,6,12,18 1 * ? *)"),
        ("30 4 1,15 jan,jul *", "cron(30 4 1,15 1,7 ? *)"),
        ("0 0 29 2 *", "cron(0 0 29 2 ? *)"),
        ("0 * * * *", "cron(0 * * * ? *)"),
        ("0 9-17 * * *", "cron(0 9-17 * * ? *)"),
    ],
)
def test_translations(cron: str, expression: str) -> None:
    assert eventbridge.schedule_expression(cron) == expression
    same(cron)


field = st.integers(0, 59).map(str)
crons = st.tuples(
    st.sampled_from(["0", "*", "*/7", "3-50/9", "5,6,7,40"]) | field,
    st.sampled_from(["*", "*/5", "1-3", "0,23"]),
    st.one_of(
        st.tuples(
            st.sampled_from(["*", "1", "*/10", "28-31", "5,6,7"]), st.sampled_from(["*", "*/5", "2"]), st.just("*")
        ),
        st.tuples(st.just("*"), st.sampled_from(["*", "3-5"]), st.sampled_from(["*", "0", "7", "1-5", "*/2", "6,0"])),
    ),
).map(lambda parts: " ".join([*parts[:2], *parts[2]]))


@settings(deadline=None, max_examples=60)
@given(crons)
def test_translations_fire_when_cron_does(cron: str) -> None:
    same(cron)


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 3 1 * 1", "restricts both the day of the month and the day of the week"),
        ("0 3 L * *", "uses L"),
        ("0 3 * * 1#2", "uses #"),
        ("0 3 * * L5", "uses #"),
    ],
)
def test_what_eventbridge_lacks_is_refused(cron: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(repr(cron))} {why}"):
        eventbridge.schedule_expression(cron)


@pytest.mark.parametrize(
    ("minutes", "window"),
    [(0, {"mode": "OFF"}), (15, {"mode": "FLEXIBLE", "maximum_window_in_minutes": 15})],
)
def test_flexible_windows(minutes: int, window: dict[str, object]) -> None:
    assert eventbridge.flexible_time_window(timedelta(minutes=minutes)) == window


@pytest.mark.parametrize(("seconds", "fits"), [(0, True), (60, True), (86400, True), (90, False), (86460, False)])
def test_which_flexible_windows_fit(seconds: int, fits: bool) -> None:
    assert (eventbridge.check_flexible_window(timedelta(seconds=seconds), "sagemaker", "x") == []) is fits
