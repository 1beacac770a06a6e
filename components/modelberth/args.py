"""The arguments of the components: a specification, and what ties its parts together.

`tags` reach every resource that can bear them. `development` gives up all protection: see `StackSpec`.
"""

from pydantic import Field

from model_packaging.gate import GateRules

from .quantities import TextInput
from .spec import (
    AlarmsSpec,
    BucketSpec,
    EndpointSpec,
    ModelSpec,
    PackageInput,
    PlatformName,
    RetrainingSpec,
    Spec,
)


class CommonArgs(Spec):
    """What every component takes."""

    platform: PlatformName
    encryption_key: TextInput | None = None
    """The customer's key that encrypts what is kept; the platform's own if left out."""
    development: bool = False
    """Whether everything may be thrown away."""
    tags: dict[str, str] = Field(default_factory=dict[str, str])


class ArtifactBucketArgs(CommonArgs, BucketSpec):
    """Arguments of `ArtifactBucket`."""


class ModelEndpointArgs(CommonArgs, EndpointSpec):
    """Arguments of `ModelEndpoint`."""

    package: PackageInput
    """What to serve: a path, an address with @sha256:…, or an opened package."""
    bucket: TextInput
    """The address of the bucket on this platform, such as the output `url` of `ArtifactBucket`."""
    image: TextInput
    """The container image that serves."""
    gate: GateRules = Field(default_factory=GateRules)
    champion: PackageInput | None = None
    """The package that `no_worse_than` compares with."""
    endpoint_name: str | None = None
    """The endpoint's name; made of project, stack and component if left out. Changing it replaces the endpoint."""
    rollback_alarms: list[TextInput] = Field(default_factory=list[TextInput])
    """Names of alarms that bring the previous package back when they fire during an update."""


class MonitoringAlarmsArgs(CommonArgs, AlarmsSpec):
    """Arguments of `MonitoringAlarms`."""

    endpoint_name: str
    """The endpoint that is watched."""
    endpoint: EndpointSpec = Field(default_factory=EndpointSpec)
    """What that endpoint was asked to be: its variants and machines give the alarms their dimensions and limits."""
    bucket: TextInput
    """Where captured traffic is read and reports are written."""
    image: TextInput
    """The container image of the monitor job."""
    package: PackageInput | None = None
    """The package whose training data traffic is compared with; needed by the drift and data alarms."""
    model: str
    """The model's name, under which reports are kept."""


class RetrainingScheduleArgs(CommonArgs, RetrainingSpec):
    """Arguments of `RetrainingSchedule`."""

    bucket: TextInput
    """Where data and sources are kept and candidates are published."""
    model: str
    """The model's name, under which candidates are published."""
    image: TextInput  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
    """The container image that trains."""
    gate: GateRules = Field(default_factory=GateRules)
    """The rules that a candidate must pass to be published."""
    champion: PackageInput | None = None
    """The package that a candidate is compared with."""
    drift_alarm: TextInput | None = None
    """The name of the alarm that starts a run too; needed by `on: [drift]`."""


class ModelDeploymentArgs(CommonArgs, ModelSpec):
    """Arguments of `ModelDeployment`."""

    image: TextInput | None = None
    """The container image. Without one everything but the endpoint, the alarms and the jobs comes up."""
