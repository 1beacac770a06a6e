"""A SageMaker pipeline that a schedule starts: what the monitor and the retraining have in common."""

from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakKeyDictionary

import pulumi
import pulumi_aws as aws

from ...args import CommonArgs
from ...names import physical_name
from . import eventbridge, pipelines, policies
from .policies import Document, Place, Statement

_SAGEMAKER = "sagemaker.amazonaws.com"
_SCHEDULER = "scheduler.amazonaws.com"
_EVENTS = "events.amazonaws.com"
_JOB_LOGS = ("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs")


@dataclass(frozen=True)
class Recurring:
    """What was made: the pipeline, the schedule that starts it, and where starts that failed end up."""

    pipeline: aws.sagemaker.Pipeline
    schedule: aws.scheduler.Schedule
    dead_letters: aws.sqs.Queue


@dataclass(frozen=True)
class Timing:
    """When a pipeline is started: the five fields of cron, a time zone, and how late it may be."""

    cron: str
    timezone: str = "UTC"
    flexible_window: timedelta = timedelta(0)


def bucket_name(address: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return the name in a bucket's address, `s3://name`."""
    return pulumi.Output.from_input(address).apply(lambda text: text.removeprefix("s3://").strip("/"))


def here(component: pulumi.Resource) -> pulumi.Output[Place]:
    """Return where the component's provider makes resources; each provider is asked once in a run."""
    known = _places.setdefault(pulumi.runtime.get_root_resource(), {})
    provider = component.get_provider("aws:index/getRegion:getRegion")
    if provider not in known:
        known[provider] = _ask(pulumi.InvokeOutputOptions(parent=component))
    return known[provider]


_places: WeakKeyDictionary[pulumi.Resource | None, dict[pulumi.ProviderResource | None, pulumi.Output[Place]]] = (
    WeakKeyDictionary()
)


def _ask(options: pulumi.InvokeOutputOptions) -> pulumi.Output[Place]:
    return pulumi.Output.all(
        aws.get_partition_output(opts=options).partition,
        aws.get_region_output(opts=options).region,
        aws.get_caller_identity_output(opts=options).account_id,
    ).apply(lambda values: Place(*values))


def job_role(
    component: pulumi.ComponentResource,
    name: str,
    args: CommonArgs,
    place: pulumi.Output[Place],
    image: pulumi.Input[str],
    statements: pulumi.Output[list[Statement]],
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """Make the role under which a pipeline starts its jobs and the jobs run.

    Args:
        component: The parent.
        name: What the names begin with.
        args: The component's arguments.
        place: Where all is.
        image: What the jobs pull.
        statements: What these jobs may do beyond starting, logging and pulling.
    """
    role = _role(component, name, args, place.apply(lambda at: policies.trust(_SAGEMAKER, at.account)))
    policy = aws.iam.RolePolicy(
        f"{name}-policy",
        role=role.name,
        policy=pulumi.Output.json_dumps(
            pulumi.Output.all(
                place=place, role=role.arn, image=image, key=args.encryption_key, statements=statements
            ).apply(
                lambda values: policies.document(
                    run_jobs(values["place"], values["role"]),
                    policies.logs_write(values["place"], *_JOB_LOGS),
                    policies.ecr_pull(policies.image_repository(values["image"], values["place"].partition)),
                    policies.use_key(values["key"]),
                    values["statements"],
                )
            )
        ),
        opts=pulumi.ResourceOptions(parent=component),
    )
    return role, policy


def run_jobs(place: Place, role_arn: str) -> list[Statement]:
    """Let a pipeline start, watch, stop and tag its jobs, which run under the same role.

    The names of the jobs begin with `pipelines-`. Source: "IAM Access Management" for Pipelines, SageMaker Developer
    Guide.
    """
    kinds = ("TrainingJob", "ProcessingJob")
    return [
        {
            "Sid": "RunJobs",
            "Effect": "Allow",
            "Action": [
                *(f"sagemaker:{verb}{kind}" for kind in kinds for verb in ("Create", "Describe", "Stop")),
                "sagemaker:AddTags",
            ],
            "Resource": [place.arn("sagemaker", f"{kind}/pipelines-*") for kind in ("training-job", "processing-job")],
        },
        *policies.pass_role(role_arn, _SAGEMAKER),
    ]


def start_pipeline(pipeline_arn: str) -> list[Statement]:
    """Let one pipeline be started."""
    return [
        {
            "Sid": "StartPipeline",
            "Effect": "Allow",
            "Action": "sagemaker:StartPipelineExecution",
            "Resource": pipeline_arn,
        }
    ]


def dead_letter_policy(queue_arn: str, account: str) -> Document:
    """Let EventBridge's rules of this account leave events, and refuse requests without TLS.

    Scheduler needs no statement: it writes under its role. Source: EventBridge User Guide, "Using dead-letter queues".
    """
    return policies.document(
        [
            {
                "Sid": "LeaveEvents",
                "Effect": "Allow",
                "Principal": {"Service": _EVENTS},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            }
        ],
        policies.refuse_plain_text("sqs:*", queue_arn),
    )


def provision(
    component: pulumi.ComponentResource,
    name: str,
    args: CommonArgs,
    place: pulumi.Output[Place],
    job: tuple[aws.iam.Role, aws.iam.RolePolicy],
    definition: pulumi.Output[pipelines.Definition],
    description: str,
    timing: Timing,
) -> Recurring:
    """Make the pipeline, its schedule, the role that starts it and its dead-letter queue."""
    role, role_policy = job
    child = pulumi.ResourceOptions(parent=component)
    pipeline = aws.sagemaker.Pipeline(
        name,
        pipeline_name=physical_name(name, longest=256),
        pipeline_display_name=physical_name(name, longest=256),
        pipeline_description=description,
        pipeline_definition=pulumi.Output.json_dumps(definition),
        role_arn=role.arn,
        tags=args.tags,
        # A run that starts before its role has its rights fails.
        opts=child.merge(pulumi.ResourceOptions(depends_on=[role_policy])),
    )
    dead_letters = aws.sqs.Queue(
        f"{name}-dead-letters",
        name=physical_name(f"{name}-dead-letters", longest=80),
        message_retention_seconds=14 * 24 * 3600,
        kms_master_key_id=args.encryption_key,
        sqs_managed_sse_enabled=True if args.encryption_key is None else None,
        tags=args.tags,
        opts=child,
    )
    aws.sqs.QueuePolicy(
        f"{name}-dead-letters-policy",
        queue_url=dead_letters.url,
        policy=pulumi.Output.json_dumps(
            pulumi.Output.all(dead_letters.arn, place).apply(lambda both: dead_letter_policy(both[0], both[1].account))
        ),
        opts=child,
    )
    starter, starter_policy = starter_role(
        component, f"{name}-schedule", args, place, pipeline, dead_letters, _SCHEDULER
    )
    schedule = aws.scheduler.Schedule(
        f"{name}-schedule",
        name=physical_name(name, longest=64),
        description=description,
        schedule_expression=eventbridge.schedule_expression(timing.cron),
        schedule_expression_timezone=timing.timezone,
        flexible_time_window=aws.scheduler.ScheduleFlexibleTimeWindowArgs(
            **eventbridge.flexible_time_window(timing.flexible_window)  # pyright: ignore[reportArgumentType]
        ),
        target={
            "arn": pipeline.arn,
            "role_arn": starter.arn,
            "sagemaker_pipeline_parameters": {},
            "retry_policy": {"maximum_event_age_in_seconds": 3600, "maximum_retry_attempts": 5},
            "dead_letter_config": {"arn": dead_letters.arn},
        },
        opts=child.merge(pulumi.ResourceOptions(depends_on=[starter_policy])),
    )
    return Recurring(pipeline, schedule, dead_letters)


def starter_role(
    component: pulumi.ComponentResource,
    name: str,
    args: CommonArgs,
    place: pulumi.Output[Place],
    pipeline: aws.sagemaker.Pipeline,
    dead_letters: aws.sqs.Queue,
    service: str,
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    """Make the role under which a service starts the pipeline and does nothing else but leave what it couldn't."""
    role = _role(component, name, args, place.apply(lambda at: policies.trust(service, at.account)))
    policy = aws.iam.RolePolicy(
        f"{name}-policy",
        role=role.name,
        policy=pulumi.Output.json_dumps(
            pulumi.Output.all(pipeline.arn, dead_letters.arn, args.encryption_key).apply(
                lambda values: policies.document(
                    start_pipeline(values[0]),
                    [
                        {
                            "Sid": "LeaveDeadLetters",
                            "Effect": "Allow",
                            "Action": "sqs:SendMessage",
                            "Resource": values[1],
                        }
                    ],
                    encrypt_messages(values[2]),
                )
            )
        ),
        opts=pulumi.ResourceOptions(parent=component),
    )
    return role, policy


def encrypt_messages(key_arn: str | None) -> list[Statement]:
    """Let messages be sent to a queue that a customer's key encrypts; no key, no statement.

    Source: SQS Developer Guide, "Key management", permissions of a producer.
    """
    if key_arn is None:
        return []
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    return [{"Sid": "EncryptMessages", "Effect": "Allow", "Action": actions, "Resource": key_arn}]


def start_on_alarm(
    component: pulumi.ComponentResource,
    name: str,
    args: CommonArgs,
    place: pulumi.Output[Place],
    recurring: Recurring,
    alarm: pulumi.Input[str],
) -> aws.cloudwatch.EventTarget:
    """Start the pipeline also when an alarm begins to fire."""
    child = pulumi.ResourceOptions(parent=component)
    rule = aws.cloudwatch.EventRule(
        name,
        name=physical_name(name, longest=64),
        description=pulumi.Output.concat("Starts a run when ", alarm, " fires."),
        event_pattern=pulumi.Output.json_dumps(pulumi.Output.from_input(alarm).apply(eventbridge.alarm_pattern)),
        tags=args.tags,
        opts=child,
    )
    starter, starter_policy = starter_role(
        component, f"{name}-rule", args, place, recurring.pipeline, recurring.dead_letters, _EVENTS
    )
    return aws.cloudwatch.EventTarget(
        f"{name}-target",
        rule=rule.name,
        target_id="retraining",
        arn=recurring.pipeline.arn,
        role_arn=starter.arn,
        sagemaker_pipeline_target={},
        retry_policy={"maximum_event_age_in_seconds": 3600, "maximum_retry_attempts": 5},
        dead_letter_config={"arn": recurring.dead_letters.arn},
        opts=child.merge(pulumi.ResourceOptions(depends_on=[starter_policy])),
    )


def _role(
    component: pulumi.ComponentResource, name: str, args: CommonArgs, trusted: pulumi.Output[Document]
) -> aws.iam.Role:
    return aws.iam.Role(
        f"{name}-role",
        name=physical_name(name, longest=64),
        assume_role_policy=pulumi.Output.json_dumps(trusted),
        tags=args.tags,
        opts=pulumi.ResourceOptions(parent=component),
    )
