"""Prometheus alerting rules on an endpoint and on its captured traffic, routes to people, a Grafana dashboard, and the
monitor's CronJob.

What replicas measure of themselves and what the monitor job pushes: docs/metrics.md. An alarm has the same name,
threshold and meaning as on every platform.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import ValidationError

from model_packaging.package import Package

from ...args import MonitoringAlarmsArgs
from ...errors import problems_of
from ...gaps import refusal
from ...jobs import monitor_environment
from ...names import physical_name
from ...outputs import AlarmsOutputs
from ...spec import AlarmRule, ComputeSpec, Spec
from ...vocabulary import ALARMS
from . import dashboards, objects, promql, recurring, rights, store, values, variants
from .objects import StoreOptions

_COMPONENT = "alarms"
_MONITOR_COMPUTE = ComputeSpec(cpu=0.5, memory=2 * 1024**3)
_MONITOR_TIMEOUT = timedelta(hours=1)


class Options(StoreOptions):
    """`alarms.kubernetes`."""

    rules: Literal["operator", "files"] = "operator"
    """How Prometheus gets the rules: `operator` for the objects of the Prometheus Operator (PrometheusRule, PodMonitor,
    AlertmanagerConfig), `files` for ConfigMaps with rule files, the label modelberth/rules and a route for
    Alertmanager."""
    grafana_url: values.Url | None = None
    """Grafana's address, for the output `dashboard_url`."""


class MonitorOptions(Spec):
    """`alarms.monitor.kubernetes`: nothing beyond the neutral specification."""


def check(args: MonitoringAlarmsArgs, where: str) -> list[str]:
    """Return what Prometheus can't do with these arguments."""
    problems = objects.check_tags(args, where)
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return problems + problems_of(error, Options, f"{where}.{args.platform}")
    try:
        MonitorOptions.model_validate(args.monitor.options.get(args.platform, {}))
    except ValidationError as error:
        problems += problems_of(error, MonitorOptions, f"{where}.monitor.{args.platform}")
    if "disk_utilization" in args.rules:
        problems.append(refusal(args.platform, "disk_utilization", f"{where}.disk_utilization"))
    runs = args.rules.get("monitor.runs")
    if runs is not None and runs.threshold > 1:
        problems.append(refusal(args.platform, "several_runs", f"{where}.monitor.runs"))
    if args.watches_traffic and options.pushgateway_url is None:
        names = ", ".join(sorted(name for name in args.rules if ALARMS[name].source == "monitor"))
        problems.append(
            f"{where}.{args.platform}.pushgateway_url: is missing: a job that ends can't be scraped, and the alarms "
            f"{names} need its numbers; write the address of a Prometheus Pushgateway as pods reach it"
        )
    return problems


def provision(component: pulumi.ComponentResource, name: str, args: MonitoringAlarmsArgs) -> AlarmsOutputs:
    """Make the rules, the routes, the dashboard, and the monitor where traffic is watched."""
    options = Options.model_validate(args.options.get(args.platform, {}))
    child = pulumi.ResourceOptions(parent=component)
    names = {alarm: physical_name(f"{name}-{alarm}", longest=255) for alarm in args.rules}
    rules = [rule(alarm, names[alarm], one, args) for alarm, one in args.rules.items()]
    groups = [{"name": args.endpoint_name, "rules": rules}] if rules else []
    physical = physical_name(name)
    if options.rules == "operator":
        made = _objects_of_the_operator(name, physical, groups, options, args, child)
    else:
        made = _files(name, physical, groups, options, args, child)
    dashboard = kubernetes.core.v1.ConfigMap(
        f"{name}-dashboard",
        metadata=objects.labelled(
            objects.metadata(args, options, f"{physical}-dashboard"[:253], _COMPONENT, physical),
            # What the sidecar of Grafana's own chart looks for.
            {"grafana_dashboard": "1"},
        ),
        data={f"{physical}.json": json.dumps(dashboards.dashboard(physical, names, args), indent=1, sort_keys=True)},
        opts=child,
    )
    if args.watches_traffic and isinstance(args.package, Package):
        _monitor(component, f"{name}-monitor", args, args.package, options)
    ready = pulumi.Output.all(*(one.id for one in made))
    address = f"{(options.grafana_url or '').rstrip('/')}/d/{dashboards.identifier(physical)}"
    return AlarmsOutputs(
        names={alarm: ready.apply(lambda _, name=full: name) for alarm, full in names.items()},
        dashboard_url=dashboard.id.apply(lambda _: address),
    )


def rule(alarm: str, name: str, rule: AlarmRule, args: MonitoringAlarmsArgs) -> dict[str, Any]:
    """Return an alerting rule. Source: Prometheus documentation, "Alerting rules".

    An alarm fires when its value lies beyond the threshold in as many periods in a row as were asked for: the
    expression looks back over one of them, and must hold for the others.
    """
    kind = ALARMS[alarm]
    sign = ">" if kind.side == "above" else "<"
    held = rule.period * (rule.periods - 1)
    value = promql.expression(alarm, kind, rule.period, args.endpoint_name, args.endpoint)
    return {
        "alert": name,
        "expr": f"{value} {sign} {rule.threshold:g}",
        "for": f"{round(held.total_seconds())}s",
        "labels": {"severity": "critical" if kind.source == "endpoint" else "warning", "alarm": alarm}
        | {"endpoint": args.endpoint_name, "model": args.model},
        "annotations": {
            "summary": f"{args.endpoint_name}: {kind.description} {kind.side} {kind.format(rule.threshold)}",
            "description": kind.action,
        },
    }


