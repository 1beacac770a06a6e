"""What a platform's part gives back: the same on every platform."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True)
class BucketOutputs:
    """Attributes: `url`, the bucket's address for fsspec; `name`, its name."""

    url: pulumi.Output[str]
    name: pulumi.Output[str]


@dataclass(frozen=True)
class EndpointOutputs:
    """Attributes: `name`; `url`, where predictions are asked for; `invoke_command`, how to do so from a shell."""

    name: pulumi.Output[str]
    url: pulumi.Output[str]
    invoke_command: pulumi.Output[str]


@dataclass(frozen=True)
class AlarmsOutputs:
    """Attributes: `names`, the platform's names by the alarm's own; `dashboard_url`."""

    names: Mapping[str, pulumi.Output[str]]
    dashboard_url: pulumi.Output[str]


@dataclass(frozen=True)
class RetrainingOutputs:
    """Attributes: `schedule_name`; `job_name`, what the schedule starts."""

    schedule_name: pulumi.Output[str]
    job_name: pulumi.Output[str]
