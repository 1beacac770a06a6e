"""A SageMaker endpoint: what is put into the bucket, what runs, how it is updated and scaled."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
from modelberth import ModelDeployment, ModelEndpoint, SpecificationError

from model_packaging.package import Package
from tests.unit.components.cloud import ACCOUNT, IMAGE, KEY, Deployed, deploy

CONFIGURATION = "sagemaker/endpointConfiguration:EndpointConfiguration"


def endpoint(package: Package, preview: bool = False, known: bool = False, **args: Any) -> Deployed:
    common = {"platform": "sagemaker", "package": package, "image": IMAGE, "bucket": "s3://shop-artifacts"}
    return deploy(lambda: ModelEndpoint("churn", common | args), preview=preview, known=known)


def wrong(package: Package, **args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        endpoint(package, **args)
    return caught.value.problems


def test_the_package_is_kept_by_content_with_the_manifest_last(original: Package) -> None:
    deployed = endpoint(original)
    objects = deployed.of("s3/bucketObjectv2:BucketObjectv2")
    prefix = f"packages/churn/{original.digest.removeprefix('sha256:')}/"
    assert {one.inputs["key"] for one in objects} == {prefix + file for file in [*original.files, "manifest.json"]}
    for one in objects:
        file = one.inputs["key"].removeprefix(prefix)
        assert Path(one.inputs["source"].path).read_bytes() == (original.path / file).read_bytes()
        assert one.request.retainOnDelete
    (manifest,) = [one for one in objects if one.inputs["key"].endswith("/manifest.json")]
    assert set(manifest.request.dependencies) >= {one.urn for one in objects if one is not manifest}


def test_the_model_waits_for_its_files_and_its_rights(original: Package) -> None:
    deployed = endpoint(original)
    model = deployed.one("sagemaker/model:Model")
    needed = [*deployed.of("s3/bucketObjectv2:BucketObjectv2"), *deployed.of("iam/rolePolicy:RolePolicy")]
    assert set(model.request.dependencies) >= {one.urn for one in needed}
    assert model.inputs["primaryContainer"] == {
        "image": IMAGE,
        "environment": {"MODELBERTH_PACKAGE_DIGEST": original.digest},
        "modelDataSource": {
            "s3DataSources": [
                {
                    "s3Uri": f"s3://shop-artifacts/packages/churn/{original.digest.removeprefix('sha256:')}/",
                    "s3DataType": "S3Prefix",
                    "compressionType": "None",
                }
            ]
        },
    }
    assert model.inputs["executionRoleArn"].endswith("/shop-dev-churn-serve")


NEW_EACH_TIME = ("aws:sagemaker/model:Model", f"aws:{CONFIGURATION}")


def model_name(deployed: Deployed, variant: str) -> str:
    """The physical name of a variant's model, as the provider made it."""
    (model,) = [one for one in deployed.of("sagemaker/model:Model") if one.name.startswith(f"churn-{variant}-model-")]
    return f"{model.name}-1a2b3c4"


def test_a_new_package_makes_a_new_model_and_configuration_behind_the_same_name(
    original: Package, candidate: Package
) -> None:
    """Models and configurations are named by the provider, so that the new ones stand beside the old."""
    before, after = endpoint(original), endpoint(candidate)
    for deployed in (before, after):
        assert "name" not in deployed.one("sagemaker/model:Model").inputs
        assert "name" not in deployed.one(CONFIGURATION).inputs
        assert deployed.one("sagemaker/endpoint:Endpoint").inputs["name"] == "shop-dev-churn"
    containers = [one.one("sagemaker/model:Model").inputs["primaryContainer"] for one in (before, after)]
    assert containers[0] != containers[1]
    # Two resources, not one that is replaced: the engine deletes the old one only once the update has succeeded.
    others = [{one.name for one in deployed.made if one.type not in NEW_EACH_TIME} for deployed in (before, after)]
    assert others[0] == others[1]
    for kind in ("sagemaker/model:Model", CONFIGURATION):
        assert before.one(kind).name != after.one(kind).name
        assert before.one(kind).name == endpoint(original).one(kind).name


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": {"min": 3}},
        {"compute": {"cpu": 8}},
        {"capture": {"sample": "50%"}},
        {"image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/modelberth:9"},
        {"encryption_key": KEY},
        {"sagemaker": {"volume_size_gb": 20}},
    ],
)
def test_whatever_changes_a_configuration_makes_another_one(original: Package, changes: dict[str, Any]) -> None:
    before, after = endpoint(original), endpoint(original, **changes)
    assert before.one(CONFIGURATION).name != after.one(CONFIGURATION).name


def test_the_configuration(original: Package) -> None:
    (variant,) = endpoint(original).one(CONFIGURATION).inputs["productionVariants"]
    assert variant == {
        "variantName": "primary",
        "modelName": model_name(endpoint(original), "primary"),
        "instanceType": "ml.c5.large",
        "initialInstanceCount": 1,
        "initialVariantWeight": 1.0,
        "containerStartupHealthCheckTimeoutInSeconds": 600,
    }
    options = {"instance_type": "ml.m5.large", "volume_size_gb": 20, "startup_timeout_seconds": 60}
    (variant,) = endpoint(original, sagemaker=options).one(CONFIGURATION).inputs["productionVariants"]
    assert variant["instanceType"] == "ml.m5.large"
    assert (variant["volumeSizeInGb"], variant["containerStartupHealthCheckTimeoutInSeconds"]) == (20, 60)


