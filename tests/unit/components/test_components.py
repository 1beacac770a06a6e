"""What holds for each component, alone and as a part of a deployment."""

import copy
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from modelberth import (
    ArtifactBucket,
    ModelDeployment,
    ModelDeploymentArgs,
    ModelEndpoint,
    MonitoringAlarms,
    RetrainingSchedule,
    SpecificationError,
)

from model_packaging.package import Package
from tests.unit.components.cloud import IMAGE, KEY, Deployed, Made, deploy

TAGS = {"team": "growth", "modelberth:stack": "dev"}
BUCKET = "s3://shop-artifacts"
RULES: dict[str, Any] = {
    "latency_p95": {"above": "200ms"},
    "error_rate": {"above": "1%"},
    "cpu_utilization": {"above": "90%"},
    "drift.psi": {"above": 0.2},
}

Make = Callable[..., pulumi.ComponentResource]
Standard = Callable[[type[pulumi.ComponentResource]], Deployed]


class Makers:
    """A function for each component that makes one with arguments enough for all its resources."""

    def __init__(self, package: Package, source: Path) -> None:
        common: dict[str, Any] = {"platform": "sagemaker", "tags": TAGS}
        serving = {"capture": {}, "scale": {"min": 2, "max": 4}, "rollout": {"canary": "50%"}}
        schedule = {"schedule": "0 3 * * 1", "entrypoint": "train.py", "source": source}
        alarms = RULES | {"notify": ["mailto:ml@example.org"]}
        job = common | {"bucket": BUCKET, "image": IMAGE}
        self.arguments: dict[type[pulumi.ComponentResource], dict[str, Any]] = {
            ArtifactBucket: common,
            ModelEndpoint: job | serving | {"package": package},
            MonitoringAlarms: job | alarms | {"package": package, "endpoint_name": "churn", "model": "churn"},
            RetrainingSchedule: job | schedule | {"model": "churn", "on": ["drift"], "drift_alarm": "churn-drift"},
            ModelDeployment: common
            | {"package": package, "image": IMAGE, "endpoint": serving, "alarms": alarms}
            | {"retraining": schedule | {"on": ["drift"]}},
        }

    def __getitem__(self, kind: type[pulumi.ComponentResource]) -> Make:
        def make(name: str, opts: pulumi.ResourceOptions | None = None, **changes: Any) -> Any:
            return kind(name, self.arguments[kind] | changes, opts)  # pyright: ignore

        return make


COMPONENTS: list[type[pulumi.ComponentResource]] = [
    ArtifactBucket,
    ModelEndpoint,
    MonitoringAlarms,
    RetrainingSchedule,
    ModelDeployment,
]
each = pytest.mark.parametrize("kind", COMPONENTS, ids=lambda kind: kind.__name__)


@pytest.fixture
def makers(original: Package, source: Path) -> Makers:
    return Makers(original, source)


STANDARD: dict[type[pulumi.ComponentResource], Deployed] = {}


@pytest.fixture
def standard(makers: Makers) -> Standard:
    """What each component makes with its standard arguments, made once."""

    def made(kind: type[pulumi.ComponentResource]) -> Deployed:
        if kind not in STANDARD:
            STANDARD[kind] = deploy(lambda: makers[kind]("churn"))
        return STANDARD[kind]

    return made


def ancestors(one: Made, deployed: Deployed) -> list[Made]:
    by_urn = {made.urn: made for made in deployed.made}
    found: list[Made] = []
    while one.parent in by_urn:
        one = by_urn[one.parent]
        found.append(one)
    return found


def class_of(one: Made) -> Any:
    module, _, name = one.type.removeprefix("aws:").partition("/")
    return getattr(importlib.import_module(f"pulumi_aws.{module}"), name.partition(":")[2])


@each
def test_everything_is_below_the_component_and_named_after_it(kind: Any, standard: Standard) -> None:
    deployed = standard(kind)
    top = deployed.made[0]
    assert (top.type, top.name) == (f"modelberth:index:{kind.__name__}", "churn")
    assert deployed.children
    for child in deployed.children:
        assert ancestors(child, deployed)[-1] == top, child.name
        assert child.name.startswith("churn"), child.name
        assert all(child.name.startswith(parent.name) for parent in ancestors(child, deployed)), child.name


@each
def test_tags_are_on_all_that_bears_them(kind: Any, standard: Standard) -> None:
    deployed = standard(kind)
    bearing = [one for one in deployed.children if "tags" in inspect.signature(class_of(one)._internal_init).parameters]
    assert bearing
    assert {one.name: one.inputs.get("tags") for one in bearing} == {one.name: TAGS for one in bearing}


