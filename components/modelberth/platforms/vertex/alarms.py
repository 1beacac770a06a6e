"""Alerting policies on an endpoint and on its captured traffic, whom they tell, a dashboard, and the monitor's job."""

import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
import pulumi_gcp as gcp
from pydantic import Field, ValidationError

from model_packaging.metric_names import cloud_monitoring_type
from model_packaging.package import Package

from ...args import MonitoringAlarmsArgs
from ...errors import problems_of
from ...gaps import gaps_of, refusal
from ...jobs import monitor_environment
from ...names import physical_name
from ...outputs import AlarmsOutputs
from ...quantities import Size
from ...spec import AlarmRule, ComputeSpec, Spec
from ...uploads import package_prefix
from ...vocabulary import ALARMS
from . import conditions, recurring, rights, values
from .conditions import Target
from .dashboards import body, console_url
from .endpoint import machine_of
from .jobs import Job
from .machines import has, smallest
from .place import Place, PlaceOptions, here, project_number

DRIFT = "drift.psi"
"""The alarm that others listen to: it has a topic of its own name."""

_MONITOR_COMPUTE = ComputeSpec(cpu=2, memory=8 * 1024**3)
_MONITOR_TIMEOUT = timedelta(hours=6)
# A metric that was just described is not known everywhere at once.
_UNKNOWN_METRIC = re.compile("Cannot find metric that matches type")
_DESCRIPTION_WAIT_SECONDS, _DESCRIPTION_TRIES = 10.0, 12


class Options(PlaceOptions):
    """`alarms.vertex`: what only Vertex AI needs to know."""

    processors: int | None = Field(default=None, ge=1)
    """The processors of one replica, for cpu_utilization on a machine that is not in our table."""
    memory: Size | None = None
    """The memory of one replica, for memory_utilization on a machine that is not in our table."""


class MonitorOptions(Spec):
    """`alarms.monitor.vertex`: the monitor's job."""

    machine_type: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$")
    """The machine; one of four processors if left out."""
    disk_gb: int = Field(default=100, ge=100, le=65536)
    """Its disk, in GB."""
    scheduler_location: values.Location | None = None
    """Where Cloud Scheduler keeps the schedule; the model's region if left out. Not every region has it."""


def check(args: MonitoringAlarmsArgs, where: str) -> list[str]:
    """Return what Cloud Monitoring can't do with these arguments."""
    key = f"{where}.{args.platform}"
    problems = values.check_tags(args.tags, where) + values.check_bucket(args.bucket, f"{where}.bucket")
    problems += values.check_image(args.image, f"{where}.image")
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
        MonitorOptions.model_validate(args.monitor.options.get(args.platform, {}))
    except ValidationError as error:
        kind, at = (
            (MonitorOptions, f"{where}.monitor.{args.platform}") if error.title == "MonitorOptions" else (Options, key)
        )
        return problems + problems_of(error, kind, at)
    problems += values.check_key(args.encryption_key, f"{where}.encryption_key", options.location)
    problems += _check_machine(args, options, where)
    for number, address in enumerate(args.notify):
        if isinstance(address, str) and address.startswith("http://"):
            problems.append(
                f"{where}.notify.{number}: {address!r} is not encrypted in transit, and Cloud Monitoring calls no such "
                "address: write https://…"
            )
    for name, rule in args.rules.items():
        if name in gaps_of(args.platform):
            problems.append(refusal(args.platform, name, f"{where}.{name}"))
        if rule.period > conditions.LONGEST_PERIOD:
            problems.append(f"{where}.{name}.period: Cloud Monitoring takes periods of at most 25h")
        if (rule.periods - 1) * rule.period > conditions.LONGEST_WINDOW:
            problems.append(
                f"{where}.{name}.periods: {rule.periods} periods look back longer than Cloud Monitoring does, 23h 30m "
                "beyond the first"
            )
    return problems


def _check_machine(args: MonitoringAlarmsArgs, options: Options, where: str) -> list[str]:
    try:
        machine = machine_of(args.endpoint, args.platform)
    except ValueError:
        return []  # the endpoint's own check says what is wrong with it
    key = f"alarms.{args.platform}"
    known = has(machine) is not None
    return [
        f"{where}.{name}: what {machine} has is not known here, and Vertex AI {counts}: set {key}.{option}"
        for name, option, value, counts in (
            ("cpu_utilization", "processors", options.processors, "counts 100% for each processor"),
            ("memory_utilization", "memory", options.memory, "counts bytes"),
        )
        if name in args.rules and not known and value is None
    ]