def test_capture_is_asked_for(original: Package) -> None:
    assert "dataCaptureConfig" not in endpoint(original).one(CONFIGURATION).inputs
    capture = endpoint(original, capture={"sample": "25%"}).one(CONFIGURATION).inputs["dataCaptureConfig"]
    assert capture == {
        "enableCapture": True,
        "initialSamplingPercentage": 25,
        "destinationS3Uri": "s3://shop-artifacts/capture",
        "captureOptions": [{"captureMode": "Input"}, {"captureMode": "Output"}],
        "captureContentTypeHeader": {
            "csvContentTypes": ["text/csv"],
            "jsonContentTypes": ["application/json", "application/jsonlines"],
        },
    }


def deployment(deployed: Deployed) -> Any:
    return deployed.one("sagemaker/endpoint:Endpoint").inputs["deploymentConfig"]


def test_all_traffic_shifts_at_once_unless_a_canary_goes_first(original: Package) -> None:
    assert deployment(endpoint(original)) == {
        "blueGreenUpdatePolicy": {
            "trafficRoutingConfiguration": {"type": "ALL_AT_ONCE", "waitIntervalInSeconds": 300},
            "terminationWaitInSeconds": 0,
            "maximumExecutionTimeoutInSeconds": 3600,
        }
    }
    rollout = {"canary": "25%", "bake": "20m"}
    policy = deployment(endpoint(original, scale={"min": 4}, rollout=rollout))["blueGreenUpdatePolicy"]
    assert policy["trafficRoutingConfiguration"] == {
        "type": "CANARY",
        "waitIntervalInSeconds": 1200,
        "canarySize": {"type": "INSTANCE_COUNT", "value": 1},
    }
    assert policy["maximumExecutionTimeoutInSeconds"] == 4 * 1200 + 1800


@pytest.mark.parametrize(("replicas", "canary", "count"), [(2, "10%", 1), (3, "50%", 1), (10, "30%", 3), (10, "1%", 1)])
def test_a_canary_is_whole_replicas_and_no_more_than_half(
    replicas: int, canary: str, count: int, original: Package
) -> None:
    deployed = endpoint(original, scale={"min": replicas}, rollout={"canary": canary})
    routing = deployment(deployed)["blueGreenUpdatePolicy"]["trafficRoutingConfiguration"]
    assert routing["canarySize"]["value"] == count <= replicas / 2


def test_alarms_roll_an_update_back(original: Package) -> None:
    alarms = deployment(endpoint(original, rollback_alarms=["late", "wrong"]))["autoRollbackConfiguration"]
    assert alarms == {"alarms": [{"alarmName": "late"}, {"alarmName": "wrong"}]}


def test_a_deployment_rolls_back_on_the_alarms_that_tell_good_from_bad(original: Package) -> None:
    rules = {"latency_p95": {"above": "1s"}, "error_rate": {"above": "1%"}, "invocations": {"below": 1}}
    args = {"platform": "sagemaker", "package": original, "image": IMAGE, "alarms": rules}
    deployed = deploy(lambda: ModelDeployment("churn", args))
    assert deployment(deployed)["autoRollbackConfiguration"]["alarms"] == [
        {"alarmName": "shop-dev-churn-alarms-error-rate"},
        {"alarmName": "shop-dev-churn-alarms-latency-p95"},
    ]
    alarms = {one.urn for one in deployed.of("cloudwatch/metricAlarm:MetricAlarm") if "invocations" not in one.name}
    assert alarms <= set(deployed.one("sagemaker/endpoint:Endpoint").request.dependencies)


def test_time_limits_and_the_hook(original: Package) -> None:
    request = endpoint(original).one("sagemaker/endpoint:Endpoint").request
    limits = request.customTimeouts
    assert (limits.create, limits.update, limits.delete) == ("60m", "2h", "30m")
    assert list(request.hooks.on_error) == ["modelberth-sagemaker-explain"]


def test_scaling_is_asked_for(original: Package) -> None:
    assert endpoint(original).of("appautoscaling/target:Target") == []
    deployed = endpoint(original, scale={"min": 2, "max": 5, "requests_per_replica": 600})
    target = deployed.one("appautoscaling/target:Target").inputs
    assert {key: value for key, value in target.items() if key != "tags"} == {
        "serviceNamespace": "sagemaker",
        "resourceId": "endpoint/shop-dev-churn/variant/primary",
        "scalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "minCapacity": 2,
        "maxCapacity": 5,
    }
    policy = deployed.one("appautoscaling/policy:Policy").inputs
    assert policy["policyType"] == "TargetTrackingScaling"
    assert policy["resourceId"] == target["resourceId"]
    assert policy["targetTrackingScalingPolicyConfiguration"] == {
        "targetValue": 600.0,
        "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        "scaleInCooldown": 300,
        "scaleOutCooldown": 60,
    }


