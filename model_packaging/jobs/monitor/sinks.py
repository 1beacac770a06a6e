"""Where the monitor's numbers go. A further sink is one function and one line in SINKS."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from model_packaging.errors import ModelberthError, choices, did_you_mean
from model_packaging.jobs.monitor.measures import Measure
from model_packaging.jobs.monitor.names import cloudwatch_unit
from model_packaging.storage import explained

_MOST_DATA = 1000
_MOST_CHARACTERS = 1024

Send = Callable[[str, datetime, Sequence[Measure]], None]
"""Takes the endpoint's name, the time the numbers are of, and the numbers."""


def sink(text: str) -> Send:
    """The sink that a text such as `cloudwatch:<namespace>` or `stdout:` names. ModelberthError if it names none."""
    scheme, colon, target = text.partition(":")
    known = choices(f"{name}:{what}" for name, (what, _) in SINKS.items())
    if not colon or scheme not in SINKS:
        raise ModelberthError(f'MODELBERTH_METRICS is "{text}": choose {known}{did_you_mean(scheme, SINKS)}')
    what, send = SINKS[scheme]
    if bool(what) != bool(target):
        raise ModelberthError(f'MODELBERTH_METRICS is "{text}": write {scheme}:{what}')
    return lambda endpoint, at, data: send(target, endpoint, at, data)


def _stdout(target: str, endpoint: str, at: datetime, data: Sequence[Measure]) -> None:
    """One line of JSON."""
    metrics = [
        {"name": one.name, "value": one.value} | ({"feature": one.feature} if one.feature is not None else {})
        for one in data
    ]
    line = {"time": at.isoformat(timespec="seconds"), "endpoint": endpoint, "metrics": metrics}
    print(json.dumps(line, allow_nan=False), flush=True)


def _cloudwatch(namespace: str, endpoint: str, at: datetime, data: Sequence[Measure]) -> None:
    """CloudWatch's PutMetricData, at most 1,000 data a call. The dimension is EndpointName alone, which alarms
    name exactly; numbers about one input bear Feature besides, so that no alarm mixes them."""
    # boto3 reads AWS_DEFAULT_REGION; SageMaker's jobs get AWS_REGION.
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")
    with explained(f"cloudwatch:{namespace}", "write metrics to"):
        client: Any = import_module("boto3").client("cloudwatch", region_name=region)
        for start in range(0, len(data), _MOST_DATA):
            # Without a time of their own the numbers are of the moment when they arrive, which is the window's end.
            batch = [_datum(endpoint, one) for one in data[start : start + _MOST_DATA]]
            client.put_metric_data(Namespace=namespace, MetricData=batch)


def _datum(endpoint: str, one: Measure) -> dict[str, Any]:
    dimensions = {"EndpointName": endpoint} | ({"Feature": _ascii(one.feature)} if one.feature is not None else {})
    return {
        "MetricName": one.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Value": one.value,
        "Unit": cloudwatch_unit(one.name),
    }


def _ascii(name: str) -> str:
    """A column's name as CloudWatch takes it: printable ASCII, not blank (API reference, Dimension)."""
    text = re.sub(r"[^ -~]", lambda found: found.group().encode("unicode_escape").decode(), name)
    return (text if text.strip() else f'"{text}"')[:_MOST_CHARACTERS]


def _cloud_monitoring(project: str, endpoint: str, at: datetime, data: Sequence[Measure]) -> None:
    from model_packaging.jobs.monitor.cloud_monitoring import write

    write(project, endpoint, at, data)


def _prometheus(gateway: str, endpoint: str, at: datetime, data: Sequence[Measure]) -> None:
    from model_packaging.jobs.monitor.prometheus import push

    push(gateway, endpoint, at, data)


SINKS: dict[str, tuple[str, Callable[[str, str, datetime, Sequence[Measure]], None]]] = {
    "cloudmonitoring": ("<project>", _cloud_monitoring),
    "cloudwatch": ("<namespace>", _cloudwatch),
    "prometheus": ("<address of a Pushgateway>", _prometheus),
    "stdout": ("", _stdout),
}
"""Scheme to what follows it, if anything, and the function."""