@each
@pytest.mark.parametrize("option", ["provider", "providers"])
def test_an_explicit_provider_reaches_every_child_and_every_call(kind: Any, option: str, makers: Makers) -> None:
    def program() -> None:
        mine = aws.Provider("mine", region="eu-west-1")
        opts = pulumi.ResourceOptions(provider=mine) if option == "provider" else None
        makers[kind]("churn", opts or pulumi.ResourceOptions(providers=[mine]))

    deployed = deploy(program)
    wanted = next(one.urn for one in deployed.made if one.type == "pulumi:providers:aws")
    used = {one.name: one.request.provider.rpartition("::")[0] for one in deployed.children}
    assert used == dict.fromkeys(used, wanted)
    assert all(call.provider.rpartition("::")[0] == wanted for call in deployed.calls)
    assert bool(deployed.calls) == (kind is not ArtifactBucket)


@each
def test_it_works_inside_another_component(kind: Any, makers: Makers) -> None:
    class Outer(pulumi.ComponentResource):
        def __init__(self) -> None:
            super().__init__("test:index:Outer", "outer")
            makers[kind]("churn", pulumi.ResourceOptions(parent=self))
            self.register_outputs({})

    deployed = deploy(Outer)
    assert {ancestors(one, deployed)[-1].type for one in deployed.children} == {"test:index:Outer"}


@each
def test_two_in_one_stack_share_no_name(kind: Any, makers: Makers, standard: Standard) -> None:
    """That no URN is there twice is seen by the mocks; this is about what the cloud calls things."""
    both = deploy(lambda: [makers[kind]("churn"), makers[kind]("fraud")])
    alone = standard(kind)
    assert len(both.children) == 2 * len(alone.children)
    named = [
        (one.type, one.inputs[key])
        for one in both.children
        for key in ("name", "pipelineName", "dashboardName")
        if key in one.inputs and not one.type.startswith("aws:s3/")
    ]
    assert len(named) == len(set(named))


@each
def test_transforms_are_handed_to_the_engine(kind: Any, makers: Makers) -> None:
    def change(args: pulumi.ResourceTransformArgs) -> None:
        return None

    deployed = deploy(lambda: makers[kind]("churn", pulumi.ResourceOptions(transforms=[change])))
    assert len(deployed.made[0].request.transforms) == 1


@each
def test_transformations_reach_every_child(kind: Any, makers: Makers) -> None:
    seen: set[str] = set()

    def see(args: pulumi.ResourceTransformationArgs) -> None:
        seen.add(args.name)

    deployed = deploy(lambda: makers[kind]("churn", pulumi.ResourceOptions(transformations=[see])))
    assert seen == {one.name for one in deployed.made}


@each
def test_a_preview_shows_the_same_resources_with_nothing_known(kind: Any, makers: Makers) -> None:
    def program() -> None:
        unknown = aws.kms.Key("customer").arn
        changes: dict[str, Any] = {"encryption_key": unknown}
        if kind is not ArtifactBucket:
            changes["image"] = aws.ecr.Repository("images").repository_url
        if "bucket" in makers.arguments[kind]:
            changes["bucket"] = pulumi.Output.concat("s3://", aws.s3.Bucket("elsewhere").bucket)
        makers[kind]("churn", **changes)

    preview, update = deploy(program, preview=True), deploy(program)
    assert sorted(one.urn for one in preview.made) == sorted(one.urn for one in update.made)


@each
@pytest.mark.parametrize("development", [False, True])
def test_buckets_with_what_keeps_them_private_and_endpoints_are_protected_but_not_in_development(
    kind: Any, development: bool, makers: Makers
) -> None:
    deployed = deploy(lambda: makers[kind]("churn", development=development))
    protected = {one.type for one in deployed.children if one.request.protect}
    kept = ("aws:s3/bucket:Bucket", "aws:sagemaker/endpoint:Endpoint")
    expected = {
        one.type
        for one in deployed.children
        if one.type in kept or (one.type.startswith("aws:s3/bucket") and "Object" not in one.type)
    }
    assert protected == (set() if development else expected)
    assert all(one.inputs["forceDestroy"] == development for one in deployed.of("s3/bucket:Bucket"))


@each
def test_unknown_arguments_are_refused_before_anything_is_made(kind: Any, makers: Makers) -> None:
    made: list[Made] = []
    with pytest.raises(SpecificationError, match=r"^churn\.tag: unknown (key \(did you mean tags\?\)|alarm)"):
        deploy(lambda: makers[kind]("churn", tag={}), made=made)
    assert made == []


