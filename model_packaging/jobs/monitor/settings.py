"""The job's settings, all from the environment because every platform can set that."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from model_packaging.errors import ModelberthError
from model_packaging.jobs.monitor.quality import LabelSettings
from model_packaging.jobs.monitor.sinks import Send, sink

_ADDRESSES = ("MODELBERTH_CAPTURE", "MODELBERTH_PACKAGE", "MODELBERTH_REPORTS", "MODELBERTH_ENDPOINT")


@dataclass(frozen=True)
class Settings:
    """What is compared with what, and where the result goes."""

    capture: str
    """MODELBERTH_CAPTURE: the endpoint's own folder of captured traffic."""

    package: str
    """MODELBERTH_PACKAGE: the address of the package that it serves."""

    reports: str
    """MODELBERTH_REPORTS: the folder that reports are written below."""

    endpoint: str
    """MODELBERTH_ENDPOINT: the endpoint's name, as the alarms know it."""

    send: Send
    """MODELBERTH_METRICS: a sink, such as `cloudwatch:<namespace>` or `stdout:`."""

    window_hours: float
    """MODELBERTH_WINDOW_HOURS: how far back is looked, 24 hours by default."""

    minimum_rows: int
    """MODELBERTH_MINIMUM_ROWS: fewer rows, 100 by default, say nothing about drift."""

    labels: LabelSettings | None
    """MODELBERTH_LABELS: the folder of label files, or one of them; without it labels are not looked for.
    MODELBERTH_LABEL_DELAY_HOURS: how long after its prediction a label may come, 168 hours (a week) by default.
    MODELBERTH_OWN_METRICS: the user's metrics as `module:function`, with commas between."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Reads every setting. ModelberthError lists all the ones that are missing or wrong."""
        problems: list[str] = []
        given = {name: environment.get(name, "").strip() for name in _ADDRESSES}
        problems += [f"{name} is not set" for name, value in given.items() if not value]
        metrics = environment.get("MODELBERTH_METRICS", "").strip()
        send: Send | None = None
        try:
            send = sink(metrics)
        except ModelberthError as error:
            problems += error.problems
        hours = _number(environment, "MODELBERTH_WINDOW_HOURS", "24", float, "a number of hours above 0", problems)
        rows = _number(environment, "MODELBERTH_MINIMUM_ROWS", "100", int, "a whole number above 0", problems)
        delay = _number(
            environment, "MODELBERTH_LABEL_DELAY_HOURS", "168", float, "a number of hours above 0", problems
        )
        labels = environment.get("MODELBERTH_LABELS", "").strip()
        own = tuple(one.strip() for one in environment.get("MODELBERTH_OWN_METRICS", "").split(",") if one.strip())
        if own and not labels:
            problems.append("MODELBERTH_OWN_METRICS is set, but MODELBERTH_LABELS, which it judges by, is not")
        if problems or send is None:
            raise ModelberthError(*problems)
        return cls(
            capture=given["MODELBERTH_CAPTURE"],
            package=given["MODELBERTH_PACKAGE"],
            reports=given["MODELBERTH_REPORTS"],
            endpoint=given["MODELBERTH_ENDPOINT"],
            send=send,
            window_hours=hours,
            minimum_rows=int(rows),
            labels=LabelSettings(labels, timedelta(hours=delay), own) if labels else None,
        )


def _number(
    environment: Mapping[str, str],
    name: str,
    default: str,
    kind: Callable[[str], float],
    what: str,
    problems: list[str],
) -> float:
    text = environment.get(name, "").strip() or default
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e5:  # 11 years of hours: more is a mistake, and a date before the year 1
        problems.append(f'{name} is "{text}": it must be {what} and below 100,000')
    return value
