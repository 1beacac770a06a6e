"""The Google Cloud provider's stand-in: checking, names, differences and labels, and calls against the emulator."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
import requests
from modelberth_provider.wire import UNKNOWN, decode, encode

from sandbox.emulator_process import Handle
from sandbox.providers import schema
from sandbox.providers.gcp.cloud import Settings
from sandbox.providers.gcp.resources import RESOURCES
from sandbox.providers.gcp.rest import read_id
from sandbox.providers.gcp.services import STORAGE, VERTEX
from tests.provider_engine import Engine
from tests.unit.gcp_provider.conftest import PROJECT, REGION

BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
ENDPOINT = "gcp:vertex/aiEndpoint:AiEndpoint"
ATTRIBUTION = {"goog-pulumi-provisioned": "true"}


def refused(call: Any, *arguments: Any) -> str:
    """The error that a call to the provider ends in."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments)
    return str(caught.value.details())  # type: ignore[attr-defined]


def bucket(**more: Any) -> dict[str, Any]:
    """The inputs of a bucket of its own."""
    return {"name": f"bucket-{uuid.uuid4().hex[:12]}", "location": REGION, **more}


def asset(text: str) -> Any:
    """A text asset as the engine sends it."""
    wire = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": text, "hash": text}
    return decode(encode({"asset": wire}))["asset"]


# Rules


@pytest.mark.parametrize("token", sorted(RESOURCES))
def test_rules_name_only_published_properties(token: str) -> None:
    rules, published = RESOURCES[token], schema.resource(token)
    named = rules.computed | rules.json | rules.sets | rules.alike.keys() | rules.defaults.keys() | rules.unsupported
    named |= rules.force_new
    assert named <= published.inputs.keys()


def test_a_misspelt_property_and_a_missing_one_are_told_at_once(bare_engine: Engine) -> None:
    _, problems = bare_engine.check(ENDPOINT, {"displayNam": "x"})
    assert problems == {
        "displayNam": 'unknown property "displayNam": did you mean displayName?',
        "displayName": 'missing required property "displayName"',
        "location": 'missing required property "location"',
    }


def test_a_provider_option_that_is_not_published_is_refused(bare_engine: Engine) -> None:
    from modelberth_provider.stubs import provider_pb2

    news = encode({"storageCustomEndpont": "http://127.0.0.1:1/"})
    answer = bare_engine.stub.CheckConfig(provider_pb2.CheckRequest(urn="urn", news=news))
    assert [failure.property for failure in answer.failures] == ["storageCustomEndpont"]
    assert "did you mean storageCustomEndpoint?" in answer.failures[0].reason


def test_an_address_is_the_options_then_the_environments_then_the_regions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_VERTEX_AI_CUSTOM_ENDPOINT", raising=False)
    assert Settings().base(VERTEX, REGION) == f"https://{REGION}-aiplatform.googleapis.com/v1/"
    monkeypatch.setenv("GOOGLE_VERTEX_AI_CUSTOM_ENDPOINT", "http://127.0.0.1:1/v1")
    assert Settings().base(VERTEX, REGION) == "http://127.0.0.1:1/v1/"
    own = Settings.parse({"vertexAiCustomEndpoint": "http://127.0.0.1:2/v1/"})
    assert own.base(VERTEX, REGION) == "http://127.0.0.1:2/v1/"
    assert own.base(STORAGE, REGION) == "https://storage.googleapis.com/storage/v1/"


def test_an_id_is_read_whole_or_in_short() -> None:
    template = "projects/{project}/locations/{location}/endpoints/{name}"
    whole = {"project": "p", "location": "l", "name": "n"}
    assert read_id(template, "projects/p/locations/l/endpoints/n") == whole
    assert read_id(template, "p/l/n") == whole
    assert read_id(template, "l/n") == {"location": "l", "name": "n"}


# Previews and differences


def test_a_preview_tells_labels_and_leaves_unknown_what_only_google_knows(engine: Engine) -> None:
    news = {"name": "7", "displayName": "one", "location": REGION, "labels": {"team": "ml"}}
    identifier, planned, _ = engine.create(ENDPOINT, news, preview=True)
    assert identifier == ""
    labels = ATTRIBUTION | {"project": "flights", "team": "ml"}
    assert planned["effectiveLabels"] == planned["pulumiLabels"] == labels
    assert planned["createTime"] is UNKNOWN
    assert planned["project"] == PROJECT


def test_another_project_is_another_resource(engine: Engine) -> None:
    _, state, inputs = engine.create(BUCKET, bucket())
    diff = engine.diff(BUCKET, inputs, inputs | {"project": "other-project"}, state)
    assert list(diff.replaces) == ["project"]
    assert list(engine.diff(BUCKET, inputs, inputs | {"location": "US"}, state).replaces) == ["location"]


