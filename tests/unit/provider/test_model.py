"""`modelberth:vertex:Model`, asked as the engine asks it."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from modelberth_provider.wire import UNKNOWN

from .direct import Direct, Failed, Start
from .vertex import Refusal, Vertex

TOKEN = "modelberth:vertex:Model"
Json = dict[str, Any]
WANTED: Json = {
    "displayName": "Churn",
    "versionAliases": ["champion"],
    "artifactUri": "gs://models/churn",
    "containerSpec": {
        "imageUri": "europe-west4-docker.pkg.dev/acme/serving/modelberth:1",
        "ports": [{"containerPort": 8080}],
        "env": [{"name": "LEVEL", "value": "info"}],
    },
    "labels": {"team": "growth"},
}


@pytest.fixture
def models(start: Start) -> Direct:
    return start(TOKEN)


def live(vertex: Vertex) -> list[Json]:
    return [version for versions in vertex.models.values() for version in versions.values()]


def test_an_upload_is_read_as_it_was_asked_for(models: Direct, vertex: Vertex) -> None:
    inputs = models.checked(WANTED)
    identifier, state = models.create(inputs)
    (model,) = live(vertex)
    assert identifier == state["versionName"] == f"{model['name']}@1"
    assert (model["labels"], model["versionAliases"]) == ({"team": "growth"}, ["champion", "default"])
    assert models.read(identifier, state, inputs)[2] == inputs
    model["labels"]["team"] = "sales"
    model["versionAliases"].append("extra")
    now = models.read(identifier, state, inputs)[2]
    assert (now["labels"], now["versionAliases"]) == ({"team": "sales"}, ["champion", "extra"])
    models.delete(identifier, state)
    assert not vertex.models
    assert models.read(identifier, state, inputs) == ("", {}, {})
    models.delete(identifier, state)


def test_what_can_be_changed_in_place_is(models: Direct, vertex: Vertex) -> None:
    inputs = models.checked(WANTED)
    identifier, state = models.create(inputs)
    other = inputs | {"description": "Who leaves", "labels": {}, "versionAliases": ["challenger"]}
    difference = models.diff(inputs, other)
    assert list(difference.replaces) == []
    assert sorted(difference.detailedDiff) == ["description", "labels.team", "versionAliases[0]"]
    models.update(identifier, state, other)
    (model,) = live(vertex)
    assert (model["description"], model["labels"]) == ("Who leaves", {})
    assert model["versionAliases"] == ["default", "challenger"]
    moved = inputs | {"artifactUri": "gs://models/other", "containerSpec": {**inputs["containerSpec"], "env": []}}
    assert list(models.diff(inputs, moved).replaces) == ["artifactUri", "containerSpec"]
    named = inputs | {"modelId": "churn"}
    assert models.diff(named, named | {"artifactUri": "gs://models/other"}).deleteBeforeReplace


def test_versions_of_one_model(models: Direct, start: Start, vertex: Vertex) -> None:
    first, state = models.create(models.checked(WANTED))
    wanted = {**WANTED, "parentModel": state["name"], "versionAliases": ["default"]}
    other = start(TOKEN)
    other.urn = models.urn.replace("thing", "other")
    second, later = other.create(other.checked(wanted))
    assert (second, later["versionId"]) == (f"{state['name']}@2", "2")
    assert [one["versionAliases"] for one in live(vertex)] == [["champion"], ["default"]]
    other.delete(second, later)
    assert [one["versionAliases"] for one in live(vertex)] == [["champion", "default"]]
    models.delete(first, state)
    assert not vertex.models


def _abandon(provider: Direct, wanted: Json) -> None:
    with contextlib.suppress(Failed):
        provider.create(wanted)


@pytest.mark.parametrize("is_version", [False, True])
@pytest.mark.parametrize("finished", [False, True])
def test_an_upload_outlives_its_provider(start: Start, vertex: Vertex, finished: bool, is_version: bool) -> None:
    first = start(TOKEN)
    wanted = first.checked(WANTED)
    if is_version:
        _, parent = first.create(wanted)
        wanted = first.checked({**WANTED, "parentModel": parent["name"]})
        vertex.begun.acquire()
        vertex.ended.acquire()
    vertex.hold.clear()
    threading.Thread(target=_abandon, args=(first, wanted), daemon=True).start()
    assert vertex.begun.acquire(timeout=30)
    start.stop()
    if finished:
        vertex.hold.set()
        assert vertex.ended.acquire(timeout=30)
    else:
        threading.Timer(0.5, vertex.hold.set).start()
    second = start(TOKEN)
    identifier, _ = second.create(wanted)
    assert len(live(vertex)) == vertex.count("POST", "models:upload") == (2 if is_version else 1)
    assert "modelberth-creation" not in str(live(vertex))
    # One that was asked for again is another one.
    assert second.create(wanted)[0] != identifier


@pytest.mark.parametrize("is_version", [False, True])
def test_a_time_out_is_recorded_and_gone_on_with(models: Direct, vertex: Vertex, is_version: bool) -> None:
    inputs = models.checked(WANTED)
    if is_version:
        inputs = models.checked({**WANTED, "parentModel": models.create(inputs)[1]["name"]})
    uploads = vertex.count("POST", "models:upload")
    vertex.hold.clear()
    with pytest.raises(Failed, match="takes longer than 1 s, the time-out") as caught:
        models.create(inputs, timeout=1)
    vertex.hold.set()
    state = models.update(caught.value.identifier, caught.value.state, inputs)
    assert state["versionId"] == ("2" if is_version else "1")
    assert vertex.count("POST", "models:upload") == uploads + 1
    assert "modelberth-creation" not in str(live(vertex))


def test_a_destroy_after_a_time_out_leaves_nothing(models: Direct, vertex: Vertex) -> None:
    vertex.hold.clear()
    with pytest.raises(Failed) as caught:
        models.create(models.checked(WANTED), timeout=1)
    vertex.hold.set()
    models.delete(caught.value.identifier, caught.value.state)
    assert not vertex.models


def test_an_import_has_all_that_the_program_must_say(models: Direct) -> None:
    identifier, _ = models.create(models.checked(WANTED))
    _, _, inputs = models.read(identifier)
    assert inputs == models.checked(inputs)
    assert {name: inputs[name] for name in WANTED} == WANTED


def test_a_model_that_somebody_else_made_is_left_alone(models: Direct, vertex: Vertex) -> None:
    models.create(models.checked({**WANTED, "modelId": "churn"}))
    with pytest.raises(Failed, match="models/churn exists already, and this stack did not make it"):
        models.create(models.checked({**WANTED, "modelId": "churn"}))
    assert vertex.count("POST", "models:upload") == 1


def test_a_deployed_model_is_not_deleted(models: Direct, vertex: Vertex) -> None:
    identifier, state = models.create(models.checked(WANTED))
    live(vertex)[0]["deployedModels"] = [{"endpoint": "projects/acme/locations/europe-west4/endpoints/7"}]
    with pytest.raises(Failed, match="is deployed to projects/acme/locations/europe-west4/endpoints/7: undeploy it"):
        models.delete(identifier, state)


def test_what_google_refuses_is_told_with_its_cure(models: Direct, vertex: Vertex) -> None:
    kind = "type.googleapis.com/google.rpc."
    disabled = {"service": "aiplatform.googleapis.com", "consumer": "projects/acme"}
    lacking = {"permission": "aiplatform.models.upload", "resource": "projects/acme"}
    field = {"field": "model.container_spec", "description": "No such image."}
    wait = {"@type": f"{kind}RetryInfo", "retryDelay": "0.1s"}

    def refusal(http: int, status: str, detail: Json) -> None:
        vertex.failures.append(("models:upload", Refusal(http, status, "Refused.", [detail])))

    inputs = models.checked(WANTED)
    info = {"@type": f"{kind}ErrorInfo"}
    refusal(503, "UNAVAILABLE", wait)
    refusal(403, "PERMISSION_DENIED", info | {"reason": "SERVICE_DISABLED", "metadata": disabled})
    with pytest.raises(Failed, match=r"gcloud services enable aiplatform.googleapis.com --project acme"):
        models.create(inputs)
    refusal(403, "PERMISSION_DENIED", info | {"reason": "IAM_PERMISSION_DENIED", "metadata": lacking})
    with pytest.raises(Failed, match=r"Whoever runs this needs aiplatform.models.upload on projects/acme"):
        models.create(inputs)
    refusal(400, "INVALID_ARGUMENT", {"@type": f"{kind}BadRequest", "fieldViolations": [field]})
    with pytest.raises(Failed, match=r"model.container_spec: No such image"):
        models.create(inputs)
    vertex.broken.append({"code": 9, "message": "The image cannot be pulled."})
    with pytest.raises(Failed, match=r"uploading churn-.* failed: The image cannot be pulled"):
        models.create(inputs)
    models.create(inputs)
    assert len(live(vertex)) == 1


def test_all_that_is_wrong_is_told_at_once(models: Direct) -> None:
    container = {
        "imageUri": "docker.io/modelberth",
        "predictRout": "/predict",
        "env": [{"name": "SECRET", "value": 12345}],
    }
    _, failures = models.check(
        {
            "artifactUri": "s3://models",
            "containerSpec": container,
            "labels": {"Team": "x", "b": "Y", "c": UNKNOWN},
            "modelId": "1",
            "parentModel": "churn",
            "versionAliases": ["1", UNKNOWN],
            "location": UNKNOWN,
        }
    )
    assert sorted(failures) == [
        "artifactUri",
        "containerSpec.env[0].value",
        "containerSpec.predictRout",
        "displayName",
        'labels["Team"]',
        'labels["b"]',
        "modelId",
        "parentModel",
        "versionAliases[0]",
    ]
    assert "did you mean predictRoute?" in failures["containerSpec.predictRout"]
    assert "12345" not in str(failures)
    assert failures["artifactUri"] == "'s3://models' is no folder in Cloud Storage: it begins gs://"


def test_a_preview_calls_nothing(models: Direct, vertex: Vertex) -> None:
    models.create(models.checked({**WANTED, "artifactUri": UNKNOWN}), preview=True)
    assert not vertex.asked
