"""What each of the monitor's measures is called where metrics are kept: docs/metrics.md holds the table."""

import re


def prometheus_name(name: str) -> str:
    """A gauge. That the monitor ran is told by the time of its last run, as is the custom for batch jobs
    (Prometheus documentation, "Instrumentation", Batch jobs): a pushed 1 would stay 1 for ever."""
    if name == "monitor.runs":
        return "modelberth_monitor_last_run_timestamp_seconds"
    return f"modelberth_{_plain(name).replace('.', '_')}"


def cloud_monitoring_type(name: str) -> str:
    """The metric type, in the hierarchy of a user's own metrics."""
    return f"custom.googleapis.com/modelberth/{_plain(name).replace('.', '/')}"


def _plain(name: str) -> str:
    """The user's own metric may be a Python function with any letters in its name."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)
