"""What the monitor and the retraining are told, the same on every platform: docs/monitoring.md, docs/retraining.md."""

from datetime import timedelta
from typing import Any

import pulumi

from model_packaging.gate import GateRules

from .args import MonitoringAlarmsArgs, RetrainingScheduleArgs
from .quantities import format_duration


def monitor_environment(
    args: MonitoringAlarmsArgs, bucket: pulumi.Input[str], package: pulumi.Input[str], metrics: pulumi.Input[str]
) -> dict[str, pulumi.Input[str]]:
    """Return the variables of `modelberth job monitor`.

    Args:
        args: What is watched.
        bucket: The bucket's address.
        package: The address of the package that is served.
        metrics: Where the metrics go, with the kind before the colon.
    """
    environment: dict[str, pulumi.Input[str]] = {
        "MODELBERTH_CAPTURE": pulumi.Output.concat(bucket, "/capture/", args.endpoint_name),
        "MODELBERTH_PACKAGE": package,
        "MODELBERTH_REPORTS": pulumi.Output.concat(bucket, "/monitoring/", args.model),
        "MODELBERTH_METRICS": metrics,
        "MODELBERTH_ENDPOINT": args.endpoint_name,
        "MODELBERTH_WINDOW_HOURS": _hours(args.monitor.window),
    }
    if args.needs_labels:
        environment |= {
            "MODELBERTH_LABELS": pulumi.Output.concat(bucket, "/labels/", args.model),
            "MODELBERTH_LABEL_DELAY_HOURS": _hours(args.monitor.label_delay),
        }
    return environment


def retrain_settings(
    args: RetrainingScheduleArgs, bucket: str, source: str, data: str | None, champion: str | None
) -> dict[str, Any]:
    """Return the settings of `modelberth retrain`.

    Args:
        args: What is trained.
        bucket: The bucket's address.
        source: The address of the training code.
        data: The address of the training data.
        champion: The address of the package that a candidate is compared with.
    """
    settings: dict[str, Any] = {
        "model": args.model,
        "entrypoint": args.entrypoint,
        "source": source,
        "data": data,
        "bucket": bucket,
        "champion": champion,
        "gate": gate_settings(args.gate),
        "parameters": args.parameters,
        "timeout_seconds": args.timeout.total_seconds(),
    }
    return {key: value for key, value in settings.items() if value is not None}


def gate_settings(rules: GateRules) -> dict[str, Any]:
    """Return the gate's rules as its configuration writes them, with what was written alone."""
    written = rules.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    if rules.max_age is not None:
        written["max_age"] = format_duration(rules.max_age)
    return written


def _hours(duration: timedelta) -> str:
    return f"{duration / timedelta(hours=1):g}"
