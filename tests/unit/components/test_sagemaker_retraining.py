"""Retraining on SageMaker: what is uploaded, the pipeline, and what starts it."""

from pathlib import Path
from typing import Any

import pytest
from modelberth import RetrainingSchedule, SpecificationError

from model_packaging.package import Package
from tests.unit.components.cloud import ACCOUNT, IMAGE, Deployed, deploy

ROLE = f"arn:aws:iam:eu-central-1:{ACCOUNT}:role/shop-dev-churn-job"


def retraining(source: Path, preview: bool = False, **args: Any) -> Deployed:
    common = {"platform": "sagemaker", "image": IMAGE, "bucket": "s3://shop-artifacts", "model": "churn"}
    schedule = {"schedule": "0 3 * * 1", "timezone": "Europe/Prague", "source": source, "entrypoint": "train.py"}
    return deploy(lambda: RetrainingSchedule("churn", common | schedule | args), preview=preview)


def test_the_schedule(source: Path) -> None:
    deployed = retraining(source, flexible_window="15m")
    schedule = deployed.one("scheduler/schedule:Schedule").inputs
    queue = deployed.one("sqs/queue:Queue")
    assert schedule["scheduleExpression"] == "cron(0 3 ? * 2 *)"
    assert schedule["scheduleExpressionTimezone"] == "Europe/Prague"
    assert schedule["flexibleTimeWindow"] == {"mode": "FLEXIBLE", "maximumWindowInMinutes": 15}
    assert schedule["target"]["arn"].endswith(":pipeline/shop-dev-churn")
    assert schedule["target"]["roleArn"].endswith(":role/shop-dev-churn-schedule")
    assert schedule["target"]["deadLetterConfig"] == {
        "arn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:queue/{queue.inputs['name']}"
    }
    assert schedule["target"]["retryPolicy"] == {"maximumEventAgeInSeconds": 3600, "maximumRetryAttempts": 5}
    assert queue.inputs["messageRetentionSeconds"] == 14 * 24 * 3600
    assert deployed.of("cloudwatch/eventRule:EventRule") == []


def test_without_a_window_it_is_off(source: Path) -> None:
    schedule = retraining(source).one("scheduler/schedule:Schedule").inputs
    assert schedule["flexibleTimeWindow"] == {"mode": "OFF"}


def test_drift_starts_it_too(source: Path) -> None:
    deployed = retraining(source, on=["drift"], drift_alarm="churn-drift")
    assert deployed.one("cloudwatch/eventRule:EventRule").json("eventPattern") == {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": ["churn-drift"], "state": {"value": ["ALARM"]}},
    }
    target = deployed.one("cloudwatch/eventTarget:EventTarget").inputs
    assert target["arn"] == deployed.one("scheduler/schedule:Schedule").inputs["target"]["arn"]
    assert (
        target["deadLetterConfig"] == deployed.one("scheduler/schedule:Schedule").inputs["target"]["deadLetterConfig"]
    )
    assert target["roleArn"].endswith(":role/shop-dev-churn-drift-rule")


def test_sources_and_data_are_kept_by_content_once_and_without_what_is_hidden(source: Path) -> None:
    deployed = retraining(source, data=source / "data")
    objects = deployed.of("s3/bucketObjectv2:BucketObjectv2")
    assert all(one.request.retainOnDelete for one in objects)
    keys = [one.inputs["key"].split("/", 3) for one in objects]
    assert {(kind, model, file) for kind, model, _, file in keys} == {
        ("sources", "churn", "train.py"),
        ("sources", "churn", "lib/features.py"),
        ("data", "churn", "rows.csv"),
    }
    assert all(len(digest) == 64 for _, _, digest, _ in keys)


