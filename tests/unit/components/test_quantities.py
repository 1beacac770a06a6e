from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelberth.quantities import format_duration, parse_duration, parse_ratio, parse_size
from modelberth.vocabulary import ALARMS


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("200ms", 0.2), ("5m", 300), ("1.5 h", 5400), ("30d", 2592000), (90, 90), (0, 0), (timedelta(hours=1), 3600)],
)
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written).total_seconds() == seconds


@pytest.mark.parametrize(("written", "ratio"), [("10%", 0.1), ("0.5 %", 0.005), (0.1, 0.1), (1, 1.0), ("100%", 1.0)])
def test_ratios(written: object, ratio: float) -> None:
    assert parse_ratio(written) == pytest.approx(ratio)


@pytest.mark.parametrize(("written", "size"), [("4Gi", 4 * 1024**3), ("512Mi", 512 * 1024**2), ("1G", 10**9), (7, 7)])
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("parse", [parse_duration, parse_ratio, parse_size])
@pytest.mark.parametrize(
    "written",
    ["", "5", "five", "-5m", "5 parsecs", "1e3m", True, None, [], float("nan"), float("inf"), -1, "9" * 400 + "d"],
)
def test_what_is_refused(parse: Any, written: object) -> None:
    with pytest.raises(ValueError, match=r"^is (no|out of)"):
        parse(written)


@given(st.text() | st.floats() | st.integers() | st.from_regex(r"\d+(\.\d+)?(ms|s|m|h|d|%|Mi|Gi|Ti)", fullmatch=True))
def test_anything_is_read_or_refused(written: object) -> None:
    for parse in (parse_duration, parse_ratio, parse_size):
        try:
            value: Any = parse(written)
        except ValueError as error:
            assert str(error).startswith("is ")
        else:
            assert value >= type(value)(0)


@given(st.integers(min_value=0, max_value=10**10).map(lambda number: timedelta(milliseconds=number)))
def test_durations_are_written_as_they_are_read(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_every_alarm_reads_and_writes_thresholds_of_its_own(name: str) -> None:
    kind = ALARMS[name]
    written = {"duration": "200ms", "share": "5%", "count": 3, "number": 0.2}[kind.quantity]
    assert kind.format(kind.parse(written)) == str(written)
    for wrong in ("much", -1, float("nan"), None, True):
        with pytest.raises(ValueError, match=r"^is "):
            kind.parse(wrong)