@each
def test_outputs_are_registered(kind: Any, standard: Standard) -> None:
    deployed = standard(kind)
    outputs = deployed.outputs[deployed.made[0].urn]
    assert (
        set(outputs)
        == {
            ArtifactBucket: {"url", "name"},
            ModelEndpoint: {"name", "url", "platform", "package_digest", "invoke_command"},
            MonitoringAlarms: {"names", "dashboard_url"},
            RetrainingSchedule: {"schedule_name", "job_name"},
            ModelDeployment: {"bucket", "endpoint", "alarms", "retraining"},
        }[kind]
    )


def test_the_outputs_of_a_deployment(standard: Standard, original: Package) -> None:
    deployed = standard(ModelDeployment)
    outputs = copy.deepcopy(deployed.outputs[deployed.made[0].urn])
    name = "shop-dev-churn-endpoint"
    assert outputs["bucket"] == {"url": "s3://churn-bucket-1a2b3c4"}
    command = outputs["endpoint"].pop("invoke_command")
    assert command.startswith(f"aws sagemaker-runtime invoke-endpoint --endpoint-name {name} ")
    assert outputs["endpoint"] == {
        "name": name,
        "platform": "sagemaker",
        "url": f"https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/{name}/invocations",
        "package_digest": original.digest,
    }
    assert outputs["alarms"]["names"] == {
        alarm: f"shop-dev-churn-alarms-{alarm.replace('_', '-').replace('.', '-')}" for alarm in RULES
    }
    assert outputs["alarms"]["dashboard_url"].startswith("https://eu-central-1.console.aws.amazon.com/cloudwatch/")
    assert outputs["retraining"] == {
        "schedule_name": "shop-dev-churn-retraining",
        "job_name": "shop-dev-churn-retraining",
    }


def test_arguments_may_be_objects(makers: Makers, standard: Standard) -> None:
    args = ModelDeploymentArgs.model_validate(makers.arguments[ModelDeployment])
    objects = {one.urn: one for one in deploy(lambda: ModelDeployment("churn", args)).made}
    dictionaries = {one.urn: one for one in standard(ModelDeployment).made}
    assert objects.keys() == dictionaries.keys()
    assert all(one.inputs.keys() == dictionaries[urn].inputs.keys() for urn, one in objects.items())


def test_without_an_image_only_the_bucket_comes_up(makers: Makers) -> None:
    deployed = deploy(lambda: makers[ModelDeployment]("churn", image=None))
    assert {one.type.split("/")[0] for one in deployed.children} == {"aws:s3"}
    assert set(deployed.outputs[deployed.made[0].urn]) == {"bucket"}


def test_without_a_package_the_endpoint_and_the_alarms_wait(makers: Makers) -> None:
    deployed = deploy(lambda: makers[ModelDeployment]("churn", package="none"))
    components = {one.name for one in deployed.made if not one.request.custom}
    assert components == {"churn", "churn-bucket", "churn-retraining"}
    assert deployed.of("cloudwatch/eventRule:EventRule") == []
    assert set(deployed.outputs[deployed.made[0].urn]) == {"bucket", "retraining"}


