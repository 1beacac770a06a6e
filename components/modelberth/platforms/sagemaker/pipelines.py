"""Definitions of SageMaker pipelines, as plain dictionaries.

Source: the JSON schema of pipeline definitions, version 2020-12-01. A step's Arguments are those of CreateTrainingJob
and CreateProcessingJob, except that SageMaker names the jobs. What the containers read and write is told in the
package `model_packaging.jobs`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_packaging.gate import GateRules

from ...jobs import gate_settings

Definition = dict[str, Any]

MOST_PARAMETERS = 2500
"""Characters of one hyperparameter. Source: HyperParameterValue, SageMaker API Reference."""
MOST_ENVIRONMENT = 256
"""Characters of one environment variable of a processing job. Source: ProcessingEnvironmentValue, same place."""

_PROCESSING = "/opt/ml/processing"
_EXECUTION = {"Get": "Execution.PipelineExecutionId"}
_JOB_SECONDS = 3600


@dataclass(frozen=True)
class Machine:
    """Where a step runs, and with what right.

    Attributes:
        instance_type: The machine.
        volume_gb: Its disk, in GB.
        image: The container image.
        role: The ARN of the role.
        key: The ARN of the customer's key for disks and results, if there is one.
    """

    instance_type: str
    volume_gb: int
    image: str
    role: str
    key: str | None = None


@dataclass(frozen=True)
class Training:
    """What is trained, from what and for how long.

    Attributes:
        model: The model's name.
        bucket: The bucket's name.
        source: The key prefix of the training script's folder.
        data: The key prefix of the training data.
        entrypoint: The script, a path below `source`.
        parameters: Handed to the script.
        timeout_seconds: When training is stopped.
        gate: The rules, as `gate_json` writes them.
        champion: The key prefix of the package to compare with.
    """

    model: str
    bucket: str
    source: str
    data: str
    entrypoint: str
    parameters: Mapping[str, Any]
    timeout_seconds: int
    gate: str
    champion: str | None = None


def gate_json(rules: GateRules) -> str:
    """Write the gate's rules as its configuration does, as short as can be."""
    return compact(gate_settings(rules))


def compact(value: object) -> str:
    """Write JSON without spaces, for places of limited length."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def retraining(training: Training, trainer: Machine, helper: Machine) -> Definition:
    """Return the pipeline train → validate → gate → publish.

    Args:
        training: What is trained.
        trainer: Where the training script runs.
        helper: Where the other steps run.
    """
    model = training.model
    results = f"s3://{training.bucket}/pipelines/{model}"
    candidate = _input("candidate", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"})
    champion = [_input("champion", f"s3://{training.bucket}/{training.champion}")] if training.champion else []
    published = {
        "MODELBERTH_BUCKET": f"s3://{training.bucket}",
        "MODELBERTH_MODEL": model,
        "MODELBERTH_EXECUTION": _EXECUTION,
    }
    return _definition(
        {
            "Name": "Train",
            "Type": "Training",
            "Arguments": {
                "AlgorithmSpecification": {"TrainingImage": trainer.image, "TrainingInputMode": "File"},
                "RoleArn": trainer.role,
                "HyperParameters": {
                    "entrypoint": training.entrypoint,
                    "name": model,
                    "parameters": compact(dict(training.parameters)),
                    "timeout_seconds": str(training.timeout_seconds),
                },
                "InputDataConfig": [
                    _channel("code", f"s3://{training.bucket}/{training.source}"),
                    _channel("training", f"s3://{training.bucket}/{training.data}"),
                    # Where the hold-out has moved, the champion predicts its rows too, so that the gate can compare.
                    *(
                        [_channel("champion", f"s3://{training.bucket}/{training.champion}")]
                        if training.champion
                        else []
                    ),
                ],
                "OutputDataConfig": {"S3OutputPath": results} | _kms("KmsKeyId", trainer.key),
                "ResourceConfig": _cluster(trainer),
                "StoppingCondition": {"MaxRuntimeInSeconds": training.timeout_seconds},
            },
        },
        _processing("Validate", helper, ["job", "validate"], [candidate, *champion], [_output("report", results)], {}),
        _processing(
            "Gate",
            helper,
            ["job", "gate"],
            [candidate, *champion, _input("report", _result("Validate", "report"))],
            [_output("verdict", results)],
            # It keeps a refused candidate's verdict itself: that a failed job's outputs are uploaded is nowhere said.
            {"MODELBERTH_GATE": training.gate, **published},
        ),
        _processing(
            "Publish",
            helper,
            ["job", "publish"],
            [candidate, *champion, _input("verdict", _result("Gate", "verdict"))],
            [],
            published,
        ),
    )


def monitor(environment: Mapping[str, str], machine: Machine) -> Definition:
    """Return the pipeline whose only step compares captured traffic with the training data.

    Args:
        environment: What the step is told.
        machine: Where it runs.
    """
    return _definition(_processing("Monitor", machine, ["job", "monitor"], [], [], environment))


def _definition(*steps: Definition) -> Definition:
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": list(steps)}


def _processing(
    name: str,
    machine: Machine,
    arguments: list[str],
    inputs: list[Definition],
    outputs: list[Definition],
    environment: Mapping[str, Any],
) -> Definition:
    results: Definition = {"Outputs": outputs}
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {
                "ImageUri": machine.image,
                "ContainerEntrypoint": ["modelberth"],
                "ContainerArguments": arguments,
            },
            "RoleArn": machine.role,
            "ProcessingResources": {"ClusterConfig": _cluster(machine)},
            "StoppingCondition": {"MaxRuntimeInSeconds": _JOB_SECONDS},
        }
        | ({"ProcessingInputs": inputs} if inputs else {})
        | ({"ProcessingOutputConfig": results | _kms("KmsKeyId", machine.key)} if outputs else {})
        | ({"Environment": dict(environment)} if environment else {}),
    }


def _cluster(machine: Machine) -> Definition:
    return {
        "InstanceType": machine.instance_type,
        "InstanceCount": 1,
        "VolumeSizeInGB": machine.volume_gb,
    } | _kms("VolumeKmsKeyId", machine.key)


def _kms(name: str, key: str | None) -> dict[str, str]:
    return {name: key} if key else {}


def _channel(name: str, address: str) -> Definition:
    source = {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _input(name: str, address: object) -> Definition:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": address,
            "LocalPath": f"{_PROCESSING}/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def _output(name: str, results: str) -> Definition:
    address = {"Std:Join": {"On": "/", "Values": [results, _EXECUTION, name]}}
    return {
        "OutputName": name,
        "S3Output": {"S3Uri": address, "LocalPath": f"{_PROCESSING}/{name}", "S3UploadMode": "EndOfJob"},
    }


def _result(step: str, output: str) -> Definition:
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri"}
