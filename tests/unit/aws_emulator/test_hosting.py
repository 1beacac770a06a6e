"""Hosting, driven by plain boto3. Sources stand in sandbox/aws/hosting.py and invocation.py."""

import base64
import io
import json
import tarfile
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.aws_emulator.conftest import IMAGE, Account, refused, variant, wait_for


def test_an_endpoint_goes_through_creating_to_in_service_and_away(account: Account) -> None:
    sagemaker = account("sagemaker")
    endpoint = account.endpoint(account.config(variant(account.model("7"))))
    assert sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Creating"
    told = account.settled(endpoint)
    assert told["EndpointStatus"] == "InService"
    deployed = told["ProductionVariants"][0]
    assert deployed["CurrentInstanceCount"] == 1
    assert "@sha256:" in deployed["DeployedImages"][0]["ResolvedImage"]
    assert account.invoke(endpoint) == "x 7"
    sagemaker.delete_endpoint(EndpointName=endpoint)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig={"Delay": 1})
    assert not [one for one in account.handle.get("processes") if endpoint in one["name"]]
    assert refused(account("sagemaker-runtime").invoke_endpoint, EndpointName=endpoint, Body=b"x") == (
        "ValidationError",
        f"Endpoint {endpoint} of account 123456789012 not found.",
    )


def test_a_compressed_model_is_unpacked(account: Account) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("weights.txt")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"42"))
    account("s3").put_object(Bucket="bucket", Key="m/model.tar.gz", Body=buffer.getvalue())
    account("sagemaker").create_model(
        ModelName="compressed",
        ExecutionRoleArn=account.role,
        PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://bucket/m/model.tar.gz"},
    )
    endpoint = account.endpoint(account.config(variant("compressed")))
    account.settled(endpoint)
    assert account.invoke(endpoint) == "x 42"


def test_a_container_that_ends_before_it_answers_ping_fails_the_endpoint(account: Account) -> None:
    endpoint = account.endpoint(account.config(variant(account.model(MODE="exit"))))
    told = account.settled(endpoint)
    assert told["EndpointStatus"] == "Failed"
    assert told["FailureReason"] == (
        "The primary container for production variant main did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    streams = account("logs").describe_log_streams(logGroupName=group)["logStreams"]
    events = account("logs").get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"])["events"]
    assert streams[0]["logStreamName"].startswith("main/i-")
    assert [one["message"] for one in events] == ["loading the model", "the model is broken"]


def test_what_does_not_exist_or_exists_already_is_refused(account: Account) -> None:
    sagemaker, model = account("sagemaker"), account.model()
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/absent.tar.gz"}
    arn = "arn:aws:sagemaker:eu-central-1:123456789012"
    create = sagemaker.create_model
    assert refused(create, ModelName=model, PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=account.role) == (
        "ValidationException",
        f'Cannot create already existing model "{arn}:model/{model}".',
    )
    assert refused(create, ModelName="n", PrimaryContainer=container, ExecutionRoleArn=account.role) == (
        "ValidationException",
        "Could not find model data at s3://bucket/absent.tar.gz.",
    )
    image = IMAGE.replace("test:1", "test:2")
    assert (
        "not found"
        in refused(create, ModelName="n", PrimaryContainer={"Image": image}, ExecutionRoleArn=account.role)[1]
    )
    stranger = account.make_role("stranger", "lambda.amazonaws.com")
    for role in (stranger, account.role + "-absent"):
        message = refused(create, ModelName="n", PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=role)[1]
        assert message.startswith(f"Could not assume role {role}.")
    code, message = refused(sagemaker.create_endpoint, EndpointName="n", EndpointConfigName="absent")
    assert message == f'Could not find endpoint configuration "{arn}:endpoint-config/absent".'
    code, message = refused(
        sagemaker.create_endpoint_config, EndpointConfigName="n", ProductionVariants=[variant("absent")]
    )
    assert (code, message) == ("ValidationException", f'Could not find model "{arn}:model/absent".')


def test_requests_are_checked_against_the_published_model(account: Account) -> None:
    create, model = account("sagemaker").create_endpoint_config, account.model()
    bad = variant(model) | {"InstanceType": "ml.banana"}
    code, message = refused(create, EndpointConfigName="n", ProductionVariants=[bad])
    assert code == "ValidationException"
    assert "Value 'ml.banana' at 'productionVariants.1.member.instanceType'" in message
    code, message = refused(create, EndpointConfigName="under_score", ProductionVariants=[variant(model)])
    assert "'endpointConfigName'" in message and "regular expression pattern" in message
    for kind in ("ml.m6i.large", "ml.c7i.xlarge", "ml.g6.xlarge", "ml.p5.48xlarge", "ml.inf2.xlarge"):
        account.config(variant(model) | {"InstanceType": kind})


def test_model_errors_carry_the_containers_status_and_text(account: Account) -> None:
    endpoint = account.endpoint(account.config(variant(account.model())))
    account.settled(endpoint)
    for body, status, text in ((b"bad", 400, "column 3 is missing"), (b"broken", 500, "out of luck")):
        with pytest.raises(ClientError) as caught:
            account("sagemaker-runtime").invoke_endpoint(EndpointName=endpoint, Body=body)
        response: Any = caught.value.response
        assert response["Error"]["Code"] == "ModelError"
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert (response["OriginalStatusCode"], response["OriginalMessage"]) == (status, text)
    answer = account("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, Body=b"x", Accept="text/csv", CustomAttributes="trace=1"
    )
    assert (answer["ContentType"], answer["CustomAttributes"]) == ("text/csv", "trace=1")
    assert answer["InvokedProductionVariant"] == "main"


def test_weights_targets_and_shadows(account: Account) -> None:
    first, second = account.model("1"), account.model("2")
    endpoint = account.endpoint(account.config(variant(first, "a", 1), variant(second, "b", 0)))
    account.settled(endpoint)
    assert {account.invoke(endpoint) for _ in range(5)} == {"x 1"}
    assert account.invoke(endpoint, TargetVariant="b") == "x 2"
    account("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName=endpoint,
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0},
            {"VariantName": "b", "DesiredWeight": 1},
        ],
    )
    account.settled(endpoint)
    assert {account.invoke(endpoint) for _ in range(5)} == {"x 2"}

    shadowed = account.config(variant(first), ShadowProductionVariants=[variant(second, "shadow")])
    described = account("sagemaker").describe_endpoint_config(EndpointConfigName=shadowed)
    assert described["ShadowProductionVariants"][0]["VariantName"] == "shadow"
    endpoint = account.endpoint(shadowed)
    assert account.settled(endpoint)["ShadowProductionVariants"][0]["VariantName"] == "shadow"
    assert account.invoke(endpoint) == "x 1"

    def counted() -> bool:
        found = account("cloudwatch").list_metrics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "shadow"}],
        )
        return bool(found["Metrics"])

    wait_for(counted)


