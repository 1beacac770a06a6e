"""A custom job that trains again on a schedule, and when the drift alarm fires if that is asked for."""

import json
from datetime import timedelta
from typing import Any

import pulumi
from pydantic import Field, ValidationError

from model_packaging.package import Package

from ...args import RetrainingScheduleArgs
from ...errors import problems_of
from ...gaps import refusal
from ...jobs import retrain_settings
from ...names import physical_name
from ...outputs import RetrainingOutputs
from ...uploads import check_files, package_prefix, uploaded
from . import jobs, recurring, rights, values
from .machines import smallest
from .packages import upload_files
from .place import PlaceOptions, here

_BESIDE_TRAINING = timedelta(hours=1)
"""For fetching the data, checking, judging and publishing the package."""


class Options(PlaceOptions):
    """`retraining.vertex`."""

    machine_type: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$")
    """The machine that trains; the smallest that has what `compute` asks for if left out."""
    disk_gb: int = Field(default=100, ge=100, le=65536)
    """Its disk, in GB: sources, data and the model must fit."""
    scheduler_location: values.Location | None = None
    """Where Cloud Scheduler keeps the schedule; the model's region if left out. Not every region has it."""


def check(args: RetrainingScheduleArgs, where: str) -> list[str]:
    """Return what Vertex AI and Cloud Scheduler can't do with these arguments."""
    problems = values.check_tags(args.tags, where) + values.check_bucket(args.bucket, f"{where}.bucket")
    problems += values.check_image(args.image, f"{where}.image")
    if args.flexible_window:
        late = "flexible_window_over_a_day" if args.flexible_window > timedelta(days=1) else "flexible_window"
        problems.append(refusal(args.platform, late, f"{where}.flexible_window"))
    if args.timeout > jobs.MOST_RUNTIME - _BESIDE_TRAINING or args.timeout < timedelta(seconds=1):
        problems.append(f"{where}.timeout: Vertex AI ends a custom job after 7 days: write at most 167h")
    problems += check_files(args, where)
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return problems + problems_of(error, Options, f"{where}.{args.platform}")
    problems += values.check_key(args.encryption_key, f"{where}.encryption_key", options.location)
    if options.machine_type is None:
        try:
            smallest(args.compute, "job")
        except ValueError as error:
            problems.append(f"{where}.compute: {error}")
    return problems


def provision(component: pulumi.ComponentResource, name: str, args: RetrainingScheduleArgs) -> RetrainingOutputs:
    """Upload sources and data, and make the schedule and what else starts the job."""
    child = pulumi.ResourceOptions(parent=component)
    options = Options.model_validate(args.options.get(args.platform, {}))
    place = here(component, options)
    bucket = values.bucket_name(args.bucket)
    source = upload_files(
        f"{name}-source", uploaded(f"sources/{args.model}", args.source, args.data), bucket, args, component
    )
    data = None
    if args.data is not None:
        data = upload_files(f"{name}-data", uploaded(f"data/{args.model}", args.data), bucket, args, component)
    champion = package_prefix(args.champion) if isinstance(args.champion, Package) else None
    account = rights.service_account(f"{name}-job", place, f"Trains {args.model} again.", child)
    read = [f"{kind}/{args.model}/" for kind in ("sources", "data", "packages", "candidates")]
    needed: list[pulumi.Resource] = [
        rights.on_objects(
            f"{name}-reads", bucket, account, rights.READ, [*read, *([champion] if champion else [])], child
        ),
        rights.on_objects(f"{name}-writes", bucket, account, rights.WRITE, read[2:], child),
    ]

    def job(known: dict[str, Any]) -> jobs.Job:
        address = f"gs://{known['bucket']}"
        best = None if champion is None else f"{address}/{champion.rstrip('/')}"
        settings = retrain_settings(args, address, known["source"], known["data"], best)
        return jobs.Job(
            physical_name(name),
            known["image"],
            ["retrain"],
            {"MODELBERTH_RETRAIN": json.dumps(settings, sort_keys=True)},
            options.machine_type or smallest(args.compute, "job"),
            options.disk_gb,
            args.timeout + _BESIDE_TRAINING,
            known["account"],
            values.labels(args.tags),
            known["key"],
        )

    wanted = pulumi.Output.all(
        bucket=bucket,
        source=source,
        data=data,
        image=args.image,
        account=account.email,
        key=args.encryption_key,
    ).apply(job)
    made = recurring.provision(
        component,
        name,
        args,
        place,
        options.scheduler_location,
        account,
        wanted,
        needed,
        schedule=args.schedule,
        timezone=args.timezone,
        description=f"Trains {args.model} again and publishes a candidate that passes the gate.",
    )
    if "drift" in args.on and args.drift_alarm is not None:
        recurring.start_on_alarm(component, f"{name}-drift", args, place, account, made, args.drift_alarm)
    return RetrainingOutputs(schedule_name=made.schedule.name, job_name=made.schedule.name)
