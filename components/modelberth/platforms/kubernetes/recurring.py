"""A CronJob: what the monitor and the retraining have in common."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pulumi
import pulumi_kubernetes as kubernetes

from ...args import CommonArgs
from ...spec import ComputeSpec
from . import objects, pods, policies, store
from .objects import NamespaceOptions

_HISTORY = 3
# A run that could not start within this time, because the control plane was down, is left out: the next one comes.
_LATEST_SECONDS = 3600
LONGEST_NAME = 52
"""Characters of a CronJob's name. Source: Kubernetes documentation, "CronJob"."""


def cron_job(
    name: str,
    args: CommonArgs,
    options: NamespaceOptions,
    physical: str,
    component: str,
    account: kubernetes.core.v1.ServiceAccount,
    *,
    schedule: str,
    timezone: str,
    timeout: timedelta,
    image: pulumi.Input[str],
    arguments: Sequence[str],
    environment: Mapping[str, pulumi.Input[str]],
    compute: ComputeSpec,
    reaches: Sequence[int | None],
    opts: pulumi.ResourceOptions,
    servers: Sequence[str | None] = (),
    secret: pulumi.Input[str] | None = None,
    talks_to_cluster: bool = False,
    retries: int = 0,
) -> kubernetes.batch.v1.CronJob:
    """Make a CronJob that runs the command `modelberth`, never twice at the same time.

    Args:
        name: The resource's name.
        args: The component's arguments.
        options: Where it is.
        physical: The CronJob's name.
        component: What it is for.
        account: Under which it runs.
        schedule: The five fields of cron.
        timezone: In which they are read.
        timeout: When a run is ended.
        image: What runs.
        arguments: What follows `modelberth`.
        environment: Its variables.
        compute: What it needs.
        reaches: The ports that it opens connections to; None for any.
        opts: The resource's options.
        servers: The addresses of servers that it opens connections to, by HTTP.
        secret: The Secret by which it reaches the bucket, if it does.
        talks_to_cluster: Whether it gets a token for the cluster's API.
        retries: How often a run that failed is begun again.
    """
    policies.allow(f"{name}-traffic", args, options, component, physical, opts, reaches=reaches, servers=servers)
    run = pods.container(
        component,
        image,
        arguments,
        compute,
        environment=environment,
        # The run's own name, for its record.
        fields={"MODELBERTH_EXECUTION": "metadata.labels['batch.kubernetes.io/job-name']"},
        secret=secret,
        mounts=store.MOUNT if secret is not None else None,
    )
    spec = pods.pod(
        objects.settled(account.metadata, "name"),
        [run],
        volumes=[store.volume(secret)] if secret is not None else [],
        talks_to_cluster=talks_to_cluster,
    )
    spec["restart_policy"] = "Never"
    labels = objects.labels(component, physical)
    return kubernetes.batch.v1.CronJob(
        name,
        metadata=objects.metadata(args, options, physical, component, physical),
        spec={
            "schedule": schedule,
            "time_zone": timezone,
            "concurrency_policy": "Forbid",
            "starting_deadline_seconds": _LATEST_SECONDS,
            "successful_jobs_history_limit": _HISTORY,
            "failed_jobs_history_limit": _HISTORY,
            "job_template": {
                "metadata": {"labels": labels},
                "spec": {
                    "backoff_limit": retries,
                    "active_deadline_seconds": round(timeout.total_seconds()),
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
            },
        },
        opts=opts,
    )
