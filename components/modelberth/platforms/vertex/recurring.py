"""A custom job that Cloud Scheduler starts: what the monitor and the retraining have in common."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...args import CommonArgs
from ...names import physical_name
from . import jobs, rights, values
from .place import Place

START = ["aiplatform.customJobs.create"]
"""What whoever starts a run may do."""


@dataclass(frozen=True)
class Recurring:
    """What was made: the schedule, the account that starts runs, the right to do so, and the run's definition."""

    schedule: gcp.cloudscheduler.Job
    role: gcp.projects.IAMCustomRole
    job: pulumi.Output[jobs.Json]
    address: pulumi.Output[str]


def provision(
    component: pulumi.ComponentResource,
    name: str,
    args: CommonArgs,
    place: pulumi.Output[Place],
    scheduler_location: str | None,
    account: gcp.serviceaccount.Account,
    job: pulumi.Output[jobs.Job],
    needed: list[pulumi.Resource],
    *,
    schedule: str,
    timezone: str,
    description: str,
) -> Recurring:
    """Make the schedule, and the account and the role by which it starts runs and does nothing else.

    Args:
        component: The parent.
        name: What the names begin with.
        args: The component's arguments.
        place: Where all is.
        scheduler_location: Where the schedule is, if elsewhere.
        account: What the runs run as.
        job: What runs.
        needed: What a run needs.
        schedule: The five fields of cron.
        timezone: In which they are read.
        description: What it is, for people.
    """
    child = pulumi.ResourceOptions(parent=component)
    project = place.apply(lambda at: at.project)
    starter = rights.service_account(f"{name}-schedule", place, f"Starts {physical_name(name)} by schedule.", child)
    role = gcp.projects.IAMCustomRole(
        f"{name}-start",
        role_id=values.role_id(f"{name}-start"),
        project=project,
        title=physical_name(f"{name}-start", longest=100),
        description="Starts custom jobs of Vertex AI, and nothing else.",
        permissions=START,
        opts=child,
    )
    may_start = may_run(f"{name}-schedule", place, starter, account, role, child)
    address = place.apply(lambda at: f"https://{at.location}-aiplatform.googleapis.com/v1/{at.parent}/customJobs")
    body = job.apply(jobs.body)
    made = gcp.cloudscheduler.Job(
        f"{name}-schedule",
        name=physical_name(name, longest=500),
        project=project,
        region=scheduler_location or place.apply(lambda at: at.location),
        description=description[:500],
        schedule=schedule,
        time_zone=timezone,
        attempt_deadline="180s",
        retry_config={"retry_count": 3, "max_retry_duration": "3600s", "min_backoff_duration": "30s"},
        http_target={
            "uri": address,
            "http_method": "POST",
            "headers": {"Content-Type": "application/json"},
            "body": body.apply(jobs.encoded),
            "oauth_token": {
                "service_account_email": starter.email,
                "scope": "https://www.googleapis.com/auth/cloud-platform",
            },
        },
        opts=child.merge(pulumi.ResourceOptions(depends_on=[*may_start, *needed])),
    )
    return Recurring(made, role, body, address)


def may_run(
    name: str,
    place: pulumi.Output[Place],
    starter: gcp.serviceaccount.Account,
    account: gcp.serviceaccount.Account,
    role: gcp.projects.IAMCustomRole,
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Let an account start jobs that run as another."""
    return [
        rights.on_project(f"{name}-start", place, starter, role.name, opts),
        rights.act_as(f"{name}-as", account, starter, opts),
    ]


def start_on_alarm(
    component: pulumi.ComponentResource,
    name: str,
    args: CommonArgs,
    place: pulumi.Output[Place],
    account: gcp.serviceaccount.Account,
    recurring: Recurring,
    alarm: pulumi.Input[str],
) -> gcp.eventarc.Trigger:
    """Start a run also when an alarm begins to fire: its topic bears its name, Eventarc hands each message to a
    workflow, and that starts the run that the schedule starts."""
    child = pulumi.ResourceOptions(parent=component)
    project, location = place.apply(lambda at: at.project), place.apply(lambda at: at.location)
    starter = rights.service_account(name, place, f"Starts {physical_name(name)} when its alarm fires.", child)
    allowed = [
        *may_run(name, place, starter, account, recurring.role, child),
        rights.on_project(f"{name}-invoke", place, starter, "roles/workflows.invoker", child),
        rights.on_project(f"{name}-receive", place, starter, "roles/eventarc.eventReceiver", child),
    ]
    source = pulumi.Output.all(recurring.address, recurring.job).apply(
        lambda both: json.dumps(jobs.workflow(both[0], both[1]), sort_keys=True)
    )
    workflow = gcp.workflows.Workflow(
        name,
        name=physical_name(name, longest=64),
        project=project,
        region=location,
        description=pulumi.Output.concat("Starts a run when ", alarm, " fires."),
        service_account=starter.email,
        source_contents=source,
        crypto_key_name=args.encryption_key,
        deletion_protection=False,
        labels=values.labels(args.tags),
        opts=child.merge(pulumi.ResourceOptions(depends_on=allowed)),
    )
    return gcp.eventarc.Trigger(
        name,
        name=physical_name(name, longest=63),
        project=project,
        location=location,
        matching_criterias=[{"attribute": "type", "value": "google.cloud.pubsub.topic.v1.messagePublished"}],
        transport={"pubsub": {"topic": pulumi.Output.concat("projects/", project, "/topics/", alarm)}},
        destination={"workflow": workflow.id},
        service_account=starter.email,
        labels=values.labels(args.tags),
        opts=child.merge(pulumi.ResourceOptions(depends_on=allowed)),
    )
