"""The component for alarms, the people they tell, and the monitor job behind them."""

from collections.abc import Mapping
from typing import Any

import pulumi

from . import registry
from .args import MonitoringAlarmsArgs
from .component import parsed, refuse
from .judging import opened


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
        refuse(problems + platform.check(args, name))
        super().__init__("modelberth:index:MonitoringAlarms", name, None, opts)
        outputs = platform.provision(self, name, args.model_copy(update={"package": package}))
        self.names, self.dashboard_url = dict(outputs.names), outputs.dashboard_url
        self.register_outputs({"names": self.names, "dashboard_url": self.dashboard_url})
