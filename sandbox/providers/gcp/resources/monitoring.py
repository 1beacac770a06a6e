"""Cloud Monitoring and Cloud Logging's metrics."""

from __future__ import annotations

import json
from typing import Any

from sandbox.providers.gcp.rest import NAME, Rest
from sandbox.providers.gcp.services import DASHBOARDS, LOGGING, MONITORING
from sandbox.providers.resource import Values

_SENSITIVE = {"authToken": "auth_token", "password": "password", "serviceKey": "service_key"}


def _encode_channel(values: Values, body: Values) -> None:
    given = values.get("sensitiveLabels") or {}
    hidden = {label: given[name] for name, label in _SENSITIVE.items() if given.get(name)}
    # A change of something else says nothing of the labels.
    if hidden and ("labels" in body or not values.get("labels")):
        body["labels"] = body.get("labels", {}) | hidden


def _decode_channel(answer: Values, told: Values) -> None:
    if told.get("labels"):
        # They come back hidden; what the program says of them stays.
        told["labels"] = {key: value for key, value in told["labels"].items() if key not in _SENSITIVE.values()}


def _encode_dashboard(values: Values, body: Values) -> None:
    body.clear()
    body |= json.loads(values["dashboardJson"])


def _decode_dashboard(answer: Values, told: Values) -> None:
    told["dashboardJson"] = json.dumps(answer)


def _same_dashboard(old: str, new: str) -> bool:
    """Whether one says no more than the other but what Cloud Monitoring has filled in."""
    try:
        before, after = json.loads(old), json.loads(new)
    except ValueError:
        return old == new
    return _only(before, after) == after or _only(after, before) == before


def _only(value: Any, wanted: Any) -> Any:
    """The parts of a value that another one has too."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return {key: _only(item, wanted[key]) for key, item in value.items() if key in wanted}
    if isinstance(value, list) and isinstance(wanted, list) and len(value) == len(wanted):
        return [_only(item, other) for item, other in zip(value, wanted, strict=True)]
    return value


RESOURCES = [
    Rest(
        token="gcp:monitoring/alertPolicy:AlertPolicy",
        service=MONITORING,
        schema="AlertPolicy",
        path="v3/{+name}",
        id="{+name}",
        create="v3/projects/{project}/alertPolicies",
        computed=frozenset({"severity"}),
        defaults={"enabled": True},
    ).resource(),
    Rest(
        token="gcp:monitoring/notificationChannel:NotificationChannel",
        service=MONITORING,
        schema="NotificationChannel",
        path="v3/{+name}",
        id="{+name}",
        create="v3/projects/{project}/notificationChannels",
        shown={"sensitiveLabels": "labels"},
        encode=_encode_channel,
        decode=_decode_channel,
        delete="v3/{+name}?force={forceDelete}",
        defaults={"enabled": True, "forceDelete": False},
    ).resource(),
    Rest(
        token="gcp:monitoring/metricDescriptor:MetricDescriptor",
        service=MONITORING,
        schema="MetricDescriptor",
        path="v3/{+name}",
        id="{+name}",
        create="v3/projects/{project}/metricDescriptors",
        update_verb="POST",
        update="v3/projects/{project}/metricDescriptors",
        force_new=frozenset({"type", "labels", "metricKind", "valueType", "launchStage"}),
        sets=frozenset({"labels"}),
    ).resource(),
    Rest(
        token="gcp:monitoring/dashboard:Dashboard",
        service=DASHBOARDS,
        schema="Dashboard",
        path="v1/{+name}",
        id="{+name}",
        create="v1/projects/{project}/dashboards",
        shown={"dashboardJson": "displayName"},
        masked=False,
        encode=_encode_dashboard,
        decode=_decode_dashboard,
        alike={"dashboardJson": _same_dashboard},
    ).resource(),
    Rest(
        token="gcp:logging/metric:Metric",
        service=LOGGING,
        schema="LogMetric",
        path="projects/{project}/metrics/{name}",
        id="{+name}",
        create="projects/{project}/metrics",
        update_verb="PUT",
        auto_name=NAME,
        computed=frozenset({"metricDescriptor"}),
    ).resource(),
]
