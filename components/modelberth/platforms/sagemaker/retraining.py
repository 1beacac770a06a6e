"""A SageMaker pipeline that trains again on a schedule, and when the drift alarm fires if that is asked for."""

from datetime import timedelta

import pulumi
import pulumi_aws as aws
from pydantic import Field, ValidationError

from model_packaging.package import Package

from ...args import RetrainingScheduleArgs
from ...errors import problems_of
from ...outputs import RetrainingOutputs
from ...spec import ComputeSpec, Spec
from ...uploads import Upload, check_files, package_prefix, uploaded
from . import eventbridge, pipelines, policies, recurring
from .machines import smallest
from .packages import check_bucket, object_tags
from .policies import Statement

_MOST_RUNTIME = timedelta(days=28)  # StoppingCondition, SageMaker API Reference.


class Options(Spec):
    """`retraining.sagemaker`."""

    instance_type: str | None = Field(None, pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    """The machine that trains; the smallest that has what `compute` asks for if left out."""
    volume_gb: int = Field(30, ge=1, le=16384)
    """Its disk, in GB: sources, data and the model must fit."""


def check(args: RetrainingScheduleArgs, where: str) -> list[str]:
    """Return what SageMaker and EventBridge can't do with these arguments."""
    problems = policies.check_key(args.encryption_key, f"{where}.encryption_key")
    problems += check_bucket(args.bucket, f"{where}.bucket")
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        problems += problems_of(error, Options, f"{where}.{args.platform}")
    else:
        if options.instance_type is None:
            try:
                smallest(args.compute, "training")
            except ValueError as error:
                problems.append(f"{where}.compute: {error}")
    problems += eventbridge.check_schedule(args.schedule, args.platform, f"{where}.schedule")
    problems += eventbridge.check_flexible_window(args.flexible_window, args.platform, f"{where}.flexible_window")
    if not timedelta(seconds=1) <= args.timeout <= _MOST_RUNTIME or args.timeout % timedelta(seconds=1):
        problems.append(f"{where}.timeout: SageMaker counts in whole seconds, and at most 28d")
    written = len(pipelines.compact(args.parameters))
    if written > pipelines.MOST_PARAMETERS:
        problems.append(
            f"{where}.parameters: {written} characters of JSON are more than the {pipelines.MOST_PARAMETERS} that "
            "SageMaker takes: put them in a file beside the script"
        )
    written = len(pipelines.gate_json(args.gate))
    if written > pipelines.MOST_ENVIRONMENT:
        problems.append(
            f"{where}.gate: {written} characters of JSON are more than the {pipelines.MOST_ENVIRONMENT} that SageMaker "
            "hands to a job: leave rules out that matter less"
        )
    return problems + check_files(args, where)


def provision(component: pulumi.ComponentResource, name: str, args: RetrainingScheduleArgs) -> RetrainingOutputs:
    """Upload sources and data, and make the pipeline and all that starts it."""
    options = Options.model_validate(args.options.get(args.platform, {}))
    place = recurring.here(component)
    bucket = recurring.bucket_name(args.bucket)
    source = _upload(
        component, f"{name}-source", args, bucket, uploaded(f"sources/{args.model}", args.source, args.data)
    )
    data = _upload(component, f"{name}-data", args, bucket, uploaded(f"data/{args.model}", args.data))
    champion = package_prefix(args.champion) if isinstance(args.champion, Package) else None
    job = recurring.job_role(
        component,
        f"{name}-job",
        args,
        place,
        args.image,
        pulumi.Output.all(place, bucket).apply(
            lambda both: train_and_publish(both[0].bucket(both[1]), args.model, champion)
        ),
    )
    trainer = options.instance_type or smallest(args.compute, "training")
    helper = smallest(
        ComputeSpec(cpu=min(args.compute.cpu, 2), memory=min(args.compute.memory, 8 * 1024**3)), "processing"
    )
    definition = pulumi.Output.all(
        bucket=bucket, image=args.image, role=job[0].arn, key=args.encryption_key, source=source, data=data
    ).apply(
        lambda values: pipelines.retraining(
            pipelines.Training(
                model=args.model,
                bucket=values["bucket"],
                source=values["source"],
                data=values["data"],
                entrypoint=args.entrypoint,
                parameters=args.parameters,
                timeout_seconds=int(args.timeout.total_seconds()),
                gate=pipelines.gate_json(args.gate),
                champion=champion,
            ),
            pipelines.Machine(trainer, options.volume_gb, values["image"], values["role"], values["key"]),
            pipelines.Machine(helper, options.volume_gb, values["image"], values["role"], values["key"]),
        )
    )
    made = recurring.provision(
        component,
        name,
        args,
        place,
        job,
        definition,
        f"Trains {args.model} again and publishes a candidate that passes the gate.",
        recurring.Timing(args.schedule, args.timezone, args.flexible_window),
    )
    if "drift" in args.on and args.drift_alarm is not None:
        recurring.start_on_alarm(component, f"{name}-drift", args, place, made, args.drift_alarm)
    return RetrainingOutputs(schedule_name=made.schedule.name, job_name=made.pipeline.pipeline_name)


def train_and_publish(bucket_arn: str, model: str, champion: str | None) -> list[Statement]:
    """Let the jobs read the champion and what this model is made of, and write what they make of it."""
    own = [f"{kind}/{model}/" for kind in ("sources", "data", "packages", "candidates", "pipelines")]
    return [
        *policies.bucket_read(bucket_arn, [*own, *([champion] if champion else [])]),
        *policies.bucket_write(bucket_arn, [f"{kind}/{model}/" for kind in ("pipelines", "packages", "candidates")]),
        # SageMaker writes what a job's machine does to these namespaces of its own, under the job's role.
        *policies.metrics_write("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"),
    ]


def _upload(
    component: pulumi.ComponentResource,
    name: str,
    args: RetrainingScheduleArgs,
    bucket: pulumi.Output[str],
    upload: Upload,
) -> pulumi.Output[str]:
    """Keep the files in the bucket, and return their prefix once they are there."""
    content = upload.prefix.rstrip("/").rpartition("/")[2][:12]
    # A channel must hold an object. A script that brings its own data finds a hidden file and nothing else.
    assets: dict[str, pulumi.Asset] = {key: pulumi.FileAsset(str(file.resolve())) for key, file in upload.files.items()}
    objects = [
        aws.s3.BucketObjectv2(
            f"{name}-{content}-{key}",
            bucket=bucket,
            key=upload.prefix + key,
            source=asset,
            server_side_encryption="aws:kms" if args.encryption_key is not None else None,
            kms_key_id=args.encryption_key,
            tags=object_tags(args.tags),
            # What a run was made of stays when the next version comes, so that the run can be repeated. The bucket of
            # a development stack is emptied when it goes.
            opts=pulumi.ResourceOptions(parent=component, retain_on_delete=True),
        )
        for key, asset in (assets or {".nothing": pulumi.StringAsset("")}).items()
    ]
    return pulumi.Output.all(*(kept.id for kept in objects)).apply(lambda _: upload.prefix)