def test_variants_share_traffic_and_scale_each(original: Package, candidate: Package) -> None:
    variants = {"primary": {"weight": 90}, "next": {"package": str(candidate.path), "weight": 10}}
    deployed = endpoint(original, variants=variants, scale={"min": 1, "max": 2})
    found = deployed.one(CONFIGURATION).inputs["productionVariants"]
    assert {one["variantName"]: (one["initialVariantWeight"], one["modelName"]) for one in found} == {
        "primary": (0.9, model_name(deployed, "primary")),
        "next": (0.1, model_name(deployed, "next")),
    }
    digests = {
        one.name.rpartition("-")[0]: one.inputs["primaryContainer"]["environment"]["MODELBERTH_PACKAGE_DIGEST"]
        for one in deployed.of("sagemaker/model:Model")
    }
    assert digests == {"churn-primary-model": original.digest, "churn-next-model": candidate.digest}
    assert [one.inputs["resourceId"].rpartition("/")[2] for one in deployed.of("appautoscaling/target:Target")] == [
        "next",
        "primary",
    ]


def test_a_shadow_gets_a_copy_of_each_request(original: Package, candidate: Package) -> None:
    deployed = endpoint(original, shadow=candidate.path)
    configuration = deployed.one(CONFIGURATION).inputs
    assert [one["variantName"] for one in configuration["productionVariants"]] == ["primary"]
    (shadow,) = configuration["shadowProductionVariants"]
    assert (shadow["variantName"], shadow["modelName"]) == ("shadow", model_name(deployed, "shadow"))
    policy = deployed.one("iam/rolePolicy:RolePolicy").json("policy")
    read = next(statement for statement in policy["Statement"] if statement["Sid"] == "ReadObjects")
    assert read["Resource"] == ["arn:aws:s3:::shop-artifacts/packages/churn/*"]


def test_an_update_is_verified_but_not_a_preview(original: Package, verified: list[tuple[Any, ...]]) -> None:
    endpoint(original, preview=True)
    endpoint(original, preview=True, known=True)
    assert verified == []
    deployed = endpoint(original, rollback_alarms=["late"])
    urn = deployed.one("sagemaker/endpoint:Endpoint").urn
    access = {"profile": None, "access_key": None, "secret_key": None, "token": None, "region": "eu-central-1"}
    assert verified == [("shop-dev-churn", f"{deployed.one(CONFIGURATION).name}-1a2b3c4", access, ["late"], urn)]


def test_an_update_that_was_rolled_back_fails_loudly(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    def rolled_back(*arguments: Any) -> None:
        raise pulumi.RunError("was rolled back because late fired")

    monkeypatch.setattr("modelberth.platforms.sagemaker.live.verify", rolled_back)
    with pytest.raises(pulumi.RunError, match="was rolled back because late fired"):
        endpoint(original)


def test_what_sagemaker_cannot_do(original: Package) -> None:
    assert wrong(original, rollout={"canary": "10%"}) == [
        "churn.rollout.canary: sagemaker can't give a canary its share of the traffic where one replica runs: "
        "SageMaker takes at most half of the replicas for a canary, so scale.min must be at least 2; or leave canary "
        "out: all traffic then shifts at once, watched; vertex can"
    ]
    assert wrong(original, encryption_key="alias/mine") == [
        "churn.encryption_key: 'alias/mine' is no ARN of a KMS key: write arn:aws:kms:<region>:<account>:key/<id>, no "
        "alias"
    ]
    assert wrong(original, bucket="gs://models") == [
        "churn.bucket: 'gs://models' is no bucket of S3: write s3://<name>, such as the output url of ArtifactBucket"
    ]
    assert wrong(original, sagemaker={"instance_type": "ml.t2.medium"}, scale={"min": 1, "max": 2}) == [
        "churn.scale.max: ml.t2.medium can't be scaled automatically (SageMaker refuses burstable machines): leave max "
        "out, or name another machine"
    ]
    assert wrong(original, scale={"min": 0, "max": 2}) == [
        "churn.scale.min: sagemaker can't run no replica while nobody asks: SageMaker scales to no instance only what "
        "is made of inference components, and then refuses requests until one runs; ours is made of variants, which "
        "keep one: write at least 1; kubernetes can"
    ]
    assert wrong(original, compute={"cpu": 500}) == [
        "churn.compute: no SageMaker machine has 500 processors and 2Gi of memory: the largest, ml.r7i.48xlarge, has "
        "192 and 1536Gi"
    ]
    assert wrong(original, rollback_alarms=[str(number) for number in range(11)]) == [
        "churn: SageMaker watches at most 10 alarms during an update"
    ]
    assert wrong(original, sagemaker={"startup_timeout_seconds": 5}) == [
        "churn.sagemaker.startup_timeout_seconds: 5 is out of range: must be at least 60"
    ]


def test_only_sagemaker_takes_on_the_role_and_only_for_this_account(original: Package) -> None:
    role = endpoint(original).one("iam/role:Role")
    assert role.json("assumeRolePolicy")["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    ]
