"""The component for alarms, the people they tell, and the monitor job behind them."""

from collections.abc import Iterable, Mapping
from typing import Any

import pulumi

from model_packaging.alarms import QUALITY, alarm_texts, task_of
from model_packaging.package import Package

from . import registry
from .args import MonitoringAlarmsArgs
from .component import parsed, refuse
from .judging import opened
from .quantities import format_duration
from .schedules import longest_gap


class MonitoringAlarms(pulumi.ComponentResource):
    """Alarms on an endpoint and on its traffic, and a dashboard."""

    names: dict[str, pulumi.Output[str]]
    """The alarms' names on their platform, by their own."""
    dashboard_url: pulumi.Output[str]
    """Where to look at it all."""

    def __init__(
        self, name: str, args: MonitoringAlarmsArgs | Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the alarms.

        Raises:
            SpecificationError: the arguments are wrong, or ask for what the platform lacks; nothing is made then.
        """
        args = parsed(MonitoringAlarmsArgs, name, args)
        platform = registry.load(args.platform, "alarms")
        package, problems = opened(args.package, f"{name}.package")
        if args.watches_traffic and package is None and not problems:
            problems.append(f"{name}.package: is missing: drift and data alarms compare traffic with its training data")
        if package is not None:
            problems += [f"{name}.{problem}" for problem in _not_measured(args.rules, package)]
        problems += [f"{name}.{problem}" for problem in _silent(args)]
        refuse(problems + platform.check(args, name))
        super().__init__("modelberth:index:MonitoringAlarms", name, None, opts)
        outputs = platform.provision(self, name, args.model_copy(update={"package": package}))
        self.names, self.dashboard_url = dict(outputs.names), outputs.dashboard_url
        self.register_outputs({"names": self.names, "dashboard_url": self.dashboard_url})


def _not_measured(rules: Iterable[str], package: Package) -> list[str]:
    """Say which alarms can't fire because nothing of their name is measured of such a model."""
    outputs = package.signature["outputs"]
    measured = alarm_texts(outputs)
    others = ", ".join(name for name, text in measured.items() if text in QUALITY.values())
    kind = {
        "binary": "a model of two classes",
        "multiclass": "a model of several classes",
        "regression": "a regression",
    }
    return [
        f"{name}: is not measured of {kind[task_of(outputs)]}, which {package.name} is; measured are {others}"
        for name in rules
        if name not in measured
    ]


def _silent(args: MonitoringAlarmsArgs) -> list[str]:
    """Say where the alarm on the monitor's own silence would fire between two runs of its schedule."""
    rule = args.rules.get("monitor.runs")
    if rule is None:
        return []
    span, gap = rule.period * rule.periods, longest_gap(args.monitor.schedule)
    if span > gap:
        return []
    return [
        f"monitor.runs: looks back {format_duration(span)}, but the monitor's schedule {args.monitor.schedule!r} "
        f"leaves up to {format_duration(gap)} between two runs: choose period and periods that together are longer"
    ]