def test_the_customers_key_encrypts_everything(makers: Makers) -> None:
    deployed = deploy(lambda: makers[ModelDeployment]("churn", encryption_key=KEY))
    default = deployed.one("s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
    assert default.inputs["rules"][0]["applyServerSideEncryptionByDefault"] == {
        "sseAlgorithm": "aws:kms",
        "kmsMasterKeyId": KEY,
    }
    for kept in deployed.of("s3/bucketObjectv2:BucketObjectv2"):
        assert (kept.inputs["serverSideEncryption"], kept.inputs["kmsKeyId"]) == ("aws:kms", KEY), kept.name
    configuration = deployed.one("sagemaker/endpointConfiguration:EndpointConfiguration").inputs
    assert configuration["kmsKeyArn"] == configuration["dataCaptureConfig"]["kmsKeyId"] == KEY
    assert deployed.one("sns/topic:Topic").inputs["kmsMasterKeyId"] == KEY
    queues = deployed.of("sqs/queue:Queue")
    assert [queue.inputs["kmsMasterKeyId"] for queue in queues] == [KEY, KEY]
    for pipeline in deployed.of("sagemaker/pipeline:Pipeline"):
        for step in pipeline.json("pipelineDefinition")["Steps"]:
            arguments = step["Arguments"]
            cluster = arguments.get("ResourceConfig") or arguments["ProcessingResources"]["ClusterConfig"]
            assert cluster["VolumeKmsKeyId"] == KEY, step["Name"]
            results = arguments.get("OutputDataConfig") or arguments.get("ProcessingOutputConfig")
            assert results is None or results["KmsKeyId"] == KEY, step["Name"]
    using = {
        one.name
        for one in deployed.of("iam/rolePolicy:RolePolicy")
        if any(statement["Resource"] == KEY for statement in one.json("policy")["Statement"])
    }
    assert using == {one.name for one in deployed.of("iam/rolePolicy:RolePolicy")}


def test_without_a_customers_key_the_platforms_own_is_used(standard: Standard) -> None:
    deployed = standard(ModelDeployment)
    assert "kms" not in str([one.inputs for one in deployed.children]).lower()
    default = deployed.one("s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
    assert default.inputs["rules"][0]["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}
    assert all(queue.inputs["sqsManagedSseEnabled"] is True for queue in deployed.of("sqs/queue:Queue"))


def test_a_wrong_key_is_told_once_and_where_it_is_written(makers: Makers) -> None:
    for changes in ({}, {"alarms": {}, "retraining": None}):
        with pytest.raises(SpecificationError) as caught:
            deploy(lambda changes=changes: makers[ModelDeployment]("churn", encryption_key="alias/mine", **changes))
        assert caught.value.problems == [
            "churn.encryption_key: 'alias/mine' is no ARN of a KMS key: write arn:aws:kms:<region>:<account>:key/<id>, "
            "no alias"
        ]


def test_a_bucket_is_private_encrypted_and_versioned_before_its_address_is_known(standard: Standard) -> None:
    deployed = standard(ArtifactBucket)
    private = deployed.one("s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs
    assert {key: value for key, value in private.items() if key != "bucket"} == {
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }
    versioned = deployed.one("s3/bucketVersioning:BucketVersioning")
    assert versioned.inputs["versioningConfiguration"] == {"status": "Enabled"}
    (rule,) = deployed.one("s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration").inputs["rules"]
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 90}
    policy = deployed.one("s3/bucketPolicy:BucketPolicy").json("policy")
    assert policy["Statement"] == [
        {
            "Sid": "DenyInsecureTransport",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::churn-1a2b3c4", "arn:aws:s3:::churn-1a2b3c4/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    order = {one.urn: list(one.request.dependencies) for one in deployed.children}
    lifecycle = deployed.one("s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    assert versioned.urn in order[lifecycle.urn]


@pytest.mark.parametrize("kept", ["12h", "36h"])
def test_a_bucket_keeps_whole_days(kept: str, makers: Makers) -> None:
    with pytest.raises(SpecificationError, match=r"^churn\.keep_noncurrent: S3 counts in whole days"):
        deploy(lambda: makers[ArtifactBucket]("churn", keep_noncurrent=kept))


@pytest.mark.parametrize(
    ("kind", "missing"),
    [(ModelEndpoint, "bucket"), (ModelEndpoint, "image"), (MonitoringAlarms, "bucket"), (RetrainingSchedule, "bucket")],
)
def test_what_is_needed_is_asked_for(kind: Any, missing: str, makers: Makers) -> None:
    makers.arguments[kind].pop(missing)
    with pytest.raises(SpecificationError, match=rf"^churn\.{missing}: is missing; required here: "):
        deploy(lambda: makers[kind]("churn"))


def test_packages_and_champions_that_cannot_be_read_are_told_at_their_keys(makers: Makers) -> None:
    for kind, key, more in (
        (ModelEndpoint, "package", {}),
        (ModelEndpoint, "champion", {}),
        (ModelEndpoint, "shadow", {}),
        (MonitoringAlarms, "package", {}),
        (RetrainingSchedule, "champion", {}),
        (ModelDeployment, "champion", {}),
    ):
        made: list[Made] = []
        with pytest.raises(SpecificationError) as caught:
            deploy(lambda kind=kind, key=key, more=more: makers[kind]("churn", **{key: "nowhere"} | more), made=made)
        assert caught.value.problems == [f"churn.{key}: cannot open nowhere: there is no such folder or archive"], (
            kind.__name__
        )
        assert made == []


def test_drift_and_data_alarms_need_a_package_and_drift_needs_an_alarm(makers: Makers) -> None:
    with pytest.raises(SpecificationError, match=r"^churn\.package: is missing: drift and data alarms"):
        deploy(lambda: makers[MonitoringAlarms]("churn", package=None))
    with pytest.raises(SpecificationError, match=r"^churn\.drift_alarm: is missing: on has drift"):
        deploy(lambda: makers[RetrainingSchedule]("churn", drift_alarm=None))
    with pytest.raises(SpecificationError, match=r"^churn\.package: an endpoint needs a package"):
        deploy(lambda: makers[ModelEndpoint]("churn", package="none"))


def test_a_schedule_says_when_it_runs_next(makers: Makers) -> None:
    schedules: list[Any] = []
    deploy(lambda: schedules.append(makers[RetrainingSchedule]("churn", timezone="Europe/Prague")))
    assert schedules[0].next_run[11:] in {"03:00:00+01:00", "03:00:00+02:00"}
