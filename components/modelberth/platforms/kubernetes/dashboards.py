"""A Grafana dashboard of an endpoint: a panel for each alarm, with its threshold.

Source: Grafana documentation, "Dashboard JSON model".
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from ...args import MonitoringAlarmsArgs
from ...spec import AlarmRule
from ...vocabulary import ALARMS
from . import promql

_WIDTH, _HEIGHT = 12, 8
_UNITS = {"duration": "s", "share": "percentunit", "count": "short", "number": "short"}


def identifier(name: str) -> str:
    """Return a dashboard's `uid`, of at most 40 characters, which stays as long as its name does."""
    return name if len(name) <= 40 else hashlib.sha256(name.encode()).hexdigest()[:40]


def dashboard(name: str, names: Mapping[str, str], args: MonitoringAlarmsArgs) -> dict[str, Any]:
    """Return the dashboard; `names` are the alarms' own by the vocabulary's."""
    return {
        "uid": identifier(name),
        "title": args.endpoint_name,
        "tags": ["modelberth"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "panels": [_panel(number, alarm, names[alarm], rule, args) for number, (alarm, rule) in _numbered(args)],
    }


def _numbered(args: MonitoringAlarmsArgs) -> list[tuple[int, tuple[str, AlarmRule]]]:
    return list(enumerate(args.rules.items()))


def _panel(number: int, alarm: str, name: str, rule: AlarmRule, args: MonitoringAlarmsArgs) -> dict[str, Any]:
    kind = ALARMS[alarm]
    colours = ("green", "red") if kind.side == "above" else ("red", "green")
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": name,
        "description": f"{kind.description}. {kind.action}",
        "gridPos": {
            "x": _WIDTH * (number % 2),
            "y": _HEIGHT * (number // 2),
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "targets": [
            {
                "refId": "A",
                "expr": promql.expression(alarm, kind, rule.period, args.endpoint_name, args.endpoint),
                "legendFormat": alarm,
            }
        ],
        "fieldConfig": {
            "defaults": {
                "unit": _UNITS[kind.quantity],
                "custom": {"thresholdsStyle": {"mode": "line"}},
                "thresholds": {
                    "mode": "absolute",
                    "steps": [{"color": colours[0], "value": None}, {"color": colours[1], "value": rule.threshold}],
                },
            },
            "overrides": [],
        },
    }
