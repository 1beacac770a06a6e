"""The component that is a whole deployment: bucket, alarms, endpoint and retraining of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pulumi

from . import registry
from .args import (
    ArtifactBucketArgs,
    CommonArgs,
    ModelDeploymentArgs,
    ModelEndpointArgs,
    MonitoringAlarmsArgs,
    RetrainingScheduleArgs,
)
from .artifact_bucket import ArtifactBucket
from .component import Args, fields_of, parsed, refuse
from .judging import judge
from .model_endpoint import ModelEndpoint
from .monitoring_alarms import MonitoringAlarms
from .names import physical_name
from .retraining_schedule import RetrainingSchedule
from .spec import Spec, check_name

DRIFT = "drift.psi"


class ModelDeployment(pulumi.ComponentResource):
    """One model, deployed, watched and retrained; each capability on the platform that `place` says.

    With the package `none`, or without an image yet, what needs them waits for a later `up`.
    """

    bucket: ArtifactBucket
    endpoint: ModelEndpoint | None
    alarms: MonitoringAlarms | None
    retraining: RetrainingSchedule | None

    def __init__(
        self, name: str, args: ModelDeploymentArgs | Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the deployment.

        Raises:
            SpecificationError: anything is wrong with any part of it; nothing is made then.
        """
        args = parsed(ModelDeploymentArgs, name, args)
        parts = prepare(name, args, name)
        refuse(parts.problems)
        super().__init__("modelberth:index:ModelDeployment", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.endpoint, self.alarms, self.retraining = None, None, None

        shared = {
            platform: registry.load(platform, "shared").provision(self, name, parts.args)
            for platform in parts.platforms
        }
        parts = parts.with_options(shared)
        self.bucket = ArtifactBucket(f"{name}-bucket", parts.bucket, child)
        if args.image is None:
            pulumi.log.warn(f"{name}: there is no image yet, so that only its bucket is made", self)
        else:
            self._provision_rest(name, parts, child)
        self.register_outputs(self.summary)

    @property
    def summary(self) -> dict[str, Any]:
        """What the stack and other programs need to know of it, by capability."""
        summary: dict[str, Any] = {"bucket": {"url": self.bucket.url}}
        if self.endpoint is not None:
            summary["endpoint"] = {
                "name": self.endpoint.name,
                "platform": self.endpoint.platform,
                "url": self.endpoint.url,
                "package_digest": self.endpoint.package_digest,
                "invoke_command": self.endpoint.invoke_command,
            }
        if self.alarms is not None:
            summary["alarms"] = {"names": self.alarms.names, "dashboard_url": self.alarms.dashboard_url}
        if self.retraining is not None:
            summary["retraining"] = {
                "schedule_name": self.retraining.schedule_name,
                "job_name": self.retraining.job_name,
            }
        return summary

    def _provision_rest(self, name: str, parts: "Parts", child: pulumi.ResourceOptions) -> None:
        url = {"bucket": self.bucket.url}
        if parts.endpoint is None:
            pulumi.log.warn(f"{name}: there is no package yet, so that its endpoint and alarms wait for one", self)
        else:
            if parts.alarms is not None:
                # The alarms come first: an update of the endpoint is watched by them from its beginning.
                self.alarms = MonitoringAlarms(f"{name}-alarms", parts.alarms.model_copy(update=url), child)
            watching = [self.alarms.names[alarm] for alarm in parts.rollback] if self.alarms else []
            self.endpoint = ModelEndpoint(
                f"{name}-endpoint", parts.endpoint.model_copy(update=url | {"rollback_alarms": watching}), child
            )
        if parts.retraining is not None:
            drift: dict[str, Any] = {}
            if "drift" in parts.retraining.on:
                # Without a package there is no drift alarm yet.
                drift = {"drift_alarm": self.alarms.names[DRIFT]} if self.alarms else {"on": []}
            self.retraining = RetrainingSchedule(
                f"{name}-retraining", parts.retraining.model_copy(update=url | drift), child
            )


@dataclass
class Parts:
    """The arguments of a deployment's components, before any of them is made.

    Attributes:
        args: The deployment's own arguments, with their packages opened.
        bucket: The bucket.
        endpoint: The endpoint, once there is a package.
        alarms: The alarms, if any is asked for and there is a package.
        retraining: The schedule, if one is asked for.
        problems: Everything that is wrong with the deployment.
    """

    args: ModelDeploymentArgs
    bucket: ArtifactBucketArgs
    endpoint: ModelEndpointArgs | None
    alarms: MonitoringAlarmsArgs | None
    retraining: RetrainingScheduleArgs | None
    problems: list[str]

    @property
    def rollback(self) -> list[str]:
        """The alarms that bring the previous package back."""
        return sorted(self.alarms.rules.keys() & set(ROLLBACK_ALARMS)) if self.alarms else []

    @property
    def platforms(self) -> list[str]:
        """The platforms that serve any of the capabilities, each once."""
        capabilities = (self.bucket, self.endpoint, self.alarms, self.retraining)
        return list(dict.fromkeys(part.platform for part in capabilities if part is not None))

    def with_options(self, shared: Mapping[str, Mapping[str, Any]]) -> "Parts":
        """Return the parts with further options of their platforms, by its name, below those that are written."""
        return replace(
            self,
            bucket=_extended(self.bucket, shared),
            endpoint=None if self.endpoint is None else _extended(self.endpoint, shared),
            alarms=None if self.alarms is None else _extended(self.alarms, shared),
            retraining=None if self.retraining is None else _extended(self.retraining, shared),
        )


Part = TypeVar("Part", ArtifactBucketArgs, ModelEndpointArgs, MonitoringAlarmsArgs, RetrainingScheduleArgs)


def _extended(part: Part, shared: Mapping[str, Mapping[str, Any]]) -> Part:
    own = {**shared[part.platform], **part.options.get(part.platform, {})}
    return part.model_copy(update={"options": {**part.options, part.platform: own}} if own else {})


ROLLBACK_ALARMS = ("error_rate", "latency_p95", "latency_p99")
"""The alarms that tell a bad package from a good one within minutes; the others are about load, machines and data."""

_WRITTEN_ON_THE_MODEL = ("encryption_key", "gate", "tags")


def prepare(name: str, args: ModelDeploymentArgs, where: str) -> Parts:
    """Open and judge the packages of a deployment and check each of its parts; makes no resource.

    Args:
        name: The deployment's name.
        args: Its arguments.
        where: What goes before the key in each problem.
    """
    problems = [f"{where}: {problem}"] if (problem := check_name(name)) else []
    judged = judge(args.package, args.champion, args.endpoint, args.gate, where, f"{where}.endpoint")
    problems += judged.problems
    package, champion = judged.package, judged.champion
    args = args.model_copy(
        update={
            "package": package or args.package,
            "champion": champion or args.champion,
            "endpoint": judged.endpoint,
        }
    )
    common = fields_of(args, CommonArgs)
    # Known only when the bucket is there; whatever is checked before does not look at it.
    later: dict[str, Any] = {"bucket": "", "image": args.image or "", "model": name}
    endpoint_name = physical_name(f"{name}-endpoint")

    def build(kind: type[Args], spec: Spec, capability: registry.Capability, **more: Any) -> Args:
        own = {key: value for key, value in (fields_of(spec, kind) | later | more).items() if key in kind.model_fields}
        fields: dict[str, Any] = common | own | {"platform": args.place.of(capability, args.platform)}
        return kind.model_construct(**fields)

    endpoint = alarms = retraining = None
    if package is not None:
        serving = {"package": package, "endpoint_name": endpoint_name}
        endpoint = build(
            ModelEndpointArgs,
            args.endpoint,
            "endpoint",
            **serving,
            gate=args.gate,
            champion=champion,
            # Not the platform's names yet, which come with the alarms; whether there are any is what is checked.
            rollback_alarms=sorted(args.alarms.rules.keys() & set(ROLLBACK_ALARMS)),
        )
        if args.alarms.rules or args.alarms.notify:
            alarms = build(MonitoringAlarmsArgs, args.alarms, "alarms", **serving, endpoint=args.endpoint)
    if args.retraining is not None:
        image = args.retraining.image or args.image or ""
        retraining = build(
            RetrainingScheduleArgs,
            args.retraining,
            "retraining",
            gate=args.gate,
            champion=package,
            drift_alarm=None,
            image=image,
        )
    parts = Parts(args, build(ArtifactBucketArgs, args.bucket, "bucket"), endpoint, alarms, retraining, problems)
    for platform in parts.platforms:
        problems += registry.load(platform, "shared").check(args, where)
    alone = parts
    shared = {name: registry.load(name, "shared").defaults(args) for name in parts.platforms}
    parts = parts.with_options(shared)
    endpoint, alarms, retraining = parts.endpoint, parts.alarms, parts.retraining
    for capability, part, before in (
        ("bucket", parts.bucket, alone.bucket),
        ("endpoint", endpoint, alone.endpoint),
        ("alarms", alarms, alone.alarms),
        ("retraining", retraining, alone.retraining),
    ):
        if part is not None and before is not None:
            inherited = shared[part.platform].keys() - before.options.get(part.platform, {}).keys()
            keys = [*_WRITTEN_ON_THE_MODEL, *(f"{part.platform}.{key}" for key in sorted(inherited))]
            found = registry.load(part.platform, capability).check(part, f"{where}.{capability}")
            problems += [_at_the_model(problem, where, capability, keys) for problem in found]
    # What is written on the model, and so handed to each part, is wrong only once.
    parts.problems = list(dict.fromkeys(problems))
    return parts


def _at_the_model(problem: str, where: str, capability: str, keys: Sequence[str]) -> str:
    for key in keys:
        prefix = f"{where}.{capability}.{key}"
        if problem.startswith((f"{prefix}:", f"{prefix}.")):
            return f"{where}.{key}{problem.removeprefix(prefix)}"
    return problem
