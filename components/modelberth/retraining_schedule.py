"""The component for a model's retraining."""

from collections.abc import Mapping
from typing import Any

import pulumi

from . import registry
from .args import RetrainingScheduleArgs
from .component import parsed, refuse
from .judging import opened
from .schedules import next_run


class RetrainingSchedule(pulumi.ComponentResource):
    """A schedule that trains, validates, gates and publishes a candidate. It deploys nothing."""

    schedule_name: pulumi.Output[str]
    """The schedule's name on its platform."""
    job_name: pulumi.Output[str]
    """What the schedule starts, and a person may start too."""
    next_run: str
    """When it fires next, in ISO 8601; computed when the program runs."""

    def __init__(
        self, name: str, args: RetrainingScheduleArgs | Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the schedule.

        Raises:
            SpecificationError: the arguments are wrong, or ask for what the platform lacks; nothing is made then.
        """
        args = parsed(RetrainingScheduleArgs, name, args)
        platform = registry.load(args.platform, "retraining")
        champion, problems = opened(args.champion, f"{name}.champion")
        if "drift" in args.on and args.drift_alarm is None:
            problems.append(f"{name}.drift_alarm: is missing: on has drift, so the name of the alarm is needed")
        refuse(problems + platform.check(args, name))
        super().__init__("modelberth:index:RetrainingSchedule", name, None, opts)
        outputs = platform.provision(self, name, args.model_copy(update={"champion": champion}))
        self.schedule_name, self.job_name = outputs.schedule_name, outputs.job_name
        # No output of the resource: it changes with the time of day, and a second `up` would not be empty.
        self.next_run = next_run(args.schedule, args.timezone).isoformat()
        self.register_outputs({"schedule_name": self.schedule_name, "job_name": self.job_name})