def test_captured_traffic_has_sagemakers_form_and_path(account: Account) -> None:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://bucket/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    endpoint = account.endpoint(account.config(variant(account.model("5")), DataCaptureConfig=capture))
    account.settled(endpoint)
    account.invoke(endpoint, "1,2", ContentType="text/csv", Accept="application/json", InferenceId="id-1")

    def files() -> list[Any]:
        return account("s3").list_objects_v2(Bucket="bucket", Prefix=f"capture/{endpoint}/main/").get("Contents", [])

    key = wait_for(files)[0]["Key"]
    parts = key.split("/")
    assert len(parts) == 8 and [len(part) for part in parts[3:7]] == [4, 2, 2, 2] and key.endswith(".jsonl")
    record = json.loads(account("s3").get_object(Bucket="bucket", Key=key)["Body"].read())
    assert record["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "1,2",
        "encoding": "CSV",
    }
    output = record["captureData"]["endpointOutput"]
    assert (output["encoding"], base64.b64decode(output["data"])) == ("BASE64", b"1,2 5")
    assert record["eventVersion"] == "0" and record["eventMetadata"]["inferenceId"] == "id-1"


def test_no_request_fails_while_an_endpoint_is_updated(account: Account) -> None:
    endpoint = account.endpoint(account.config(variant(account.model("old"))))
    account.settled(endpoint)
    new = account.config(variant(account.model("new")))
    seen: list[str] = []
    problems: list[Exception] = []
    done = threading.Event()

    def load() -> None:
        client = account.handle.client("sagemaker-runtime")
        while not done.is_set():
            try:
                seen.append(client.invoke_endpoint(EndpointName=endpoint, Body=b"slow")["Body"].read().decode())
            except Exception as error:
                problems.append(error)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(seen) > 3)
    account("sagemaker").update_endpoint(EndpointName=endpoint, EndpointConfigName=new)
    assert account("sagemaker").describe_endpoint(EndpointName=endpoint)["EndpointStatus"] == "Updating"
    _code, message = refused(account("sagemaker").update_endpoint, EndpointName=endpoint, EndpointConfigName=new)
    assert message.startswith("Cannot update in-progress endpoint")
    assert account.settled(endpoint)["EndpointConfigName"] == new
    wait_for(lambda: seen[-1] == "slow new")
    done.set()
    for thread in threads:
        thread.join()
    assert not problems and {"slow old", "slow new"} == set(seen)
    wait_for(lambda: len([one for one in account.handle.get("processes") if endpoint in one["name"]]) == 1)


def test_an_update_that_does_not_start_leaves_the_old_fleet(account: Account) -> None:
    old = account.config(variant(account.model("old")))
    endpoint = account.endpoint(old)
    account.settled(endpoint)
    account("sagemaker").update_endpoint(
        EndpointName=endpoint, EndpointConfigName=account.config(variant(account.model(MODE="exit")))
    )
    told = account.settled(endpoint)
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", old)
    assert "did not pass the ping health check" in told["FailureReason"]
    assert account.invoke(endpoint) == "x old"


def canary(alarm: str, wait_seconds: int) -> dict[str, Any]:
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {
                "Type": "CANARY",
                "WaitIntervalInSeconds": wait_seconds,
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50},
            },
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
    }


