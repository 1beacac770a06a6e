"""CloudWatch alarms on an endpoint and on its captured traffic, an SNS topic, a dashboard and the monitor's pipeline.

What SageMaker measures: "Monitor Amazon SageMaker AI with Amazon CloudWatch", SageMaker Developer Guide. What the
monitor job measures stands in the namespace `modelberth`, under the alarm's own name.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pulumi
import pulumi_aws as aws
from pydantic import Field, ValidationError

from model_packaging.package import Package

from ...args import MonitoringAlarmsArgs
from ...errors import problems_of
from ...jobs import monitor_environment
from ...names import physical_name
from ...outputs import AlarmsOutputs
from ...spec import PRIMARY, AlarmRule, ComputeSpec, Spec
from ...uploads import package_prefix
from ...vocabulary import ALARMS, AlarmKind
from . import eventbridge, machines, pipelines, policies, recurring
from .dashboards import body, console_url
from .endpoint import machine_of
from .packages import check_bucket
from .policies import Statement

NAMESPACE = "modelberth"
"""Where the monitor job's metrics are kept."""

_MONITOR_COMPUTE = ComputeSpec(cpu=2, memory=8 * 1024**3)
_MOST_DAYS = timedelta(days=7)  # PutMetricAlarm, Period × EvaluationPeriods, CloudWatch API Reference.


class Options(Spec):
    """`alarms.sagemaker`: what only SageMaker needs to know."""

    processors: int | None = Field(default=None, ge=1)
    """The processors of one replica, for cpu_utilization on a machine that is not in our table."""


class MonitorOptions(Spec):
    """`alarms.monitor.sagemaker`: nothing beyond the neutral specification."""


@dataclass(frozen=True)
class Measure:
    """Where an alarm's number comes from.

    Attributes:
        namespace: CloudWatch's namespace.
        metric: The metric's name.
        statistic: How the values of one period become one.
        unit: How many of the metric's units are one of the alarm's own.
        per_variant: Whether the metric is kept for each variant, so that the worst of them counts.
        silence: What no value at all means, in CloudWatch's words.
    """

    namespace: str
    metric: str
    statistic: str
    unit: float = 1.0
    per_variant: bool = True
    silence: str = "notBreaching"


_INVOCATIONS, _MACHINES = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
_ERRORS, _ALL = "Invocation5XXErrors", "Invocations"


def measure(name: str, kind: AlarmKind, processors: int | None) -> Measure:
    """Return where the number of an alarm comes from."""
    if name == "monitor.runs":
        return Measure(NAMESPACE, name, "Sum", per_variant=False, silence="breaching")
    if kind.source == "monitor":
        # Of several runs within a period the worst counts. Between two runs there are no numbers, and the last verdict
        # stands.
        worst = "Maximum" if kind.side == "above" else "Minimum"
        return Measure(NAMESPACE, name, worst, per_variant=False, silence="ignore")
    match name:
        case "latency_p95" | "latency_p99":
            return Measure(_INVOCATIONS, "ModelLatency", name.rpartition("_")[2], unit=1e6)
        case "error_rate":
            return Measure(_INVOCATIONS, _ERRORS, "Sum")
        case "invocations":
            return Measure(_INVOCATIONS, _ALL, "Sum", silence="breaching")
        case "cpu_utilization":
            # 100 for each processor, so that four fully used ones are 400.
            return Measure(_MACHINES, "CPUUtilization", "Average", unit=100.0 * (processors or 1), silence="missing")
        case "memory_utilization":
            return Measure(_MACHINES, "MemoryUtilization", "Average", unit=100.0, silence="missing")
        case "disk_utilization":
            return Measure(_MACHINES, "DiskUtilization", "Average", unit=100.0, silence="missing")
        case _:
            raise KeyError(name)


def _processors(args: MonitoringAlarmsArgs) -> int | None:
    options = Options.model_validate(args.options.get(args.platform, {}))
    return options.processors or machines.processors(machine_of(args.endpoint, args.platform))


