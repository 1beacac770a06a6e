"""A CronJob that trains again on a schedule, and when the drift alarm fires if that is asked for."""

import json
from datetime import timedelta

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import ValidationError

from model_packaging.package import Package

from ...args import RetrainingScheduleArgs
from ...errors import problems_of
from ...gaps import refusal
from ...jobs import retrain_settings
from ...names import physical_name
from ...outputs import RetrainingOutputs
from ...spec import ComputeSpec
from ...uploads import check_files, uploaded
from . import objects, policies, recurring, rights, store
from .objects import StoreOptions

_COMPONENT = "retraining"
_LOOK = "* * * * *"


class Options(StoreOptions):
    """`retraining.kubernetes`."""


def check(args: RetrainingScheduleArgs, where: str) -> list[str]:
    """Return what a CronJob can't do with these arguments."""
    problems = objects.check_tags(args, where)
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return problems + problems_of(error, Options, f"{where}.{args.platform}")
    if args.flexible_window:
        over = "flexible_window_over_a_day" if args.flexible_window > timedelta(days=1) else "flexible_window"
        problems.append(refusal(args.platform, over, f"{where}.flexible_window"))
    if args.timeout < timedelta(seconds=1) or args.timeout % timedelta(seconds=1):
        problems.append(f"{where}.timeout: Kubernetes counts in whole seconds, at least 1s")
    if "drift" in args.on and options.prometheus_url is None:
        problems.append(
            f"{where}.{args.platform}.prometheus_url: is missing: on has drift, and it is Prometheus that knows when "
            "the alarm fires; write its address as pods reach it"
        )
    return problems + check_files(args, where)


def provision(component: pulumi.ComponentResource, name: str, args: RetrainingScheduleArgs) -> RetrainingOutputs:
    """Upload sources and data, and make the CronJob and what else starts it."""
    options = Options.model_validate(args.options.get(args.platform, {}))
    child = pulumi.ResourceOptions(parent=component)
    physical = physical_name(name, longest=recurring.LONGEST_NAME)
    described = objects.metadata(args, options, physical, _COMPONENT, physical)
    account = rights.service_account(name, described, child)
    namespace = objects.settled(account.metadata, "namespace")
    secret = options.bucket_secret or store.secret_name(args.bucket)
    access = store.reach(f"{name}-store", component, namespace, secret)
    source = store.uploaded_files(args.bucket, access, uploaded(f"sources/{args.model}", args.source, args.data))
    data = (
        store.uploaded_files(args.bucket, access, uploaded(f"data/{args.model}", args.data))
        if args.data is not None
        else None
    )
    champion = (
        store.uploaded_package(args.bucket, access, args.champion) if isinstance(args.champion, Package) else None
    )
    document = pulumi.Output.all(bucket=args.bucket, source=source, data=data, champion=champion).apply(
        lambda known: json.dumps(retrain_settings(args, **known), sort_keys=True)
    )
    made = recurring.cron_job(
        name,
        args,
        options,
        physical,
        _COMPONENT,
        account,
        schedule=args.schedule,
        timezone=args.timezone,
        timeout=args.timeout + timedelta(hours=1),
        image=args.image,
        arguments=["retrain"],
        environment={"MODELBERTH_RETRAIN": document, "MODELBERTH_WORK": "/tmp/work"},
        compute=args.compute,
        reaches=[options.store_port],
        secret=secret,
        opts=child,
    )
    if "drift" in args.on and args.drift_alarm is not None:
        _start_on_drift(component, f"{name}-drift", args, options, made)
    job = objects.settled(made.metadata, "name")
    return RetrainingOutputs(schedule_name=job, job_name=job)


def _start_on_drift(
    component: pulumi.ComponentResource,
    name: str,
    args: RetrainingScheduleArgs,
    options: Options,
    started: kubernetes.batch.v1.CronJob,
) -> None:
    """Look every minute whether the alarm fires, and start a run once for each time that it begins to."""
    child = pulumi.ResourceOptions(parent=component)
    physical = physical_name(name, longest=recurring.LONGEST_NAME)
    described = objects.metadata(args, options, physical, "drift", physical)
    account = rights.service_account(name, described, child)
    job = objects.settled(started.metadata, "name")
    rights.grant(
        name,
        described,
        account,
        [
            {"api_groups": ["batch"], "resources": ["cronjobs"], "resource_names": [job], "verbs": ["get"]},
            {"api_groups": ["batch"], "resources": ["jobs"], "verbs": ["create"]},
        ],
        child,
    )
    assert options.prometheus_url is not None and args.drift_alarm is not None
    recurring.cron_job(
        name,
        args,
        options,
        physical,
        "drift",
        account,
        schedule=_LOOK,
        timezone="UTC",
        timeout=timedelta(minutes=2),
        image=args.image,
        arguments=["start-on-alarm"],
        environment={
            "MODELBERTH_ALARM": args.drift_alarm,
            "MODELBERTH_CRON_JOB": job,
            "MODELBERTH_PROMETHEUS": options.prometheus_url,
        },
        compute=ComputeSpec(cpu=0.1, memory=128 * 1024**2),
        reaches=policies.API_SERVER_PORTS,
        servers=[options.prometheus_url],
        talks_to_cluster=True,
        opts=child,
    )
