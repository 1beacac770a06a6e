"""The component that is a whole deployment: bucket, alarms, endpoint and retraining of one model."""

from collections.abc import Mapping
from typing import Any

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
from .component import fields_of, parsed, refuse
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
        refuse(check_deployment(name, args, name))
        super().__init__("modelberth:index:ModelDeployment", name, None, opts)
        parts = _parts(name, args)
        child = pulumi.ResourceOptions(parent=self)
        self.endpoint, self.alarms, self.retraining = None, None, None

        self.bucket = ArtifactBucket(f"{name}-bucket", parts.bucket, child)
        if args.image is None:
            pulumi.log.warn(f"{name}: there is no image yet, so that only its bucket is made", self)
        else:
            self._provision_rest(name, parts, child)
        self.register_outputs({"bucket_url": self.bucket.url, "package_digest": parts.digest})

    def _provision_rest(self, name: str, parts: "_Parts", child: pulumi.ResourceOptions) -> None:
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
            drift = {"drift_alarm": self.alarms.names[DRIFT]} if self.alarms and "drift" in parts.retraining.on else {}
            if "drift" in parts.retraining.on and not drift:
                drift = {"on": []}
            self.retraining = RetrainingSchedule(
                f"{name}-retraining", parts.retraining.model_copy(update=url | drift), child
            )


class _Parts:
    """The arguments of a deployment's components, before any of them is made."""

    bucket: ArtifactBucketArgs
    endpoint: ModelEndpointArgs | None = None
    alarms: MonitoringAlarmsArgs | None = None
    retraining: RetrainingScheduleArgs | None = None
    rollback: tuple[str, ...] = ()
    digest: str | None = None
    problems: list[str]


def _parts(name: str, args: ModelDeploymentArgs, where: str | None = None) -> _Parts:
    where = where or name
    parts = _Parts()
    package, parts.problems = judge(args.package, args.gate, args.champion, where)
    common = fields_of(args, CommonArgs)
    place = {capability: args.place.of(capability, args.platform) for capability in registry.CAPABILITIES}
    # Known only when the bucket is there; whatever is checked before does not look at it.
    later: dict[str, Any] = {"bucket": "", "image": args.image or "", "model": name}

    def build(kind: type[Any], spec: Spec, capability: registry.Capability, **more: Any) -> Any:
        own = {key: value for key, value in (fields_of(spec, kind) | later | more).items() if key in kind.model_fields}
        return kind.model_construct(**(common | own | {"platform": place[capability]}))

    parts.bucket = build(ArtifactBucketArgs, args.bucket, "bucket")
    if package is not None:
        parts.digest = package.digest
        endpoint_name = physical_name(f"{name}-endpoint")
        parts.endpoint = build(
            ModelEndpointArgs,
            args.endpoint,
            "endpoint",
            package=package,
            gate=args.gate,
            champion=args.champion,
            endpoint_name=endpoint_name,
            rollback_alarms=[],
        )
        if args.alarms.rules or args.alarms.notify:
            parts.alarms = build(
                MonitoringAlarmsArgs,
                args.alarms,
                "alarms",
                package=package,
                endpoint_name=endpoint_name,
                endpoint=args.endpoint,
            )
            parts.rollback = tuple(sorted(rule for rule in args.alarms.rules if rule in ROLLBACK_ALARMS))
    if args.retraining is not None:
        parts.retraining = build(
            RetrainingScheduleArgs,
            args.retraining,
            "retraining",
            gate=args.gate,
            champion=package,
            drift_alarm=None,
            image=args.retraining.image or args.image or "",
        )
    return parts


ROLLBACK_ALARMS = ("error_rate", "latency_p95", "latency_p99")
"""The alarms that tell a bad package from a good one within minutes; the others are about load, machines and data."""


def check_deployment(name: str, args: ModelDeploymentArgs, where: str) -> list[str]:
    """Return everything that is wrong with a deployment, each beginning with `where`; makes nothing."""
    problems = [f"{where}: {problem}"] if (problem := check_name(name)) else []
    parts = _parts(name, args, where)
    problems += parts.problems
    for capability, part in (
        ("bucket", parts.bucket),
        ("endpoint", parts.endpoint),
        ("alarms", parts.alarms),
        ("retraining", parts.retraining),
    ):
        if part is not None:
            problems += registry.load(part.platform, capability).check(part, f"{where}.{capability}")
    if parts.endpoint is not None:
        for variant, spec in parts.endpoint.variants.items():
            problems += judge(spec.package, args.gate, args.champion, f"{where}.endpoint.variants.{variant}")[1]
    return problems