def _objects_of_the_operator(
    name: str,
    physical: str,
    groups: list[dict[str, Any]],
    options: Options,
    args: MonitoringAlarmsArgs,
    child: pulumi.ResourceOptions,
) -> list[pulumi.CustomResource]:
    """Make the Prometheus Operator's objects. Source: its API reference, monitoring.coreos.com/v1 and v1alpha1."""
    described = objects.metadata(args, options, physical, _COMPONENT, physical)
    made: list[pulumi.CustomResource] = [
        kubernetes.apiextensions.CustomResource(
            f"{name}-rules",
            api_version="monitoring.coreos.com/v1",
            kind="PrometheusRule",
            metadata=described,
            spec={"groups": groups},
            opts=child,
        ),
        kubernetes.apiextensions.CustomResource(
            f"{name}-scrape",
            api_version="monitoring.coreos.com/v1",
            kind="PodMonitor",
            metadata=described,
            spec={
                "selector": _pods(args),
                # A rate needs two looks within the shortest period of an alarm, a minute.
                "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
                "podTargetLabels": [objects.INSTANCE],
            },
            opts=child,
        ),
    ]
    if args.notify:
        made.append(
            kubernetes.apiextensions.CustomResource(
                f"{name}-route",
                api_version="monitoring.coreos.com/v1alpha1",
                kind="AlertmanagerConfig",
                metadata=described,
                spec=pulumi.Output.all(*args.notify).apply(
                    lambda addresses: {
                        "route": {
                            "receiver": physical,
                            "matchers": [{"name": "endpoint", "value": args.endpoint_name, "matchType": "="}],
                            **{_camel(key): value for key, value in _ROUTE.items()},
                        },
                        "receivers": [
                            {
                                "name": physical,
                                "emailConfigs": [{"to": one, "sendResolved": True} for one in _mail(addresses)],
                                "webhookConfigs": [{"url": one, "sendResolved": True} for one in _web(addresses)],
                            }
                        ],
                    }
                ),
                opts=child,
            )
        )
    return made


def _pods(args: MonitoringAlarmsArgs) -> dict[str, Any]:
    """Return the selector of an endpoint's pods."""
    instances = variants.measured(args.endpoint_name, args.endpoint)
    labels = objects.labels("endpoint", args.endpoint_name)
    if len(instances) == 1:
        return {"matchLabels": labels}
    del labels[objects.INSTANCE]
    chosen = {"key": objects.INSTANCE, "operator": "In", "values": instances}
    return {"matchLabels": labels, "matchExpressions": [chosen]}


def _files(
    name: str,
    physical: str,
    groups: list[dict[str, Any]],
    options: Options,
    args: MonitoringAlarmsArgs,
    child: pulumi.ResourceOptions,
) -> list[pulumi.CustomResource]:
    """Make ConfigMaps with a rule file and a route, for a Prometheus without its operator. JSON is YAML."""

    def config_map(
        resource: str, suffix: str, label: str, data: Mapping[str, pulumi.Input[str]]
    ) -> kubernetes.core.v1.ConfigMap:
        described = objects.metadata(args, options, f"{physical}-{suffix}"[:253], _COMPONENT, physical)
        return kubernetes.core.v1.ConfigMap(
            f"{name}-{resource}",
            metadata=objects.labelled(described, {"modelberth/rules": label}),
            data=data,
            opts=child,
        )

    made: list[pulumi.CustomResource] = [
        config_map("rules", "rules", "prometheus", {f"{physical}.json": json.dumps({"groups": groups}, indent=1)})
    ]
    if args.notify:
        route = pulumi.Output.json_dumps(
            pulumi.Output.all(*args.notify).apply(
                lambda addresses: {
                    "route": {"receiver": physical, "matchers": [f'endpoint="{args.endpoint_name}"'], **_ROUTE},
                    "receiver": {
                        "name": physical,
                        "email_configs": [{"to": one, "send_resolved": True} for one in _mail(addresses)],
                        "webhook_configs": [{"url": one, "send_resolved": True} for one in _web(addresses)],
                    },
                }
            )
        )
        made.append(config_map("route", "route", "alertmanager", {f"{physical}.json": route}))
    return made


# One message for all that begins to fire at once, told again only after a day.
_ROUTE = {"group_by": ["endpoint"], "group_wait": "10s", "group_interval": "1m", "repeat_interval": "24h"}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _mail(addresses: Any) -> list[str]:
    return [one.removeprefix("mailto:") for one in addresses if one.startswith("mailto:")]


def _web(addresses: Any) -> list[str]:
    return [one for one in addresses if not one.startswith("mailto:")]


def _monitor(
    component: pulumi.ComponentResource,
    name: str,
    args: MonitoringAlarmsArgs,
    package: Package,
    options: Options,
) -> None:
    """Make the CronJob that compares captured traffic with the training data."""
    child = pulumi.ResourceOptions(parent=component)
    physical = physical_name(name, longest=recurring.LONGEST_NAME)
    described = objects.metadata(args, options, physical, "monitor", physical)
    account = rights.service_account(name, described, child)
    secret = options.bucket_secret or store.secret_name(args.bucket)
    access = store.reach(f"{name}-store", component, objects.settled(account.metadata, "namespace"), secret)
    assert options.pushgateway_url is not None
    recurring.cron_job(
        name,
        args,
        options,
        physical,
        "monitor",
        account,
        schedule=args.monitor.schedule,
        timezone="UTC",
        timeout=_MONITOR_TIMEOUT,
        image=args.image,
        arguments=["job", "monitor"],
        environment=monitor_environment(
            args,
            args.bucket,
            store.uploaded_package(args.bucket, access, package),
            f"prometheus:{options.pushgateway_url}",
        ),
        compute=_MONITOR_COMPUTE,
        reaches=[options.store_port],
        servers=[options.pushgateway_url],
        secret=secret,
        opts=child,
    )