def provision(component: pulumi.ComponentResource, name: str, args: MonitoringAlarmsArgs) -> AlarmsOutputs:
    """Make the channels, the policies, the dashboard, and the monitor where traffic is watched."""
    child = pulumi.ResourceOptions(parent=component)
    options = Options.model_validate(args.options.get(args.platform, {}))
    place = here(component, options)
    project = place.apply(lambda at: at.project)
    target = place.apply(lambda at: _target(args, options, at))
    told = [channel.name for channel in _channels(name, project, args, child)]
    described = _descriptors(name, project, args, child)
    policies: dict[str, gcp.monitoring.AlertPolicy] = {}
    for alarm, rule in args.rules.items():
        listening = [*told]
        if alarm == DRIFT:
            listening.append(_topic(component, f"{name}-{alarm}", place, args).name)
        needed = [described[alarm]] if alarm in described else []
        policies[alarm] = _policy(f"{name}-{alarm}", alarm, rule, project, target, listening, needed, args, child)
    dashboard = gcp.monitoring.Dashboard(
        f"{name}-dashboard",
        project=project,
        dashboard_json=pulumi.Output.json_dumps(
            pulumi.Output.all(target=target, **{key: one.name for key, one in policies.items()}).apply(
                lambda known: body(
                    known["target"],
                    {alarm: known[alarm] for alarm in args.rules},
                    watches_traffic=args.watches_traffic,
                )
            )
        ),
        opts=child,
    )
    if args.watches_traffic and isinstance(args.package, Package):
        _monitor(component, f"{name}-monitor", args, args.package, place)
    return AlarmsOutputs(
        names={alarm: one.display_name for alarm, one in policies.items()},
        dashboard_url=pulumi.Output.all(project, dashboard.id).apply(lambda both: console_url(*both)),
    )


def _target(args: MonitoringAlarmsArgs, options: Options, place: Place) -> Target:
    processors, memory = has(machine_of(args.endpoint, args.platform)) or (None, None)
    return Target(
        values.endpoint_id(args.endpoint_name),
        args.endpoint_name,
        place.location,
        options.processors or processors,
        options.memory or memory,
    )


def _policy(
    name: str,
    alarm: str,
    rule: AlarmRule,
    project: pulumi.Output[str],
    target: pulumi.Output[Target],
    channels: list[pulumi.Output[str]],
    needed: list[pulumi.Resource],
    args: MonitoringAlarmsArgs,
    child: pulumi.ResourceOptions,
) -> gcp.monitoring.AlertPolicy:
    kind = ALARMS[alarm]
    text = f"{args.endpoint_name}: {kind.description} {kind.side} {kind.format(rule.threshold)}. {kind.action}"
    return gcp.monitoring.AlertPolicy(
        name,
        display_name=physical_name(name, longest=255),
        project=project,
        combiner="OR",
        conditions=[target.apply(lambda known: conditions.condition(alarm, kind, rule, known))],
        notification_channels=channels,
        alert_strategy={
            # A verdict of the monitor stands until the next one, for a week at the most.
            "auto_close": "604800s" if kind.source == "monitor" else "1800s",
            "notification_prompts": ["OPENED", "CLOSED"],
        },
        documentation={"content": text, "mime_type": "text/markdown"},
        user_labels=values.labels(args.tags),
        opts=child.merge(pulumi.ResourceOptions(depends_on=needed, hooks=_hooks())),
    )


def _hooks() -> pulumi.ResourceHookBinding:
    # They serve every policy of a run: the engine takes each name once. A process may see several runs.
    run = pulumi.runtime.get_root_resource()
    if run not in _bindings:
        _bindings[run] = pulumi.ResourceHookBinding(
            on_error=[pulumi.ErrorHook("modelberth-vertex-descriptors", wait_for_descriptors)]
        )
    return _bindings[run]


_bindings: WeakKeyDictionary[pulumi.Resource | None, pulumi.ResourceHookBinding] = WeakKeyDictionary()


def wait_for_descriptors(args: pulumi.ErrorHookArgs) -> bool:
    """Try a policy again whose metric was described a moment ago."""
    latest = args.errors[0] if args.errors else ""
    if not _UNKNOWN_METRIC.search(latest) or len(args.errors) > _DESCRIPTION_TRIES:
        return False
    pulumi.log.info(f"{args.name}: waiting for its metric to be known (try {len(args.errors)})")
    time.sleep(_DESCRIPTION_WAIT_SECONDS)
    return True


def _channels(
    name: str, project: pulumi.Output[str], args: MonitoringAlarmsArgs, child: pulumi.ResourceOptions
) -> list[gcp.monitoring.NotificationChannel]:
    """Make a channel for each address. Source: "Create and manage notification channels", Cloud Monitoring."""

    def labels(address: str) -> Mapping[str, str]:
        if address.startswith("mailto:"):
            return {"email_address": address.removeprefix("mailto:")}
        return {"url": address}

    return [
        gcp.monitoring.NotificationChannel(
            f"{name}-subscriber-{number}",
            display_name=physical_name(f"{name}-subscriber-{number}", longest=255),
            project=project,
            type=pulumi.Output.from_input(address).apply(
                lambda text: "email" if text.startswith("mailto:") else "webhook_tokenauth"
            ),
            labels=pulumi.Output.from_input(address).apply(labels),
            user_labels=values.labels(args.tags),
            opts=child,
        )
        for number, address in enumerate(args.notify, 1)
    ]


