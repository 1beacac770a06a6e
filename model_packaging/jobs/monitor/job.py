"""`modelberth job monitor`: compare captured traffic with the package's baseline; report it, and tell the alarms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from model_packaging.jobs.monitor.capture import Examples, Window, stream
from model_packaging.jobs.monitor.measures import Measure, measures
from model_packaging.jobs.monitor.quality import quality
from model_packaging.jobs.monitor.report import report, write
from model_packaging.jobs.monitor.settings import Settings
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import open_package


def monitor(environment: Mapping[str, str] = os.environ, now: datetime | None = None) -> None:
    """Reads the hours up to `now`, by default the present, writes the report, then sends the metrics, then keeps what
    the next run needs to count each label once.

    No traffic is no error: the report says so, and so does the metric `data.rows`. The model itself is not
    loaded. ModelberthError where a setting, the package or a storage is wrong.
    """
    settings = Settings.from_environment(environment)
    end = now or datetime.now(UTC)
    window = Window(end - timedelta(hours=settings.window_hours), end)
    package = open_package(settings.package)
    traffic, unreadable = Traffic(package), Examples()
    for captured in stream(settings.capture, window, unreadable, traffic.repeats, traffic.columns):
        traffic.add(captured)
    found = measures(traffic, settings.minimum_rows)
    judged = None
    if settings.labels is not None:
        judged = quality(settings.labels, package, settings.capture, settings.reports, settings.minimum_rows, end)
        found += judged.measures
    found.append(Measure("monitor.runs", 1.0))
    document = report(settings, package, window, traffic, unreadable, found, judged)
    address = write(document, found, settings.reports)
    print(document["verdict"]["sentence"], flush=True)
    print(f"report {address}", flush=True)
    settings.send(settings.endpoint, end, found)
    if judged is not None:
        judged.keep()