def check(args: MonitoringAlarmsArgs, where: str) -> list[str]:
    """Return what CloudWatch can't do with these arguments."""
    try:
        Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return problems_of(error, Options, f"{where}.{args.platform}")
    problems = policies.check_key(args.encryption_key, f"{where}.encryption_key")
    problems += check_bucket(args.bucket, f"{where}.bucket")
    if "cpu_utilization" in args.rules:
        try:
            machine = machine_of(args.endpoint, args.platform)
        except (ValidationError, ValueError):
            machine = None  # the endpoint's own check says what is wrong with it
        if machine is not None and _processors(args) is None:
            problems.append(
                f"{where}.cpu_utilization: how many processors {machine} has is not known here, and CloudWatch counts "
                f"100% for each: set alarms.{args.platform}.processors"
            )
    problems += eventbridge.check_schedule(args.monitor.schedule, args.platform, f"{where}.monitor.schedule")
    try:
        MonitorOptions.model_validate(args.monitor.options.get(args.platform, {}))
    except ValidationError as error:
        problems += problems_of(error, MonitorOptions, f"{where}.monitor.{args.platform}")
    for name, rule in args.rules.items():
        if rule.period * rule.periods > _MOST_DAYS or (
            rule.period * rule.periods > timedelta(days=1) and rule.period < timedelta(hours=1)
        ):
            problems.append(
                f"{where}.{name}.periods: {rule.periods} periods are longer than CloudWatch looks back: a day, or a "
                "week with periods of an hour or more"
            )
    return problems