def test_other_content_makes_other_keys(source: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("another")
    keys = [
        {one.inputs["key"] for one in retraining(folder).of("s3/bucketObjectv2:BucketObjectv2")}
        for folder in (source, tmp_path)
    ]
    assert not keys[0] & {key for key in keys[1] if not key.endswith("/.nothing")}


def test_the_pipeline_trains_validates_gates_and_publishes(source: Path, original: Package) -> None:
    deployed = retraining(
        source,
        data=source / "data",
        champion=original,
        gate={"metrics": {"accuracy": {"min": 0.8}}, "no_worse_than": "champion", "max_age": "30d"},
        parameters={"depth": 3},
        timeout="2h",
    )
    pipeline = deployed.one("sagemaker/pipeline:Pipeline")
    definition = pipeline.json("pipelineDefinition")
    steps = {step["Name"]: step["Arguments"] for step in definition["Steps"]}
    assert list(steps) == ["Train", "Validate", "Gate", "Publish"]
    assert definition["Version"] == "2020-12-01"
    prefixes = {
        one.inputs["key"].split("/")[0]: "/".join(one.inputs["key"].split("/")[:3]) + "/"
        for one in deployed.of("s3/bucketObjectv2:BucketObjectv2")
    }

    train = steps["Train"]
    assert train["AlgorithmSpecification"] == {"TrainingImage": IMAGE, "TrainingInputMode": "File"}
    assert train["HyperParameters"] == {
        "entrypoint": "train.py",
        "name": "churn",
        "parameters": '{"depth":3}',
        "timeout_seconds": "7200",
    }
    assert {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in train["InputDataConfig"]} == {
        "code": f"s3://shop-artifacts/{prefixes['sources']}",
        "training": f"s3://shop-artifacts/{prefixes['data']}",
        "champion": f"s3://shop-artifacts/packages/churn/{original.digest.removeprefix('sha256:')}/",
    }
    assert train["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200}
    assert train["OutputDataConfig"] == {"S3OutputPath": "s3://shop-artifacts/pipelines/churn"}
    assert {arguments["RoleArn"] for arguments in steps.values()} == {ROLE}

    processing = {name: arguments for name, arguments in steps.items() if name != "Train"}
    for name, arguments in processing.items():
        assert arguments["AppSpecification"]["ContainerArguments"] == ["job", name.lower()]
    inputs = {
        name: {one["InputName"]: one["S3Input"]["S3Uri"] for one in arguments["ProcessingInputs"]}
        for name, arguments in processing.items()
    }
    candidate = {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}
    champion = f"s3://shop-artifacts/packages/churn/{original.digest.removeprefix('sha256:')}/"
    report = {"Get": "Steps.Validate.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"}
    verdict = {"Get": "Steps.Gate.ProcessingOutputConfig.Outputs['verdict'].S3Output.S3Uri"}
    assert inputs == {
        "Validate": {"candidate": candidate, "champion": champion},
        "Gate": {"candidate": candidate, "champion": champion, "report": report},
        "Publish": {"candidate": candidate, "champion": champion, "verdict": verdict},
    }
    published = {
        "MODELBERTH_BUCKET": "s3://shop-artifacts",
        "MODELBERTH_MODEL": "churn",
        "MODELBERTH_EXECUTION": {"Get": "Execution.PipelineExecutionId"},
    }
    rules = '{"max_age":"30d","metrics":{"accuracy":{"min":0.8}},"no_worse_than":"champion"}'
    assert steps["Gate"]["Environment"] == {"MODELBERTH_GATE": rules, **published}
    assert steps["Publish"]["Environment"] == published
    assert pipeline.inputs["roleArn"] == ROLE
    policy = deployed.one("iam/rolePolicy:RolePolicy", "churn-job-policy")
    assert policy.urn in pipeline.request.dependencies


def test_the_machine_may_be_named(source: Path) -> None:
    deployed = retraining(source, sagemaker={"instance_type": "ml.g5.xlarge", "volume_gb": 100})
    train = deployed.one("sagemaker/pipeline:Pipeline").json("pipelineDefinition")["Steps"][0]["Arguments"]
    assert train["ResourceConfig"] == {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 100}


def test_what_sagemaker_cannot_do(source: Path, tmp_path: Path) -> None:
    def wrong(**args: Any) -> list[str]:
        with pytest.raises(SpecificationError) as caught:
            retraining(source, **args)
        return caught.value.problems

    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".hidden").write_text("")
    assert wrong(data=empty) == [f"churn.data: '{empty}' holds no file (hidden ones and caches are left out)"]
    assert wrong(entrypoint="__pycache__/train.pyc") == [
        "churn.entrypoint: '__pycache__/train.pyc' would not be uploaded: hidden files and caches are left out"
    ]
    assert wrong(timeout="1500ms") == ["churn.timeout: SageMaker counts in whole seconds, and at most 28d"]
    assert wrong(flexible_window="90s") == ["churn.flexible_window: EventBridge Scheduler counts in whole minutes"]
    assert wrong(parameters={"x": "y" * 2500}) == [
        "churn.parameters: 2508 characters of JSON are more than the 2500 that SageMaker takes: put them in a file "
        "beside the script"
    ]
    (problem,) = wrong(gate={"metrics": {f"metric_number_{number}": {"min": 0.5} for number in range(20)}})
    assert problem.startswith("churn.gate: ")
    assert "more than the 256 that SageMaker hands to a job" in problem