def _descriptors(
    name: str, project: pulumi.Output[str], args: MonitoringAlarmsArgs, child: pulumi.ResourceOptions
) -> dict[str, pulumi.Resource]:
    """Describe the metrics of the monitor that alarms look at: a policy on a metric that nobody wrote is refused.

    They belong to the project and to all models in it, and so stay when a stack goes: what was measured goes with them.
    """
    return {
        alarm: gcp.monitoring.MetricDescriptor(
            f"{name}-{alarm}-metric",
            project=project,
            type=cloud_monitoring_type(alarm),
            metric_kind="GAUGE",
            value_type="DOUBLE",
            display_name=f"modelberth {alarm}",
            description=ALARMS[alarm].description,
            labels=[{"key": "endpoint", "value_type": "STRING", "description": "The endpoint's name."}],
            opts=child.merge(pulumi.ResourceOptions(retain_on_delete=True)),
        )
        for alarm in args.rules
        if ALARMS[alarm].source == "monitor" and not ALARMS[alarm].silence_breaches
    }


def _topic(
    component: pulumi.ComponentResource, name: str, place: pulumi.Output[Place], args: MonitoringAlarmsArgs
) -> gcp.monitoring.NotificationChannel:
    """Make the topic to which an alarm publishes, so that programs can listen; it bears the alarm's name.

    Source: "Create and manage notification channels", Pub/Sub, for the agent that publishes.
    """
    child = pulumi.ResourceOptions(parent=component)
    project = place.apply(lambda at: at.project)
    topic = gcp.pubsub.Topic(
        f"{name}-topic",
        name=physical_name(name, longest=255),
        project=project,
        kms_key_name=args.encryption_key,
        labels=values.labels(args.tags),
        opts=child,
    )
    number = project_number(component, place)
    publisher = gcp.pubsub.TopicIAMMember(
        f"{name}-publisher",
        project=project,
        topic=topic.name,
        role="roles/pubsub.publisher",
        member=pulumi.Output.concat(
            "serviceAccount:service-", number, "@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
        ),
        opts=child,
    )
    return gcp.monitoring.NotificationChannel(
        f"{name}-channel",
        display_name=physical_name(name, longest=255),
        project=project,
        type="pubsub",
        labels={"topic": topic.id},
        user_labels=values.labels(args.tags),
        opts=child.merge(pulumi.ResourceOptions(depends_on=[publisher])),
    )


def _monitor(
    component: pulumi.ComponentResource,
    name: str,
    args: MonitoringAlarmsArgs,
    package: Package,
    place: pulumi.Output[Place],
) -> recurring.Recurring:
    """Make the job that compares captured traffic with the training data, by schedule."""
    child = pulumi.ResourceOptions(parent=component)
    options = MonitorOptions.model_validate(args.monitor.options.get(args.platform, {}))
    bucket = values.bucket_name(args.bucket)
    physical = physical_name(name)
    account = rights.service_account(f"{name}-job", place, f"Watches the traffic of {args.endpoint_name}.", child)
    read = [f"capture/{args.endpoint_name}/", package_prefix(package)]
    read += [f"labels/{args.model}/"] if args.needs_labels else []
    needed: list[pulumi.Resource] = [
        rights.on_objects(f"{name}-reads", bucket, account, rights.READ, read, child),
        rights.on_objects(f"{name}-writes", bucket, account, rights.WRITE, [f"monitoring/{args.model}/"], child),
        rights.on_project(f"{name}-measures", place, account, "roles/monitoring.metricWriter", child),
    ]
    address = pulumi.Output.concat("gs://", bucket)
    environment = monitor_environment(
        args,
        address,
        pulumi.Output.concat(address, "/", package_prefix(package).rstrip("/")),
        pulumi.Output.concat("cloudmonitoring:", place.apply(lambda at: at.project)),
    )

    def job(known: dict[str, Any]) -> Job:
        return Job(
            physical,
            known["image"],
            ["job", "monitor"],
            known["environment"],
            options.machine_type or smallest(_MONITOR_COMPUTE, "job"),
            options.disk_gb,
            _MONITOR_TIMEOUT,
            known["account"],
            values.labels(args.tags),
            known["key"],
        )

    wanted = pulumi.Output.all(
        image=args.image,
        environment=pulumi.Output.all(**environment),
        account=account.email,
        key=args.encryption_key,
    ).apply(job)
    return recurring.provision(
        component,
        name,
        args,
        place,
        options.scheduler_location,
        account,
        wanted,
        needed,
        schedule=args.monitor.schedule,
        timezone="UTC",
        description=f"Compares the traffic of {args.endpoint_name} with the data that {args.model} was trained on.",
    )
