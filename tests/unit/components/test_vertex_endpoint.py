"""A Vertex AI endpoint: what serves, who may do what, how an update reaches the traffic, and what is refused."""

from typing import Any

import pytest
from modelberth import SpecificationError

from model_packaging.package import Package
from tests.unit.components.cloud import LOCATION, PROJECT
from tests.unit.components.google import IMAGE, KEY, endpoint

ENDPOINT, MODEL, DEPLOYED = "vertex/aiEndpoint:AiEndpoint", "vertex:Model", "vertex:DeployedModel"


def wrong(package: Package, **args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        endpoint(package, **args)
    return caught.value.problems


def variables(model: Any) -> dict[str, str]:
    return {one["name"]: one["value"] for one in model.inputs["containerSpec"]["env"]}


def test_the_endpoint_has_a_number_that_stays(original: Package, candidate: Package) -> None:
    before, after = (endpoint(package).one(ENDPOINT).inputs for package in (original, candidate))
    assert before == after
    assert before["name"].isdigit() and len(before["name"]) == 9 and before["name"][0] != "0"
    assert before["displayName"] == "shop-dev-churn"
    assert endpoint(original, endpoint_name="other").one(ENDPOINT).inputs["name"] != before["name"]
    assert endpoint(original, endpoint_name="17").one(ENDPOINT).inputs["name"] == "17"
    assert (before["project"], before["location"]) == (PROJECT, LOCATION)


def test_outputs_come_after_the_rollout(original: Package) -> None:
    deployed = endpoint(original)
    number = deployed.one(ENDPOINT).inputs["name"]
    outputs = deployed.outputs[next(one.urn for one in deployed.made if one.type == "modelberth:index:ModelEndpoint")]
    address = f"https://{LOCATION}-aiplatform.googleapis.com/v1/projects/{PROJECT}/locations/{LOCATION}"
    assert outputs["url"] == f"{address}/endpoints/{number}:predict"
    assert (outputs["name"], outputs["platform"]) == (number, "vertex")
    assert outputs["package_digest"] == original.digest
    assert outputs["invoke_command"].endswith(f"--data @request.json {outputs['url']}")


def test_the_model_is_served_by_the_containers_contract(original: Package) -> None:
    deployed = endpoint(original)
    made = deployed.one(MODEL)
    container = made.inputs["containerSpec"]
    digest = original.digest.removeprefix("sha256:")
    assert made.inputs["artifactUri"] == f"gs://models/packages/churn/{digest}"
    assert (container["imageUri"], container["command"], container["args"]) == (IMAGE, ["modelberth"], ["serve"])
    assert (container["predictRoute"], container["healthRoute"]) == ("/predict", "/health")
    assert container["ports"] == [{"containerPort": 8080}]
    assert variables(made) == {"MODELBERTH_HOST": "0.0.0.0", "MODELBERTH_PACKAGE_DIGEST": original.digest}
    objects = deployed.of("storage/bucketObject:BucketObject")
    assert {one.inputs["name"].rpartition(f"{digest}/")[2] for one in objects} == {*original.files, "manifest.json"}
    manifest = deployed.one("storage/bucketObject:BucketObject", "churn-primary-package-manifest.json")
    assert len(manifest.request.dependencies) == len(objects) - 1
    assert all(one.request.retainOnDelete for one in objects)


def test_another_package_is_another_model_and_another_deployment(original: Package, candidate: Package) -> None:
    before, again, after = endpoint(original), endpoint(original), endpoint(candidate)
    for token in (MODEL, DEPLOYED):
        assert before.one(token).name == again.one(token).name != after.one(token).name


@pytest.mark.parametrize("change", [{"vertex": {"machine_type": "n1-standard-8"}}, {"compute": {"cpu": 8}}])
def test_another_machine_is_another_deployment_of_the_same_model(change: dict[str, Any], original: Package) -> None:
    before, after = endpoint(original), endpoint(original, **change)
    assert before.one(MODEL).name == after.one(MODEL).name
    assert before.one(DEPLOYED).name != after.one(DEPLOYED).name


def test_the_number_of_replicas_changes_in_place(original: Package) -> None:
    before, after = endpoint(original), endpoint(original, scale={"min": 2, "max": 5, "requests_per_replica": 600})
    assert before.one(DEPLOYED).name == after.one(DEPLOYED).name
    fixed = before.one(DEPLOYED).inputs["dedicatedResources"]
    assert (fixed["minReplicaCount"], fixed["maxReplicaCount"]) == (1, 1)
    assert "autoscalingMetricSpecs" not in fixed
    scaled = after.one(DEPLOYED).inputs["dedicatedResources"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 5)
    metric = "aiplatform.googleapis.com/prediction/online/request_count"
    assert scaled["autoscalingMetricSpecs"] == [{"metricName": metric, "target": 600}]


def test_processors_and_accelerators_decide_too_where_asked(original: Package) -> None:
    options = {
        "machine_type": "g2-standard-8",
        "accelerator_type": "NVIDIA_L4",
        "cpu_target": 70,
        "accelerator_target": 60,
    }
    made = endpoint(original, scale={"max": 3}, vertex=options).one(DEPLOYED).inputs["dedicatedResources"]
    assert made["machineSpec"] == {
        "machineType": "g2-standard-8",
        "acceleratorType": "NVIDIA_L4",
        "acceleratorCount": 1,
    }
    targets = {one["metricName"].rpartition("online/")[2]: one["target"] for one in made["autoscalingMetricSpecs"]}
    assert targets == {"request_count": 1000, "cpu/utilization": 70, "accelerator/duty_cycle": 60}


@pytest.mark.parametrize(
    ("compute", "machine"),
    [
        ({}, "e2-highcpu-2"),
        ({"cpu": 2, "memory": "4Gi"}, "n1-standard-2"),
        ({"cpu": 1, "memory": "8Gi"}, "e2-standard-2"),
        ({"cpu": 5, "memory": "4Gi"}, "e2-highcpu-8"),
    ],
)
def test_the_smallest_machine_that_fits(compute: dict[str, Any], machine: str, original: Package) -> None:
    made = endpoint(original, compute=compute).one(DEPLOYED).inputs["dedicatedResources"]
    assert made["machineSpec"] == {"machineType": machine}


def test_the_rollout_gives_a_canary_its_share_and_watches(original: Package) -> None:
    rollout = {"canary": "10%", "bake": "5m"}
    made = endpoint(original, rollout=rollout, rollback_alarms=["shop-dev-churn-error-rate"]).one(DEPLOYED)
    assert made.inputs["rollout"] == {
        "firstPercentage": 10,
        "stepPercentage": 100,
        "intervalSeconds": 300,
        "alarms": ["shop-dev-churn-error-rate"],
    }
    assert "trafficPercentage" not in made.inputs
    assert made.inputs["displayName"] == "primary"
    assert made.request.customTimeouts.create == "6000s"


def test_variants_share_the_traffic_by_weight(original: Package, candidate: Package) -> None:
    variants = {"primary": {"weight": 75}, "rival": {"weight": 25, "package": candidate}}
    made = endpoint(original, variants=variants, rollout={"canary": "10%"}).of(DEPLOYED)
    assert {one.inputs["displayName"]: one.inputs["trafficPercentage"] for one in made} == {"primary": 75, "rival": 25}
    assert [one.inputs["rollout"]["firstPercentage"] for one in made] == [8, 2]


def test_the_account_that_serves_writes_captured_traffic_and_nothing_else(original: Package) -> None:
    silent = endpoint(original)
    assert silent.of("storage/bucketIAMMember:BucketIAMMember") == []
    deployed = endpoint(original, capture={"sample": 0.5})
    (right,) = deployed.of("storage/bucketIAMMember:BucketIAMMember")
    assert right.inputs["role"] == "roles/storage.objectCreator"
    assert right.inputs["member"] == f"serviceAccount:shop-dev-churn-serve@{PROJECT}.iam.gserviceaccount.com"
    assert right.inputs["condition"]["expression"] == (
        'resource.name.startsWith("projects/_/buckets/models/objects/capture/shop-dev-churn/")'
    )
    assert deployed.one(DEPLOYED).inputs["serviceAccount"] == right.inputs["member"].removeprefix("serviceAccount:")
    assert right.urn in deployed.one(DEPLOYED).request.dependencies
    assert variables(deployed.one(MODEL)) | {"MODELBERTH_HOST": ""} == {
        "MODELBERTH_HOST": "",
        "MODELBERTH_PACKAGE_DIGEST": original.digest,
        "MODELBERTH_CAPTURE_URL": "gs://models/capture/shop-dev-churn",
        "MODELBERTH_CAPTURE_SAMPLE": "50",
        "MODELBERTH_CAPTURE_VARIANT": "primary",
    }
    assert deployed.one(MODEL).name != silent.one(MODEL).name


def test_what_only_vertex_has(original: Package) -> None:
    log = "bq://acme-shop.serving.log"
    made = endpoint(original, capture={"sample": 0.2}, vertex={"dedicated_dns": True, "request_response_log": log})
    inputs = made.one(ENDPOINT).inputs
    assert inputs["predictRequestResponseLoggingConfig"] == {
        "enabled": True,
        "samplingRate": 0.2,
        "bigqueryDestination": {"outputUri": log},
    }
    outputs = made.outputs[next(one.urn for one in made.made if one.type == "modelberth:index:ModelEndpoint")]
    assert outputs["url"].startswith(f"https://{inputs['name']}.{LOCATION}-123456789.prediction.vertexai.goog/v1/")
    private = endpoint(original, vertex={"private_service_connect": ["other-project"]}).one(ENDPOINT).inputs
    assert private["privateServiceConnectConfig"] == {
        "enablePrivateServiceConnect": True,
        "projectAllowlists": ["other-project"],
    }


def test_a_key_encrypts_all_of_it(original: Package) -> None:
    deployed = endpoint(original, encryption_key=KEY)
    for token in (ENDPOINT, MODEL):
        assert deployed.one(token).inputs["encryptionSpec"] == {"kmsKeyName": KEY}
    assert {one.inputs["kmsKeyName"] for one in deployed.of("storage/bucketObject:BucketObject")} == {KEY}


def test_what_vertex_cannot_do_is_told_at_once(original: Package, candidate: Package) -> None:
    assert wrong(
        original,
        bucket="s3://models",
        image="docker.io/library/modelberth:1",
        endpoint_name="0123456789",
        shadow=candidate,
        compute={"cpu": 512},
        vertex={
            "accelerator_count": 2,
            "accelerator_target": 50,
            "dedicated_dns": True,
            "private_service_connect": ["other-project"],
        },
        rollout={"bake": "25h"},
    ) == [
        "churn.bucket: 's3://models' is no bucket of Cloud Storage: write gs://<name>, such as the output url of "
        "ArtifactBucket",
        "churn.image: 'docker.io/library/modelberth:1' lies in a registry that Vertex AI cannot read: push it to "
        "Artifact Registry, <region>-docker.pkg.dev/<project>/<repository>/…",
        "churn.endpoint_name: '0123456789' is no id of an endpoint: at most 9 digits and no 0 first; or write a name, "
        "of which an id is made",
        "churn.shadow: vertex can't copy requests to a shadow: an endpoint sends each request to one deployed model by "
        "the traffic split, and copies none: leave it out; kubernetes or sagemaker can",
        "churn.compute: no machine of Vertex AI has 512 processors and 2Gi of memory: the largest, n2-highmem-96, has "
        "96 and 768Gi",
        "churn.vertex.accelerator_type: is missing: accelerator_count counts them; write one such as NVIDIA_L4",
        "churn.vertex.accelerator_target: there is no accelerator: set accelerator_type, or leave it out",
        "churn.vertex.dedicated_dns: can't be combined with private_service_connect: leave one of them out",
        "churn.rollout.bake: is out of range: at most 24h",
    ]


def test_options_that_vertex_does_not_have(original: Package) -> None:
    problems = wrong(original, vertex={"machin_type": "n1", "machine_type": "Big One", "location": "moon"})
    assert problems[0].startswith("churn.vertex.location: 'moon' is no region")
    assert any("machin_type: unknown key (did you mean machine_type?)" in problem for problem in problems)
    assert any(problem.startswith("churn.vertex.machine_type: 'Big One'") for problem in problems)


def test_an_accelerator_needs_a_machine_that_takes_it(original: Package) -> None:
    (problem,) = wrong(original, vertex={"accelerator_type": "NVIDIA_L4"})
    assert problem.startswith("churn.vertex.machine_type: is missing: an accelerator fits some machines only")