# Resources


def test_a_bucket_through_its_life(engine: Engine, emulator: Handle) -> None:
    news = {
        **bucket(),
        "labels": {"team": "ml"},
        "uniformBucketLevelAccess": True,
        "publicAccessPrevention": "enforced",
        "versioning": {"enabled": True},
        "lifecycleRules": [
            {"action": {"type": "Delete"}, "condition": {"withState": "ARCHIVED", "numNewerVersions": 3}}
        ],
    }
    name, state, inputs = engine.create(BUCKET, news)
    assert state["url"] == f"gs://{name}"
    assert state["location"] == REGION.upper()
    assert engine.diff(BUCKET, inputs, inputs, state).changes == 1
    assert engine.read(BUCKET, name, state, inputs) == (name, state, inputs)
    told = requests.get(f"{emulator.url}/storage/v1/b/{name}", timeout=10).json()
    assert told["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert told["lifecycle"]["rule"][0]["condition"] == {"isLive": False, "numNewerVersions": 3}
    assert told["labels"] == ATTRIBUTION | {"project": "flights", "team": "ml"}

    changed = {key: value for key, value in inputs.items() if key != "lifecycleRules"} | {"labels": {"stage": "dev"}}
    diff = engine.diff(BUCKET, inputs, changed, state)
    assert (set(diff.diffs), list(diff.replaces)) == ({"labels", "lifecycleRules"}, [])
    after = engine.update(BUCKET, name, state, inputs, changed)
    assert after["labels"] == {"stage": "dev"}
    told = requests.get(f"{emulator.url}/storage/v1/b/{name}", timeout=10).json()
    assert "lifecycle" not in told
    assert told["labels"] == ATTRIBUTION | {"project": "flights", "stage": "dev"}
    assert engine.diff(BUCKET, changed, changed, after).changes == 1
    engine.delete(BUCKET, name, after)
    assert engine.read(BUCKET, name, after, changed)[0] == ""


def test_what_was_changed_by_hand_shows_and_is_set_right(engine: Engine, emulator: Handle) -> None:
    name, state, inputs = engine.create(BUCKET, bucket(versioning={"enabled": True}))
    url = f"{emulator.url}/storage/v1/b/{name}"
    labels = {"project": "other", "by": "hand"}
    requests.patch(url, json={"versioning": {"enabled": False}, "labels": labels}, timeout=10).raise_for_status()
    _, seen, told = engine.read(BUCKET, name, state, inputs)
    assert told["versioning"] == {"enabled": False}
    diff = engine.diff(BUCKET, told, inputs, seen)
    assert set(diff.diffs) == {"versioning", "effectiveLabels", "pulumiLabels"}
    after = engine.update(BUCKET, name, seen, told, inputs)
    # A label of somebody else's stays.
    assert after["effectiveLabels"] == ATTRIBUTION | {"project": "flights", "by": "hand"}
    assert after["versioning"] == {"enabled": True}


def test_a_bucket_with_objects_is_deleted_by_force_only(engine: Engine) -> None:
    name, state, _ = engine.create(BUCKET, bucket(versioning={"enabled": True}))
    for text in ("one", "two"):
        engine.create(OBJECT, {"bucket": name, "name": "a/b.txt", "content": text})
    assert "holds objects, such as a/b.txt" in refused(engine.delete, BUCKET, name, state)
    engine.delete(BUCKET, name, state | {"forceDestroy": True})
    assert engine.read(BUCKET, name, state)[0] == ""


def test_an_object_is_uploaded_with_its_type_and_again_when_its_text_changes(engine: Engine, emulator: Handle) -> None:
    holder, _, _ = engine.create(BUCKET, bucket())
    identifier, state, inputs = engine.create(OBJECT, {"bucket": holder, "name": "a b/c.json", "source": asset("{}")})
    assert identifier == f"{holder}-a b/c.json"
    assert (state["contentType"], state["md5hexhash"]) == ("application/json", "99914b932bd37a50b983c5e7c90ae93b")
    assert engine.read(OBJECT, identifier, state, inputs) == (identifier, state, inputs)
    other = inputs | {"source": asset("[]")}
    assert list(engine.diff(OBJECT, inputs, other, state).replaces) == ["source"]

    identifier, state, inputs = engine.create(OBJECT, {"bucket": holder, "name": "t", "content": "one"})
    other = inputs | {"content": "two"}
    assert list(engine.diff(OBJECT, inputs, other, state).replaces) == []
    engine.update(OBJECT, identifier, state, inputs, other)
    assert requests.get(f"{emulator.url}/storage/v1/b/{holder}/o/t?alt=media", timeout=10).text == "two"


def test_a_membership_leaves_the_others_of_its_role_alone(engine: Engine) -> None:
    holder, _, _ = engine.create(BUCKET, bucket())
    news = {"bucket": holder, "role": "roles/storage.objectViewer", "member": "user:one@example.org"}
    first, state, inputs = engine.create(MEMBER, news)
    assert first == f"b/{holder}/roles/storage.objectViewer/user:one@example.org"
    second, other, _ = engine.create(MEMBER, news | {"member": "user:two@example.org"})
    assert set(engine.diff(MEMBER, inputs, inputs | {"role": "roles/storage.admin"}, state).replaces) == {"role"}
    engine.delete(MEMBER, first, state)
    assert engine.read(MEMBER, first, state)[0] == ""
    assert engine.read(MEMBER, second, other)[1]["member"] == "user:two@example.org"
    found = engine.read(MEMBER, f"b/{holder} roles/storage.objectViewer user:two@example.org")
    assert found[0] == second
    assert found[2] == {**news, "member": "user:two@example.org", "__defaults": []}


def test_a_membership_holds_under_its_own_condition(engine: Engine) -> None:
    holder, _, _ = engine.create(BUCKET, bucket(uniformBucketLevelAccess=True))
    always = {"bucket": holder, "role": "roles/storage.objectViewer", "member": "user:one@example.org"}
    condition = {"title": "models", "expression": f'resource.name.startsWith("projects/_/buckets/{holder}/objects/m/")'}
    first, state, _ = engine.create(MEMBER, always)
    second, other, inputs = engine.create(MEMBER, always | {"condition": condition})
    assert second == f"{first}/models"
    assert engine.read(MEMBER, second, other, inputs) == (second, other, inputs)
    engine.delete(MEMBER, first, state)
    assert engine.read(MEMBER, second, other, inputs)[0] == second


def test_a_topics_policy_is_changed_too(engine: Engine) -> None:
    engine.create("gcp:pubsub/topic:Topic", {"name": "policed"})
    token = "gcp:pubsub/topicIAMMember:TopicIAMMember"
    news = {"topic": "policed", "role": "roles/pubsub.publisher", "member": "user:one@example.org"}
    identifier, state, inputs = engine.create(token, news)
    assert identifier == f"projects/{PROJECT}/topics/policed/roles/pubsub.publisher/user:one@example.org"
    assert engine.read(token, identifier, state, inputs) == (identifier, state, inputs)
    engine.delete(token, identifier, state)
    assert engine.read(token, identifier, state)[0] == ""


def test_an_endpoint_keeps_its_number_and_is_imported_by_it(engine: Engine) -> None:
    news = {"name": "1234567", "displayName": "one", "location": REGION, "labels": {}}
    identifier, state, inputs = engine.create(ENDPOINT, news)
    assert identifier == f"projects/{PROJECT}/locations/{REGION}/endpoints/1234567"
    assert state["name"] == "1234567"
    # The API leaves out what is empty; that is no difference.
    assert engine.read(ENDPOINT, identifier, state, inputs) == (identifier, state, inputs)
    found, _, imported = engine.read(ENDPOINT, f"{REGION}/1234567")
    assert found == identifier
    assert imported == {"name": "1234567", "displayName": "one", "location": REGION, "__defaults": []}
    changed = inputs | {"displayName": "two", "description": "text"}
    after = engine.update(ENDPOINT, identifier, state, inputs, changed)
    assert (after["displayName"], after["description"]) == ("two", "text")
    less = {key: value for key, value in changed.items() if key != "description"}
    assert "description" not in engine.update(ENDPOINT, identifier, after, changed, less)
    assert "deletionPolicy is PREVENT" in refused(
        engine.delete, ENDPOINT, identifier, state | {"deletionPolicy": "PREVENT"}
    )
    engine.delete(ENDPOINT, identifier, state)
    engine.delete(ENDPOINT, identifier, state)


def test_googles_refusal_names_the_thing_and_what_is_wrong(engine: Engine) -> None:
    text = refused(engine.create, ENDPOINT, {"name": "9", "displayName": "x" * 129, "location": REGION})
    assert text.startswith("POST of Vertex AI AiEndpoint (9): INVALID_ARGUMENT")
    assert "endpoint.display_name: Display name can be up to 128 characters long." in text


# Functions


def test_the_functions_tell_the_project_and_its_storage_account(engine: Engine) -> None:
    configuration = engine.invoke("gcp:organizations/getClientConfig:getClientConfig")
    assert (configuration["project"], configuration["region"]) == (PROJECT, REGION)
    account = engine.invoke("gcp:storage/getProjectServiceAccount:getProjectServiceAccount")
    assert account["member"] == f"serviceAccount:{account['emailAddress']}"