def provision(component: pulumi.ComponentResource, name: str, args: MonitoringAlarmsArgs) -> AlarmsOutputs:
    """Make the topic with its subscribers, the alarms, the dashboard, and the monitor where traffic is watched."""
    child = pulumi.ResourceOptions(parent=component)
    place = recurring.here(component)
    topic = _topic(name, args, place, child)
    variants = list(args.endpoint.variants) or [PRIMARY]
    processors = _processors(args)
    alarms: dict[str, aws.cloudwatch.MetricAlarm] = {}
    for alarm, rule in args.rules.items():
        kind = ALARMS[alarm]
        found = measure(alarm, kind, processors)
        alarms[alarm] = aws.cloudwatch.MetricAlarm(
            f"{name}-{alarm}",
            name=physical_name(f"{name}-{alarm}", longest=255),
            alarm_description=f"{args.endpoint_name}: {kind.description} {kind.side} {kind.format(rule.threshold)}. "
            f"{kind.action}",
            comparison_operator="GreaterThanThreshold" if kind.side == "above" else "LessThanThreshold",
            threshold=rule.threshold * found.unit,
            evaluation_periods=rule.periods,
            datapoints_to_alarm=rule.periods,
            treat_missing_data=found.silence,
            alarm_actions=[topic.arn],
            ok_actions=[topic.arn],
            tags=args.tags,
            opts=child,
            **_data(alarm, found, rule, args.endpoint_name, variants),
        )
    dashboard = aws.cloudwatch.Dashboard(
        f"{name}-dashboard",
        dashboard_name=physical_name(name, longest=255),
        dashboard_body=pulumi.Output.json_dumps(
            pulumi.Output.all(
                region=place.apply(lambda at: at.region), **{key: one.arn for key, one in alarms.items()}
            ).apply(
                lambda known: body(
                    args.endpoint_name,
                    variants,
                    known["region"],
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
        names={alarm: one.name for alarm, one in alarms.items()},
        dashboard_url=pulumi.Output.all(place, dashboard.dashboard_name).apply(lambda both: console_url(*both)),
    )


def _data(alarm: str, found: Measure, rule: AlarmRule, endpoint: str, variants: list[str]) -> dict[str, Any]:
    """Return the part of an alarm that says what is measured: one metric, or an expression over several."""
    period = round(rule.period.total_seconds())
    if alarm != "error_rate" and (len(variants) == 1 or not found.per_variant):
        dimensions = {"EndpointName": endpoint} | ({"VariantName": variants[0]} if found.per_variant else {})
        statistic = "extended_statistic" if found.statistic.startswith("p") else "statistic"
        return {
            "namespace": found.namespace,
            "metric_name": found.metric,
            "dimensions": dimensions,
            "period": period,
            statistic: found.statistic,
        }

    def query(identifier: str, metric: str, variant: str) -> dict[str, Any]:
        return {
            "id": identifier,
            "metric": {
                "namespace": found.namespace,
                "metric_name": metric,
                "dimensions": {"EndpointName": endpoint, "VariantName": variant},
                "period": period,
                "stat": found.statistic,
            },
        }

    numbered = list(enumerate(variants, 1))
    queries = [query(f"m{number}", found.metric, variant) for number, variant in numbered]
    together = ", ".join(f"m{number}" for number, _ in numbered)
    if alarm == "error_rate":
        queries += [query(f"n{number}", _ALL, variant) for number, variant in numbered]
        every = ", ".join(f"n{number}" for number, _ in numbered)
        expression = f"SUM([{together}]) / SUM([{every}])"
    elif found.statistic == "Sum":
        expression = f"SUM([{together}])"
    else:
        expression = f"MAX([{together}])"
    answer = {"id": "value", "expression": expression, "label": alarm, "return_data": True}
    return {"metric_queries": [answer, *queries]}


def _topic(
    name: str, args: MonitoringAlarmsArgs, place: pulumi.Output[policies.Place], child: pulumi.ResourceOptions
) -> aws.sns.Topic:
    topic = aws.sns.Topic(
        f"{name}-topic",
        name=physical_name(name, longest=256),
        # CloudWatch can't publish to a topic under SNS's own key (SNS Developer Guide, "Key management"): a customer's
        # key, whose policy lets CloudWatch use it, or none.
        kms_master_key_id=args.encryption_key,
        tags=args.tags,
        opts=child,
    )
    aws.sns.TopicPolicy(
        f"{name}-topic-policy",
        arn=topic.arn,
        policy=pulumi.Output.json_dumps(
            pulumi.Output.all(topic.arn, place).apply(
                lambda both: policies.document(
                    publish_alarms(both[0], both[1]), policies.refuse_plain_text("sns:Publish", both[0])
                )
            )
        ),
        opts=child,
    )
    for number, address in enumerate(args.notify, 1):
        known = pulumi.Output.from_input(address)
        aws.sns.TopicSubscription(
            f"{name}-subscriber-{number}",
            topic=topic.arn,
            protocol=known.apply(_protocol),
            endpoint=known.apply(lambda text: text.removeprefix("mailto:")),
            opts=child,
        )
    return topic


def _protocol(address: str) -> str:
    scheme = address.partition(":")[0]
    return {"mailto": "email"}.get(scheme, scheme)


def publish_alarms(topic_arn: str, place: policies.Place) -> list[Statement]:
    """Let CloudWatch publish to a topic, for alarms of this account and Region only.

    Source: SNS Developer Guide, "Allow CloudWatch alarms in an AWS account to publish to a topic".
    """
    return [
        {
            "Sid": "PublishAlarms",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": topic_arn,
            "Condition": {
                "StringEquals": {"aws:SourceAccount": place.account},
                "ArnLike": {"aws:SourceArn": place.arn("cloudwatch", "alarm:*")},
            },
        }
    ]


def _monitor(
    component: pulumi.ComponentResource,
    name: str,
    args: MonitoringAlarmsArgs,
    package: Package,
    place: pulumi.Output[policies.Place],
) -> recurring.Recurring:
    """Make the pipeline that compares captured traffic with the training data, by schedule."""
    bucket = recurring.bucket_name(args.bucket)
    job = recurring.job_role(
        component,
        f"{name}-job",
        args,
        place,
        args.image,
        pulumi.Output.all(place, bucket).apply(
            lambda both: watch(
                both[0].bucket(both[1]), args.endpoint_name, args.model, package, labels=args.needs_labels
            )
        ),
    )
    bucket_address = pulumi.Output.concat("s3://", bucket)
    environment = monitor_environment(
        args,
        bucket_address,
        pulumi.Output.concat(bucket_address, f"/{package_prefix(package).rstrip('/')}"),
        "cloudwatch:modelberth",
    )
    definition = pulumi.Output.all(
        environment=pulumi.Output.all(**environment), image=args.image, role=job[0].arn, key=args.encryption_key
    ).apply(
        lambda known: pipelines.monitor(
            known["environment"],
            pipelines.Machine(
                machines.smallest(_MONITOR_COMPUTE, "processing"), 30, known["image"], known["role"], known["key"]
            ),
        )
    )
    return recurring.provision(
        component,
        name,
        args,
        place,
        job,
        definition,
        f"Compares the traffic of {args.endpoint_name} with the data that {args.model} was trained on.",
        recurring.Timing(args.monitor.schedule),
    )


def watch(bucket_arn: str, endpoint: str, model: str, package: Package, *, labels: bool = False) -> list[Statement]:
    """Let the monitor read captured traffic and the package, write its reports and emit its metrics; where labels are
    looked for, read them too, and what an earlier run kept of them."""
    beside = [f"labels/{model}/", f"monitoring/{model}/labels/"] if labels else []
    return [
        *policies.bucket_read(bucket_arn, [f"capture/{endpoint}/", package_prefix(package), *beside]),
        *policies.bucket_write(bucket_arn, [f"monitoring/{model}/"]),
        *policies.metrics_write(NAMESPACE, "/aws/sagemaker/ProcessingJobs"),
    ]
