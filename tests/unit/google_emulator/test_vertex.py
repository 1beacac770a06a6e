"""Vertex AI through google-cloud-aiplatform and Google's discovery client, unchanged."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform, storage
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT, point_aiplatform, wait_for
from tests.unit.packaging.conftest import packed

LOCATION = f"projects/{PROJECT}/locations/europe-west4"
REPOSITORY = "europe-west4-docker.pkg.dev/test-project/images"
TEST_IMAGE = f"{REPOSITORY}/test:1"


@pytest.fixture(scope="module")
def vertex(emulator: Handle, credentials: Any) -> Iterator[Any]:
    program = Path(__file__).with_name("container.py")
    emulator.post("images", reference=TEST_IMAGE, entrypoint=[sys.executable, str(program)])
    emulator.post("operations", seconds=0.01)
    point_aiplatform(emulator, credentials)
    yield aiplatform
    aiplatform.initializer.global_config.__init__()


@pytest.fixture
def upload(vertex: Any) -> Callable[..., Any]:
    def make(**environment: str) -> Any:
        return vertex.Model.upload(
            display_name="m",
            serving_container_image_uri=TEST_IMAGE,
            serving_container_environment_variables=environment,
        )

    return make


def test_traffic_is_split_shifted_and_taken_away(emulator: Handle, vertex: Any, upload: Any) -> None:
    first, second = upload(WHO="first"), upload(WHO="second")
    endpoint = vertex.Endpoint.create(display_name="split")
    with pytest.raises(exceptions.BadRequest, match="no DeployedModel with traffic"):
        endpoint.predict([1])
    endpoint.deploy(first, machine_type="n1-standard-2", min_replica_count=1)
    endpoint.deploy(second, machine_type="n1-standard-2", min_replica_count=1, traffic_percentage=20)
    shares = sorted(endpoint.traffic_split.values())
    assert shares == [20, 80]
    answers = Counter(endpoint.predict([1]).predictions[0] for _ in range(200))
    # Five standard deviations of a binomial distribution around 160.
    assert 132 <= answers["first"] <= 188 and answers.total() == 200
    deployed = {one.model: one.id for one in endpoint.list_models()}
    api, name = endpoint.api_client, endpoint.resource_name
    with pytest.raises(exceptions.BadRequest, match="has 20% of the traffic"):
        api.undeploy_model(endpoint=name, deployed_model_id=deployed[second.resource_name], traffic_split={})
    with pytest.raises(exceptions.BadRequest, match="must be 100, it is 90"):
        endpoint.update(traffic_split={one: 45 for one in deployed.values()})
    with pytest.raises(exceptions.BadRequest, match="is deployed at the following Endpoint"):
        first.delete()
    with pytest.raises(exceptions.BadRequest, match="Undeploy them first"):
        endpoint.delete()
    endpoint.update(traffic_split={deployed[second.resource_name]: 100})
    assert {endpoint.predict([1]).predictions[0] for _ in range(20)} == {"second"}
    endpoint.undeploy(deployed[first.resource_name])
    endpoint.undeploy_all()
    endpoint.delete()
    first.delete()
    second.delete()
    assert not [one for one in emulator.get("resources") if one.startswith("aiplatform")]
    assert emulator.get("processes") == []


def test_a_killed_container_comes_back(emulator: Handle, vertex: Any, upload: Any) -> None:
    endpoint = vertex.Endpoint.create(display_name="killed")
    endpoint.deploy(upload(WHO="x"), machine_type="n1-standard-2", min_replica_count=1)
    assert emulator.post("kill", name="endpoint")["killed"]

    def answers() -> bool:
        try:
            return endpoint.predict([1]).predictions == ["x"]
        except exceptions.GoogleAPICallError:
            return False

    assert wait_for(answers)
    endpoint.delete(force=True)


def test_a_container_that_ends_fails_the_deployment(emulator: Handle, vertex: Any, upload: Any) -> None:
    endpoint = vertex.Endpoint.create(display_name="broken")
    with pytest.raises(exceptions.FailedPrecondition, match=r"exited unexpectedly.*the model is broken"):
        endpoint.deploy(upload(MODE="exit"), machine_type="n1-standard-2", min_replica_count=1)
    assert endpoint.list_models() == []
    endpoint.delete()
    assert emulator.get("processes") == []


def test_a_models_versions_and_aliases(vertex: Any, upload: Any) -> None:
    first = upload(WHO="1")
    second = vertex.Model.upload(
        display_name="m",
        parent_model=first.resource_name,
        is_default_version=False,
        version_aliases=["candidate"],
        serving_container_image_uri=TEST_IMAGE,
    )
    assert (first.version_id, second.version_id) == ("1", "2")
    registry = first.versioning_registry
    assert [one.version_aliases for one in registry.list_versions()] == [["default"], ["candidate"]]
    registry.add_version_aliases(["default"], "candidate")
    assert vertex.Model(first.resource_name.partition("@")[0]).version_id == "2"
    with pytest.raises(exceptions.BadRequest, match="default version"):
        registry.delete_version("2")
    registry.delete_version("1")
    assert [one.version_id for one in registry.list_versions()] == ["2"]


def refused(call: Any) -> dict[str, Any]:
    with pytest.raises(HttpError) as caught:
        call.execute()
    import json

    return json.loads(caught.value.content)["error"]


@pytest.mark.parametrize(
    ("model", "field", "text"),
    [
        ({"displayName": "m", "artefactUri": "gs://b"}, "model", "Unknown name \"artefactUri\" at 'model'"),
        ({"displayName": 3}, "model.display_name", "Invalid value at 'model.display_name' (TYPE_STRING), 3"),
        ({"containerSpec": {"imageUri": TEST_IMAGE}}, "model.display_name", "Required field is not set."),
        (
            {"displayName": "m", "containerSpec": {"imageUri": "docker.io/x/y"}},
            "model.container_spec.image_uri",
            "Artifact Registry",
        ),
        (
            {"displayName": "m", "containerSpec": {"imageUri": TEST_IMAGE, "deploymentTimeout": "10m"}},
            "model.container_spec.deployment_timeout",
            "Illegal duration format; duration must end with 's'",
        ),
        (
            {"displayName": "m", "explanationSpec": {"parameters": {"sampledShapleyAttribution": {"pathCount": "x"}}}},
            "model.explanation_spec.parameters.sampled_shapley_attribution.path_count",
            '(TYPE_INT32), "x"',
        ),
    ],
)
def test_a_bad_body_gets_googles_error(discovery: Any, model: dict[str, Any], field: str, text: str) -> None:
    models = discovery("aiplatform", "v1").projects().locations().models()
    error = refused(models.upload(parent=LOCATION, body={"model": model}))
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert text in error["message"]
    [detail] = error["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert detail["fieldViolations"][0]["field"] == field


def test_a_request_says_both_names_of_a_field(discovery: Any) -> None:
    endpoints = discovery("aiplatform", "v1").projects().locations().endpoints()
    made = endpoints.create(parent=LOCATION, body={"display_name": "own", "labels": {"a": "b"}}).execute()
    operations = endpoints.operations()
    done = operations.wait(name=made["name"], timeout="20s").execute()
    endpoint = done["response"]
    assert endpoint["displayName"] == "own" and done["metadata"]["@type"].endswith("CreateEndpointOperationMetadata")
    assert refused(endpoints.patch(name=endpoint["name"], body={}))["message"].count("update_mask") == 1
    patched = endpoints.patch(name=endpoint["name"], updateMask="description", body={"description": "d"}).execute()
    assert patched["description"] == "d" and patched["labels"] == {"a": "b"} and patched["etag"] != endpoint["etag"]
    stale = {"description": "e", "etag": endpoint["etag"]}
    assert refused(endpoints.patch(name=endpoint["name"], updateMask="description", body=stale))["status"] == "ABORTED"
    listing = endpoints.list(parent=LOCATION, filter='displayName="own" AND labels.a=b').execute()
    assert [one["name"] for one in listing["endpoints"]] == [endpoint["name"]]
    assert endpoints.list(parent=LOCATION, filter="labels.a=c").execute() == {}


def test_pages_follow_one_another(discovery: Any) -> None:
    endpoints = discovery("aiplatform", "v1").projects().locations().endpoints()
    parent = LOCATION.replace("europe-west4", "us-central1")
    for number in range(3):
        endpoints.create(parent=parent, endpointId=str(number + 1), body={"displayName": f"{number}"}).execute()
    wait_for(lambda: len(endpoints.list(parent=parent).execute().get("endpoints", [])) == 3)
    found: list[str] = []
    request = endpoints.list(parent=parent, pageSize=2, orderBy="displayName desc")
    while request is not None:
        answer = request.execute()
        assert len(answer["endpoints"]) <= 2
        found += [one["displayName"] for one in answer["endpoints"]]
        request = endpoints.list_next(request, answer)
    assert found == ["2", "1", "0"]


def test_an_operation_can_be_made_to_fail(emulator: Handle, vertex: Any, upload: Any) -> None:
    model = upload()
    endpoint = vertex.Endpoint.create(display_name="faulty")
    emulator.post(
        "faults", operation="endpoints.deployModel", kind="operation", code="RESOURCE_EXHAUSTED", message="no"
    )
    with pytest.raises(exceptions.ResourceExhausted, match="no"):
        endpoint.deploy(model, machine_type="n1-standard-2", min_replica_count=1)
    assert endpoint.list_models() == []
    endpoint.delete()


def test_a_missing_permission_and_a_disabled_service_are_named(emulator: Handle, discovery: Any) -> None:
    endpoints = discovery("aiplatform", "v1").projects().locations().endpoints()
    emulator.post("permissions", denied=["aiplatform.endpoints.list"])
    error = refused(endpoints.list(parent=LOCATION))
    emulator.post("permissions", denied=[])
    assert error["message"].startswith("Permission 'aiplatform.endpoints.list' denied on resource")
    usage = discovery("serviceusage", "v1").services()
    service = "projects/other-project/services/aiplatform.googleapis.com"
    usage.disable(name=service, body={}).execute()
    wait_for(lambda: usage.get(name=service).execute()["state"] == "DISABLED")
    error = refused(endpoints.list(parent=LOCATION.replace(PROJECT, "other-project")))
    assert error["code"] == 403 and error["details"][0]["reason"] == "SERVICE_DISABLED"
    assert "Enable it by visiting" in error["message"]


def test_what_is_not_emulated_says_so(discovery: Any) -> None:
    studies = discovery("aiplatform", "v1").projects().locations().studies()
    assert refused(studies.list(parent=LOCATION))["status"] == "UNIMPLEMENTED"


def test_calls_above_a_quota_are_refused(emulator: Handle, discovery: Any) -> None:
    models = discovery("aiplatform", "v1").projects().locations().models()
    emulator.post("quotas", service="aiplatform", operation="models.listVersions", limit=1)
    name = f"{LOCATION}/models/none"
    assert refused(models.listVersions(name=name))["status"] == "NOT_FOUND"
    assert refused(models.listVersions(name=name))["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"


def test_the_real_server_answers_what_the_package_predicts(emulator: Handle, vertex: Any, tmp_path: Path) -> None:
    package = packed(tmp_path / "package")
    client = storage.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": emulator.url}
    )
    bucket = client.create_bucket("models-for-vertex", location="europe-west4")
    for file in [*package.files, "manifest.json"]:
        bucket.blob(f"churn/{file}").upload_from_filename(str(package.path / file))
    model = vertex.Model.upload(
        display_name="churn",
        artifact_uri="gs://models-for-vertex/churn",
        serving_container_image_uri=f"{REPOSITORY}/modelberth:0.1.0",
    )
    endpoint = vertex.Endpoint.create(display_name="churn")
    endpoint.deploy(model, machine_type="n1-standard-2", min_replica_count=1)
    answered = endpoint.predict(package.examples["inputs"])
    assert answered.predictions == package.examples["predictions"]
    assert answered.model_resource_name == model.resource_name
    with pytest.raises(exceptions.BadRequest, match="tenure"):
        endpoint.predict([package.examples["inputs"][0] | {"tenure": "long"}])
    endpoint.delete(force=True)
    model.delete()
    assert emulator.get("processes") == []
