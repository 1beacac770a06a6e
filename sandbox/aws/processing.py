"""SageMaker processing jobs.

Sources: SageMaker API reference (CreateProcessingJob, DescribeProcessingJob, StopProcessingJob); developer guide,
"How Amazon SageMaker Processing runs your processing container image" and "configures input and output".
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.aws import objects
from sandbox.aws.api import Call, listed, operation, validation_error
from sandbox.aws.emulator import Emulator
from sandbox.aws.jobs import Job, JobFailure, left_text
from sandbox.containers import resolve_entrypoint

KIND = "processing-job"
_ROOT = PurePosixPath("/opt/ml/processing")


def process(emulator: Emulator, job: Job) -> str:
    """Run one job to its end: its status. Raises JobFailure with the FailureReason."""
    _prepare(job)
    application = job.request["AppSpecification"]
    ended = emulator.jobs.run_program(
        job,
        application["ImageUri"],
        lambda program: [
            *resolve_entrypoint(application.get("ContainerEntrypoint"), program),
            *(application.get("ContainerArguments") or []),
        ],
        {
            **(job.request.get("Environment") or {}),
            "PROCESSING_JOB_NAME": job.name,
            "PROCESSING_JOB_ARN": job.arn,
        },
    )
    job.exit_message = left_text(job.folder / "output" / "message") or None
    failed = ended.stopped is None and ended.code != 0
    for output in _outputs(job.request):
        target = output["S3Output"]
        if target["S3UploadMode"] == "EndOfJob" and (failed or ended.stopped):
            continue
        try:
            objects.upload(_local(job, target["LocalPath"]), target["S3Uri"])
        except FileNotFoundError as error:
            raise JobFailure(
                f"ClientError: Failed to upload the output {output['OutputName']}: "
                f"the bucket of {error} does not exist."
            ) from error
    if ended.stopped:
        return "Stopped"
    if failed:
        raise JobFailure("AlgorithmError: See job logs for more information")
    return "Completed"


def _prepare(job: Job) -> None:
    for folder in ("config", "output"):
        (job.folder / folder).mkdir()
    cluster = job.request["ProcessingResources"]["ClusterConfig"]
    resources = {
        "current_host": "algo-1",
        "current_instance_type": cluster["InstanceType"],
        "hosts": ["algo-1"],
        "network_interface_name": "eth0",
    }
    (job.folder / "config" / "resourceconfig.json").write_text(json.dumps(resources))
    described = {"ProcessingJobArn": job.arn, **job.request}
    (job.folder / "config" / "processingjobconfig.json").write_text(json.dumps(described, default=str))
    for output in _outputs(job.request):
        _local(job, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
    for given in job.request.get("ProcessingInputs") or []:
        source = given["S3Input"]
        folder = _local(job, source["LocalPath"])
        folder.mkdir(parents=True, exist_ok=True)
        try:
            found = objects.download(source["S3Uri"], folder)
        except OSError as error:
            raise JobFailure(f"ClientError: Failed to download data. {error}") from error
        if not found:
            raise JobFailure(
                f"ClientError: Failed to download data. No S3 objects found under S3 URL "
                f'"{source["S3Uri"]}" given in input data source.'
            )


def _outputs(request: dict[str, Any]) -> list[dict[str, Any]]:
    return list((request.get("ProcessingOutputConfig") or {}).get("Outputs") or [])


def _local(job: Job, path: str) -> Path:
    return job.folder / "processing" / PurePosixPath(path).relative_to(_ROOT)


@operation("sagemaker", "CreateProcessingJob")
def create_processing_job(call: Call) -> dict[str, Any]:
    params, emulator = call.params, call.emulator
    emulator.require_role(params["RoleArn"])
    emulator.require_image(params["AppSpecification"]["ImageUri"])
    cluster = params["ProcessingResources"]["ClusterConfig"]
    if not cluster.get("InstanceType") or not cluster.get("InstanceCount"):
        raise validation_error("InstanceType and InstanceCount are required in ClusterConfig.")
    inputs, outputs = params.get("ProcessingInputs") or [], _outputs(params)
    for kind, names in (
        ("Input", [one["InputName"] for one in inputs]),
        ("Output", [one["OutputName"] for one in outputs]),
    ):
        if len(set(names)) != len(names):
            raise validation_error(f"{kind} names must be unique within a processing job.")
    for one in inputs:
        source = one.get("S3Input")
        if not source:
            raise validation_error(f"Input {one['InputName']}: only S3Input is emulated.")
        if source["S3DataType"] != "S3Prefix" or source.get("S3InputMode", "File") != "File":
            raise validation_error(
                f"Input {one['InputName']}: only S3DataType S3Prefix with S3InputMode File is emulated."
            )
        _check_path(f"Input {one['InputName']}", source.get("LocalPath"))
    for one in outputs:
        if not one.get("S3Output"):
            raise validation_error(f"Output {one['OutputName']}: only S3Output is emulated.")
        _check_path(f"Output {one['OutputName']}", one["S3Output"].get("LocalPath"))
    job = emulator.jobs.start(call, KIND, params["ProcessingJobName"], lambda job: process(emulator, job))
    return {"ProcessingJobArn": job.arn}


def _check_path(what: str, path: str | None) -> None:
    local = PurePosixPath(path or "")
    if _ROOT not in local.parents or ".." in local.parts:
        raise validation_error(f"{what}: LocalPath '{path}' must be below {_ROOT}.")


def _found(call: Call) -> Job:
    name = call.params["ProcessingJobName"]
    job = call.emulator.jobs.find(call.region, KIND, name)
    if job is None:
        raise validation_error(f"Could not find requested job with name: {name}")
    return job


@operation("sagemaker", "DescribeProcessingJob")
def describe_processing_job(call: Call) -> dict[str, Any]:
    job = _found(call)
    return {
        **job.request,
        "ProcessingJobArn": job.arn,
        "ProcessingJobStatus": job.status,
        "ExitMessage": job.exit_message,
        "FailureReason": job.reason,
        "CreationTime": job.created,
        "ProcessingStartTime": job.started,
        "ProcessingEndTime": job.ended,
        "LastModifiedTime": job.modified,
    }


@operation("sagemaker", "StopProcessingJob")
def stop_processing_job(call: Call) -> None:
    call.emulator.jobs.stop(_found(call))


@operation("sagemaker", "ListProcessingJobs")
def list_processing_jobs(call: Call) -> dict[str, Any]:
    items = [
        {
            "ProcessingJobName": job.name,
            "ProcessingJobArn": job.arn,
            "CreationTime": job.created,
            "ProcessingEndTime": job.ended,
            "LastModifiedTime": job.modified,
            "ProcessingJobStatus": job.status,
            "FailureReason": job.reason,
            "ExitMessage": job.exit_message,
        }
        for job in call.emulator.jobs.in_region(call.region, KIND)
        if call.params.get("StatusEquals") in (None, job.status)
    ]
    found, token = listed(call, items, "ProcessingJobName")
    return {"ProcessingJobSummaries": found, "NextToken": token}
