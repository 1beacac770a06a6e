"""SageMaker training jobs.

Sources: SageMaker API reference (CreateTrainingJob, DescribeTrainingJob, StopTrainingJob); developer guide, "How
Amazon SageMaker AI provides training information" (input/config, input/data) and "How Amazon SageMaker AI processes
training output" (model, output/data, output/failure).
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from sandbox.aws import objects
from sandbox.aws.api import Call, listed, operation, validation_error
from sandbox.aws.emulator import Emulator
from sandbox.aws.jobs import LONGEST_REASON, Ended, Job, JobFailure, left_text
from sandbox.containers import resolve_entrypoint

KIND = "training-job"
_MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


def train(emulator: Emulator, job: Job) -> str:
    """Run one job to its end: its status. Raises JobFailure with the FailureReason."""
    try:
        _enter(emulator, job, "Starting")
        _enter(emulator, job, "Downloading")
        _prepare(job)
        _enter(emulator, job, "Training")
        ended = _run(emulator, job)
        _enter(emulator, job, "Uploading")
        _upload(job)
        if ended.stopped is None and ended.code != 0:
            text = left_text(job.folder / "output" / "failure")
            ending = f", exit code: {ended.code}"
            raise JobFailure(f"AlgorithmError: {text}"[: LONGEST_REASON - len(ending)] + ending)
    except JobFailure:
        _enter(emulator, job, "Failed")
        raise
    if ended.stopped:
        _enter(emulator, job, "Stopped" if ended.stopped == "asked" else "MaxRuntimeExceeded")
        return "Stopped"
    _enter(emulator, job, "Completed")
    return "Completed"


def _enter(emulator: Emulator, job: Job, status: str) -> None:
    """Move to a secondary status; a job that stops shows it before what follows."""
    now = emulator.clock.now()
    if job.transitions:
        job.transitions[-1]["EndTime"] = now
    ends = status in {"Completed", "Failed", "Stopped", "MaxRuntimeExceeded"}
    job.transitions.append(
        {"Status": status, "StartTime": now, "StatusMessage": _MESSAGES[status]} | ({"EndTime": now} if ends else {})
    )
    job.modified = now


def _prepare(job: Job) -> None:
    """Lay out what the container finds below /opt/ml."""
    config, data = job.folder / "input" / "config", job.folder / "input" / "data"
    for folder in (config, data, job.folder / "model", job.folder / "output" / "data"):
        folder.mkdir(parents=True)
    request = job.request
    resources = request["ResourceConfig"]
    channels = request.get("InputDataConfig") or []
    _write(config / "hyperparameters.json", request.get("HyperParameters") or {})
    _write(
        config / "inputdataconfig.json",
        {
            channel["ChannelName"]: {
                "TrainingInputMode": channel.get("InputMode") or request["AlgorithmSpecification"]["TrainingInputMode"],
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                    "S3DataDistributionType", "FullyReplicated"
                ),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
            | ({"ContentType": channel["ContentType"]} if channel.get("ContentType") else {})
            for channel in channels
        },
    )
    _write(
        config / "resourceconfig.json",
        {
            "current_host": "algo-1",
            "current_instance_type": resources.get("InstanceType"),
            "hosts": ["algo-1"],
            "network_interface_name": "eth0",
        },
    )
    for channel in channels:
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        folder = data / channel["ChannelName"]
        folder.mkdir()
        try:
            found = objects.download(uri, folder)
        except OSError as error:
            raise JobFailure(f"ClientError: Data download failed:{error}") from error
        if not found:
            raise JobFailure(f"ClientError: Data download failed:NoSuchKey (404): {uri}")


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _run(emulator: Emulator, job: Job) -> Ended:
    algorithm = job.request["AlgorithmSpecification"]
    entrypoint, arguments = algorithm.get("ContainerEntrypoint"), algorithm.get("ContainerArguments")

    def command(program: list[str]) -> list[str]:
        return [*resolve_entrypoint(entrypoint, program), *(arguments or ([] if entrypoint else ["train"]))]

    return emulator.jobs.run_program(
        job,
        algorithm["TrainingImage"],
        command,
        {
            **(job.request.get("Environment") or {}),
            "TRAINING_JOB_NAME": job.name,
            "TRAINING_JOB_ARN": job.arn,
        },
    )


def _upload(job: Job) -> None:
    base = _output(job)
    try:
        for folder, name in (("model", "model"), ("output/data", "output")):
            root = job.folder / folder
            if not any(root.iterdir()):
                continue
            if job.request["OutputDataConfig"].get("CompressionType") == "NONE":
                objects.upload(root, f"{base}/{name}")
            else:
                objects.write(f"{base}/{name}.tar.gz", _packed(root))
    except FileNotFoundError as error:
        raise JobFailure(f"ClientError: Artifact upload failed:The bucket of {error} does not exist.") from error


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return buffer.getvalue()


def _output(job: Job) -> str:
    return f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.name}/output"


def _artifacts(job: Job) -> str:
    uncompressed = job.request["OutputDataConfig"].get("CompressionType") == "NONE"
    return f"{_output(job)}/model" + ("/" if uncompressed else ".tar.gz")


@operation("sagemaker", "CreateTrainingJob")
def create_training_job(call: Call) -> dict[str, Any]:
    params, emulator = call.params, call.emulator
    algorithm = params.get("AlgorithmSpecification") or {}
    for member in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if not params.get(member):
            raise validation_error(f"{member} is required.")
    if algorithm.get("AlgorithmName") or not algorithm.get("TrainingImage"):
        raise validation_error("TrainingImage is required: algorithm resources (AlgorithmName) are not emulated.")
    resources = params["ResourceConfig"]
    if not resources.get("InstanceGroups") and not (resources.get("InstanceType") and resources.get("InstanceCount")):
        raise validation_error("InstanceType and InstanceCount, or InstanceGroups, are required in ResourceConfig.")
    emulator.require_role(params["RoleArn"])
    emulator.require_image(algorithm["TrainingImage"])
    if not params["OutputDataConfig"]["S3OutputPath"].startswith("s3://"):
        raise validation_error(f"S3OutputPath {params['OutputDataConfig']['S3OutputPath']} is no s3:// address.")
    channels = params.get("InputDataConfig") or []
    names = [channel["ChannelName"] for channel in channels]
    if len(set(names)) != len(names):
        raise validation_error("Channel names must be unique within InputDataConfig.")
    for channel in channels:
        _check_channel(call, channel, algorithm["TrainingInputMode"])
    job = emulator.jobs.start(call, KIND, params["TrainingJobName"], lambda job: train(emulator, job))
    return {"TrainingJobArn": job.arn}


def _check_channel(call: Call, channel: dict[str, Any], mode: str) -> None:
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if not source:
        raise validation_error(f"Channel {name}: only S3DataSource is emulated.")
    if source["S3DataType"] != "S3Prefix":
        raise validation_error(f"Channel {name}: S3DataType {source['S3DataType']} is not emulated.")
    if (channel.get("InputMode") or mode) == "Pipe":
        raise validation_error(f"Channel {name}: the input mode Pipe is not emulated.")
    uri = source["S3Uri"]
    if not objects.keys(uri):
        bucket, _ = objects.split(uri)
        raise validation_error(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
            f"exists in the selected region ({call.region}), that objects exist under that S3 prefix, and that the "
            f'role "{call.params["RoleArn"]}" has "s3:ListBucket" permissions on bucket "{bucket}".'
        )


def _found(call: Call) -> Job:
    job = call.emulator.jobs.find(call.region, KIND, call.params["TrainingJobName"])
    if job is None:
        raise validation_error("Requested resource not found.")
    return job


@operation("sagemaker", "DescribeTrainingJob")
def describe_training_job(call: Call) -> dict[str, Any]:
    job = _found(call)
    return {
        **job.request,
        "TrainingJobArn": job.arn,
        "ModelArtifacts": {"S3ModelArtifacts": _artifacts(job)} if job.status in {"Completed", "Stopped"} else None,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.transitions[-1]["Status"] if job.transitions else "Starting",
        "SecondaryStatusTransitions": list(job.transitions),
        "FailureReason": job.reason,
        "CreationTime": job.created,
        "TrainingStartTime": job.started,
        "TrainingEndTime": job.ended,
        "LastModifiedTime": job.modified,
        "TrainingTimeInSeconds": job.seconds if job.ended else None,
        "BillableTimeInSeconds": job.seconds if job.ended else None,
        "EnableNetworkIsolation": bool(job.request.get("EnableNetworkIsolation")),
        "EnableInterContainerTrafficEncryption": bool(job.request.get("EnableInterContainerTrafficEncryption")),
        "EnableManagedSpotTraining": bool(job.request.get("EnableManagedSpotTraining")),
    }


@operation("sagemaker", "StopTrainingJob")
def stop_training_job(call: Call) -> None:
    job = _found(call)
    call.emulator.jobs.stop(job)
    if not job.transitions or job.transitions[-1]["Status"] != "Stopping":
        _enter(call.emulator, job, "Stopping")


@operation("sagemaker", "ListTrainingJobs")
def list_training_jobs(call: Call) -> dict[str, Any]:
    items = [
        {
            "TrainingJobName": job.name,
            "TrainingJobArn": job.arn,
            "CreationTime": job.created,
            "TrainingEndTime": job.ended,
            "LastModifiedTime": job.modified,
            "TrainingJobStatus": job.status,
        }
        for job in call.emulator.jobs.in_region(call.region, KIND)
        if call.params.get("StatusEquals") in (None, job.status)
    ]
    found, token = listed(call, items, "TrainingJobName")
    return {"TrainingJobSummaries": found, "NextToken": token}
