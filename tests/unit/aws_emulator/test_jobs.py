"""Training and processing jobs, driven by plain boto3. Sources stand in sandbox/aws/{jobs,training,processing}.py."""

import io
import json
import sys
import tarfile
from typing import Any

import pytest

from tests.unit.aws_emulator.conftest import IMAGE, Account, refused, wait_for

ARN = "arn:aws:sagemaker:eu-central-1:123456789012"


def training(account: Account, **more: Any) -> dict[str, Any]:
    account("s3").put_object(Bucket="bucket", Key="data/a/one.txt", Body="1")
    account("s3").put_object(Bucket="bucket", Key="data/two.txt", Body="2")
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}
    return {
        "TrainingJobName": account.name("train"),
        "RoleArn": account.role,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": [{"ChannelName": "training", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/trained"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }


def processing(account: Account, **more: Any) -> dict[str, Any]:
    account("s3").put_object(Bucket="bucket", Key="text/a.txt", Body="words")
    return {
        "ProcessingJobName": account.name("process"),
        "RoleArn": account.role,
        "AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": ["process"]},
        "ProcessingInputs": [
            {
                "InputName": "in",
                "S3Input": {
                    "S3Uri": "s3://bucket/text/",
                    "LocalPath": "/opt/ml/processing/in",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": "s3://bucket/processed",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10}
        },
        **more,
    }


def trained(account: Account, name: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        found = account("sagemaker").describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] in {"Completed", "Failed", "Stopped"} else None

    return wait_for(probe)


def processed(account: Account, name: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        found = account("sagemaker").describe_processing_job(ProcessingJobName=name)
        return found if found["ProcessingJobStatus"] in {"Completed", "Failed", "Stopped"} else None

    return wait_for(probe)


def run_training(account: Account, **more: Any) -> dict[str, Any]:
    given = training(account, **more)
    account("sagemaker").create_training_job(**given)
    return trained(account, given["TrainingJobName"])


def run_processing(account: Account, **more: Any) -> dict[str, Any]:
    given = processing(account, **more)
    account("sagemaker").create_processing_job(**given)
    return processed(account, given["ProcessingJobName"])


def body(account: Account, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bytes(account("s3").get_object(Bucket=bucket, Key=key)["Body"].read())


def logged(account: Account, group: str, job: str) -> list[str]:
    streams = account("logs").describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/algo-1-")
    name = streams["logStreams"][0]["logStreamName"]
    events = account("logs").get_log_events(logGroupName=group, logStreamName=name)["events"]
    return [one["message"] for one in events]


def test_a_training_job_trains_on_its_channels_and_uploads_its_model(account: Account) -> None:
    told = run_training(account, HyperParameters={"prefix": "m"}, Tags=[{"Key": "team", "Value": "x"}])
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Completed", "Completed")
    passed = [one["Status"] for one in told["SecondaryStatusTransitions"]]
    assert passed == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in one for one in told["SecondaryStatusTransitions"])
    name = told["TrainingJobName"]
    assert told["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://bucket/trained/{name}/output/model.tar.gz"
    archive = io.BytesIO(body(account, told["ModelArtifacts"]["S3ModelArtifacts"]))
    with tarfile.open(fileobj=archive) as tar:
        assert tar.getnames() == ["weights.txt"]
        weights = tar.extractfile("weights.txt")
        assert weights is not None and weights.read() == b"m12"
    assert logged(account, "/aws/sagemaker/TrainingJobs", name) == ["training with {'prefix': 'm'}"]
    assert account("sagemaker").list_tags(ResourceArn=told["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "x"}]
    listed = account("sagemaker").list_training_jobs(NameContains=name, StatusEquals="Completed")
    assert [one["TrainingJobName"] for one in listed["TrainingJobSummaries"]] == [name]


def test_a_failed_training_job_tells_its_reason_and_exit_code(account: Account) -> None:
    told = run_training(account, HyperParameters={"fail": "yes"})
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Failed", "Failed")
    assert told["FailureReason"] == "AlgorithmError: the data are too few, exit code: 1"
    assert "S3ModelArtifacts" not in told.get("ModelArtifacts", {})


def test_the_container_finds_its_configuration_and_variables(account: Account) -> None:
    script = (
        "import json, os, sys, pathlib as p; "
        "found = {f.stem: json.loads(f.read_text()) for f in p.Path(sys.argv[1]).iterdir()}; "
        "found['environment'] = dict(os.environ); p.Path(sys.argv[2]).write_text(json.dumps(found))"
    )
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "-c", script],
        "ContainerArguments": ["/opt/ml/input/config", "/opt/ml/output/data/found.json"],
    }
    told = run_training(
        account, AlgorithmSpecification=algorithm, HyperParameters={"depth": "3"}, Environment={"MINE": "1"}
    )
    assert told["TrainingJobStatus"] == "Completed", told
    archive = io.BytesIO(body(account, f"s3://bucket/trained/{told['TrainingJobName']}/output/output.tar.gz"))
    with tarfile.open(fileobj=archive) as tar:
        member = tar.extractfile("found.json")
        assert member is not None
        found = json.load(member)
    assert found["hyperparameters"] == {"depth": "3"}
    assert found["inputdataconfig"] == {
        "training": {
            "TrainingInputMode": "File",
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
    }
    assert found["resourceconfig"]["current_host"] == "algo-1"
    expected = {"TRAINING_JOB_NAME": told["TrainingJobName"], "AWS_REGION": "eu-central-1", "MINE": "1"}
    assert expected.items() <= found["environment"].items()


def test_a_job_beyond_its_runtime_is_stopped_and_keeps_its_model(fast: Account) -> None:
    # The program ignores SIGTERM, so it is killed after the 120 seconds of StopTrainingJob, two of the fast clock.
    script = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True)); "
        "open(sys.argv[1], 'w').write('half'); print('ready', flush=True); "
        "[time.sleep(0.1) for _ in iter(int, 1)]"
    )
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "-c", script],
        "ContainerArguments": ["/opt/ml/model/part.txt"],
    }
    given = training(fast, AlgorithmSpecification=algorithm, StoppingCondition={"MaxRuntimeInSeconds": 1})
    fast("sagemaker").create_training_job(**given)
    told = trained(fast, given["TrainingJobName"])
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert logged(fast, "/aws/sagemaker/TrainingJobs", given["TrainingJobName"])[:2] == ["ready", "asked"]
    assert body(fast, told["ModelArtifacts"]["S3ModelArtifacts"])
    assert not [one for one in fast.handle.get("processes") if given["TrainingJobName"] in one["name"]]