def test_a_canary_takes_its_share_and_is_rolled_back_by_its_alarm(fast: Account) -> None:
    old = fast.config(variant(fast.model("old")))
    endpoint = fast.endpoint(old)
    fast.settled(endpoint)
    fast("cloudwatch").put_metric_alarm(
        AlarmName="canary",
        Namespace="n",
        MetricName="m",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    new = fast.config(variant(fast.model("new")))
    update = {"EndpointName": endpoint, "EndpointConfigName": new, "DeploymentConfig": canary("canary", 180)}
    fast("sagemaker").update_endpoint(**update)
    wait_for(lambda: fast.invoke(endpoint) == "x new")
    assert {fast.invoke(endpoint) for _ in range(20)} == {"x old", "x new"}
    fast("cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 5}])
    told = fast.settled(endpoint)
    assert (told["EndpointStatus"], told["EndpointConfigName"]) == ("InService", old)
    assert "canary" in told["FailureReason"]
    assert {fast.invoke(endpoint) for _ in range(5)} == {"x old"}

    wait_for(lambda: fast("cloudwatch").describe_alarms(AlarmNames=["canary"])["MetricAlarms"][0]["StateValue"] == "OK")
    update["DeploymentConfig"] = canary("canary", 60)
    fast("sagemaker").update_endpoint(**update)
    told = fast.settled(endpoint)
    assert told["EndpointConfigName"] == new and "FailureReason" not in told
    assert told["LastDeploymentConfig"] == update["DeploymentConfig"]


def test_a_killed_container_is_replaced(account: Account) -> None:
    endpoint = account.endpoint(account.config(variant(account.model("9"))))
    account.settled(endpoint)
    assert account.handle.post("kill", name=endpoint)["killed"]

    def serves() -> bool:
        try:
            return account.invoke(endpoint) == "x 9"
        except ClientError:
            return False

    wait_for(serves)


def test_tags_and_lists(account: Account) -> None:
    model = account.model()
    arn = account("sagemaker").describe_model(ModelName=model)["ModelArn"]
    account("sagemaker").add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}])
    assert account("sagemaker").list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "1"}]
    account("sagemaker").delete_tags(ResourceArn=arn, TagKeys=["a"])
    assert account("sagemaker").list_tags(ResourceArn=arn)["Tags"] == []
    assert account("sagemaker").list_models(NameContains=model)["Models"][0]["ModelName"] == model
    account("sagemaker").delete_model(ModelName=model)
    assert refused(account("sagemaker").describe_model, ModelName=model)[1].startswith("Could not find model")


def test_only_existing_variants_can_be_scaled(account: Account) -> None:
    register = account("application-autoscaling").register_scalable_target
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 2,
    }
    assert refused(register, ResourceId="endpoint/absent/variant/main", **target)[0] == "ValidationException"
    endpoint = account.endpoint(account.config(variant(account.model())))
    account.settled(endpoint)
    register(ResourceId=f"endpoint/{endpoint}/variant/main", **target)


def test_a_scaled_variant_keeps_its_machine_until_it_is_deregistered(account: Account) -> None:
    # Developer guide, "Update endpoints that use automatic scaling".
    scaling, model = account("application-autoscaling"), account.model()
    endpoint = account.endpoint(account.config(variant(model)))
    account.settled(endpoint)
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": f"endpoint/{endpoint}/variant/main",
    }
    scaling.register_scalable_target(MinCapacity=1, MaxCapacity=2, **target)
    tracking = {
        "TargetValue": 10.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    scaling.put_scaling_policy(
        PolicyName="load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=tracking,
        **target,
    )
    update = account("sagemaker").update_endpoint
    larger = account.config(variant(model) | {"InstanceType": "ml.m5.xlarge"})
    code, message = refused(update, EndpointName=endpoint, EndpointConfigName=larger)
    assert code == "ValidationException"
    assert "from ml.m7i.large to ml.m5.xlarge" in message
    update(EndpointName=endpoint, EndpointConfigName=account.config(variant(model, count=2)))
    account.settled(endpoint)
    scaling.deregister_scalable_target(**target)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    assert refused(scaling.deregister_scalable_target, **target)[0] == "ObjectNotFoundException"
    assert refused(scaling.delete_scaling_policy, PolicyName="load", **target)[0] == "ObjectNotFoundException"
    update(EndpointName=endpoint, EndpointConfigName=larger)
    assert account.settled(endpoint)["EndpointConfigName"] == larger


def test_two_images_have_their_own_digest_and_program(account: Account) -> None:
    # OCI image specification: the digest is that of the manifest, so the same image pushed again keeps it.
    registry = IMAGE.split("/")[0]
    for tag in ("one", "two", "one"):
        account.handle.post("images", reference=f"{registry}/many:{tag}", entrypoint=["program", tag])
    images = account("ecr").describe_images(repositoryName="many")["imageDetails"]
    assert sorted(one["imageTags"] for one in images) == [["one"], ["two"]]
    assert len({one["imageDigest"] for one in images}) == 2