def test_a_stopped_training_job_has_time_to_save_its_model(account: Account) -> None:
    # Four seconds are less than StopTrainingJob's 120, and more than a container has when the emulator itself ends.
    script = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(4), "
        "open(sys.argv[1], 'w').write('saved'), sys.exit())); print('ready', flush=True); time.sleep(60)"
    )
    algorithm = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "-c", script],
        "ContainerArguments": ["/opt/ml/model/saved.txt"],
    }
    given = training(account, AlgorithmSpecification=algorithm)
    name = given["TrainingJobName"]
    account("sagemaker").create_training_job(**given)

    def has_printed() -> bool:
        logs, group = account("logs"), "/aws/sagemaker/TrainingJobs"
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return False
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")
        return bool(streams["logStreams"])

    wait_for(has_printed)
    assert account("sagemaker").describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training"
    account("sagemaker").stop_training_job(TrainingJobName=name)
    told = trained(account, name)
    assert (told["TrainingJobStatus"], told["SecondaryStatus"]) == ("Stopped", "Stopped")
    passed = [one["Status"] for one in told["SecondaryStatusTransitions"]]
    assert passed[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert body(account, told["ModelArtifacts"]["S3ModelArtifacts"])
    assert refused(account("sagemaker").stop_training_job, TrainingJobName=name) == (
        "ValidationException",
        "The request was rejected because the training job is in status Stopped.",
    )


def test_a_processing_job_reads_its_inputs_and_uploads_its_outputs(account: Account) -> None:
    told = run_processing(account, Environment={"SUFFIX": "!"})
    assert told["ProcessingJobStatus"] == "Completed", told
    assert body(account, "s3://bucket/processed/report.txt") == b"WORDS!"
    assert "ExitMessage" not in told and "FailureReason" not in told
    name = told["ProcessingJobName"]
    listed = account("sagemaker").list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert [one["ProcessingJobStatus"] for one in listed] == ["Completed"]


def test_a_failed_processing_job_tells_its_exit_message_and_uploads_nothing(account: Account) -> None:
    outputs = processing(account)["ProcessingOutputConfig"]
    outputs["Outputs"][0]["S3Output"]["S3Uri"] = "s3://bucket/refused"
    told = run_processing(account, Environment={"REFUSE": "1"}, ProcessingOutputConfig=outputs)
    assert told["ProcessingJobStatus"] == "Failed"
    assert told["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert told["ExitMessage"] == "auc 0.4 is below 0.8"
    assert account("s3").list_objects_v2(Bucket="bucket", Prefix="refused/")["KeyCount"] == 0


def test_the_entrypoint_replaces_the_images_and_sees_paths_below_opt_ml(account: Account) -> None:
    script = b"import sys; open(sys.argv[1] + '/report.txt', 'w').write(open(sys.argv[2]).read() + ' by script')"
    account("s3").put_object(Bucket="bucket", Key="code/script.py", Body=script)
    given = processing(account)
    given["ProcessingInputs"].append(
        {
            "InputName": "code",
            "S3Input": {
                "S3Uri": "s3://bucket/code/script.py",
                "LocalPath": "/opt/ml/processing/input/code",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    )
    told = run_processing(
        account,
        ProcessingInputs=given["ProcessingInputs"],
        AppSpecification={
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"],
            "ContainerArguments": ["/opt/ml/processing/out", "/opt/ml/processing/in/a.txt"],
        },
    )
    assert told["ProcessingJobStatus"] == "Completed", told
    assert body(account, "s3://bucket/processed/report.txt") == b"words by script"


def test_jobs_whose_data_or_bucket_are_missing_fail_with_a_client_error(account: Account) -> None:
    given = processing(account)
    given["ProcessingInputs"][0]["S3Input"]["S3Uri"] = "s3://bucket/absent/"
    told = run_processing(account, ProcessingInputs=given["ProcessingInputs"])
    assert told["ProcessingJobStatus"] == "Failed"
    assert told["FailureReason"].startswith("ClientError: Failed to download data.")
    told = run_training(account, OutputDataConfig={"S3OutputPath": "s3://absent/x"})
    assert told["TrainingJobStatus"] == "Failed"
    assert told["FailureReason"].startswith("ClientError: Artifact upload failed:")


def test_what_a_job_needs_is_checked_when_it_is_created(account: Account) -> None:
    create = account("sagemaker").create_training_job
    given = training(account)
    create(**given)
    code, message = refused(create, **given)
    assert code == "ResourceInUse" and f"({ARN}:training-job/{given['TrainingJobName']})" in message
    stranger = account.make_role(account.name("stranger"), "lambda.amazonaws.com")
    assert refused(create, **training(account, RoleArn=stranger))[1].startswith(f"Could not assume role {stranger}.")
    absent = IMAGE.replace("test:1", "absent:1")
    algorithm = {"TrainingImage": absent, "TrainingInputMode": "File"}
    assert refused(create, **training(account, AlgorithmSpecification=algorithm)) == (
        "ValidationException",
        f"Requested image {absent} not found.",
    )
    # The text is the one in aws/amazon-sagemaker-examples issue 2489.
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/absent"}
    channels = [{"ChannelName": "training", "DataSource": {"S3DataSource": source}}]
    code, message = refused(create, **training(account, InputDataConfig=channels))
    assert code == "ValidationException"
    assert message.startswith('No S3 objects found under S3 URL "s3://bucket/absent" given in input data source.')
    resources = {"InstanceType": "ml.banana", "InstanceCount": 1, "VolumeSizeInGB": 10}
    assert "'ml.banana'" in refused(create, **training(account, ResourceConfig=resources))[1]
    assert refused(account("sagemaker").describe_training_job, TrainingJobName="absent") == (
        "ValidationException",
        "Requested resource not found.",
    )

    process = account("sagemaker").create_processing_job
    given = processing(account)
    given["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/opt/ml/processing/../../../tmp"
    assert "must be below /opt/ml/processing" in refused(process, **given)[1]
    given = processing(account)
    given["ProcessingOutputConfig"]["Outputs"] *= 2
    assert "must be unique" in refused(process, **given)[1]
    assert refused(account("sagemaker").describe_processing_job, ProcessingJobName="absent")[1] == (
        "Could not find requested job with name: absent"
    )


@pytest.mark.parametrize("code", [3, 137])
def test_without_a_failure_file_the_exit_code_remains(account: Account, code: int) -> None:
    program = [sys.executable, "-c", f"import os; os.kill(os.getpid(), 9) if {code} == 137 else os._exit({code})"]
    reference = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/ends:{code}"
    account.handle.post("images", reference=reference, entrypoint=program)
    algorithm = {"TrainingImage": reference, "TrainingInputMode": "File"}
    assert (
        run_training(account, AlgorithmSpecification=algorithm)["FailureReason"]
        == f"AlgorithmError: , exit code: {code}"
    )
