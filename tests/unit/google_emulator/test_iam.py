"""Service accounts, projects' policies and keys through Google's own clients."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from google.cloud import resourcemanager_v3
from googleapiclient.errors import HttpError

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT

PARENT = f"projects/{PROJECT}"
PLACE = f"{PARENT}/locations/europe-west4"


def refused(request: Any, status: int, text: str) -> None:
    with pytest.raises(HttpError, match=text) as caught:
        request.execute()
    assert caught.value.status_code == status


@pytest.fixture(scope="module")
def accounts(discovery: Callable[..., Any]) -> Any:
    return discovery("iam", "v1").projects().serviceAccounts()


def test_an_account_is_found_by_its_names_changed_and_restored(accounts: Any) -> None:
    body = {"accountId": "serving", "serviceAccount": {"displayName": "Serving"}}
    made = accounts.create(name=PARENT, body=body).execute()
    assert made["email"] == f"serving@{PROJECT}.iam.gserviceaccount.com"
    assert made["name"] == f"{PARENT}/serviceAccounts/{made['email']}"
    for name in (made["name"], f"projects/-/serviceAccounts/{made['uniqueId']}"):
        assert accounts.get(name=name).execute() == made
    refused(accounts.create(name=PARENT, body=body), 409, "serving already exists within project projects/test-project")
    refused(accounts.create(name=PARENT, body={"accountId": "abc"}), 400, "length between 6 and 30")
    changed = {"serviceAccount": {"description": "d"}, "updateMask": "description"}
    patched = accounts.patch(name=made["name"], body=changed).execute()
    assert (patched["description"], patched["displayName"]) == ("d", "Serving")
    accounts.disable(name=made["name"], body={}).execute()
    assert accounts.get(name=made["name"]).execute()["disabled"] is True
    accounts.enable(name=made["name"], body={}).execute()
    accounts.delete(name=made["name"]).execute()
    refused(accounts.get(name=made["name"]), 404, "Unknown service account")
    back = accounts.undelete(name=f"{PARENT}/serviceAccounts/{made['uniqueId']}", body={}).execute()
    assert back["restoredAccount"]["email"] == made["email"]
    accounts.delete(name=made["name"]).execute()


def test_policies_name_accounts_that_exist(accounts: Any, account: str, discovery: Callable[..., Any]) -> None:
    projects = discovery("cloudresourcemanager", "v1").projects()
    binding = {"role": "roles/aiplatform.user", "members": [f"serviceAccount:{account}"]}
    policy = {"bindings": [binding]}
    answer = projects.setIamPolicy(resource=PROJECT, body={"policy": policy}).execute()
    assert answer["bindings"] == [binding]
    v3 = discovery("cloudresourcemanager", "v3").projects()
    number = v3.get(name=PARENT).execute()["name"]
    assert v3.getIamPolicy(resource=number, body={}).execute() == answer
    stranger = {"role": "roles/viewer", "members": [f"serviceAccount:nobody@{PROJECT}.iam.gserviceaccount.com"]}
    wrong = {"policy": {**answer, "bindings": [stranger]}}
    refused(v3.setIamPolicy(resource=PARENT, body=wrong), 400, "Service account nobody@.* does not exist")
    agent = f"serviceAccount:service-{number.split('/')[1]}@gcp-sa-aiplatform.iam.gserviceaccount.com"
    given = {**answer, "bindings": [binding, {"role": "roles/storage.objectViewer", "members": [agent]}]}
    v3.setIamPolicy(resource=PARENT, body={"policy": given}).execute()
    refused(v3.setIamPolicy(resource=PARENT, body={"policy": given}), 409, "concurrent policy changes")
    gone = accounts.create(name=PARENT, body={"accountId": "passing"}).execute()
    user = {"role": "roles/iam.serviceAccountUser", "members": [f"serviceAccount:{gone['email']}"]}
    on_account = f"projects/-/serviceAccounts/{account}"
    accounts.setIamPolicy(resource=on_account, body={"policy": {"bindings": [user]}}).execute()
    accounts.delete(name=gone["name"]).execute()
    kept = accounts.getIamPolicy(resource=f"{PARENT}/serviceAccounts/{account}").execute()
    assert kept["bindings"][0]["members"] == [f"deleted:serviceAccount:{gone['email']}?uid={gone['uniqueId']}"]


def test_a_key_is_told_once(accounts: Any, account: str) -> None:
    keys, name = accounts.keys(), f"{PARENT}/serviceAccounts/{account}"
    made = keys.create(name=name, body={}).execute()
    told = json.loads(base64.b64decode(made["privateKeyData"]))
    assert told["client_email"] == account and "BEGIN PRIVATE KEY" in told["private_key"]
    assert "privateKeyData" not in keys.get(name=made["name"]).execute()
    assert [one["name"] for one in keys.list(name=name).execute()["keys"]] == [made["name"]]
    keys.delete(name=made["name"]).execute()
    refused(keys.get(name=made["name"]), 404, "does not exist")


def test_the_projects_client_gets_a_project(emulator: Handle, credentials: Any) -> None:
    client = resourcemanager_v3.ProjectsClient(
        transport="rest", credentials=credentials, client_options={"api_endpoint": emulator.url}
    )
    found = client.get_project(name=PARENT)
    assert found.project_id == PROJECT and found.state == resourcemanager_v3.Project.State.ACTIVE


def test_keys_of_kms_have_versions_and_policies(discovery: Callable[..., Any]) -> None:
    rings = discovery("cloudkms", "v1").projects().locations().keyRings()
    keys = rings.cryptoKeys()
    ring = rings.create(parent=PLACE, keyRingId="ring", body={}).execute()["name"]
    refused(rings.create(parent=PLACE, keyRingId="ring", body={}), 409, f"KeyRing {ring} already exists")
    body = {"purpose": "ENCRYPT_DECRYPT", "labels": {"a": "b"}}
    key = keys.create(parent=ring, cryptoKeyId="key", body=body).execute()
    assert key["primary"]["algorithm"] == "GOOGLE_SYMMETRIC_ENCRYPTION" and key["primary"]["state"] == "ENABLED"
    assert keys.list(parent=ring).execute()["cryptoKeys"] == [key]
    refused(keys.create(parent=f"{PLACE}/keyRings/none", cryptoKeyId="key", body=body), 404, "KeyRing .*none not found")
    refused(keys.create(parent=ring, cryptoKeyId="other", body={}), 400, "purpose")
    period = {"rotationPeriod": "7776000s"}
    refused(keys.patch(name=key["name"], updateMask="rotationPeriod", body=period), 400, "next_rotation_time")
    binding = {
        "role": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
        "members": ["serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com"],
    }
    keys.setIamPolicy(resource=key["name"], body={"policy": {"bindings": [binding]}}).execute()
    assert keys.getIamPolicy(resource=key["name"]).execute()["bindings"] == [binding]
    versions = keys.cryptoKeyVersions()
    second = versions.create(parent=key["name"], body={}).execute()
    primary = {"cryptoKeyVersionId": "2"}
    assert keys.updatePrimaryVersion(name=key["name"], body=primary).execute()["primary"] == second
    assert versions.destroy(name=second["name"], body={}).execute()["state"] == "DESTROY_SCHEDULED"
    assert keys.get(name=key["name"]).execute()["primary"]["state"] == "DESTROY_SCHEDULED"
    assert versions.restore(name=second["name"], body={}).execute()["state"] == "DISABLED"


def test_a_custom_role_is_granted_while_it_exists(discovery: Callable[..., Any], account: str) -> None:
    roles = discovery("iam", "v1").projects().roles()
    projects = discovery("cloudresourcemanager", "v1").projects()
    role = {"title": "Starts jobs", "includedPermissions": ["aiplatform.customJobs.create"], "stage": "GA"}
    made = roles.create(parent=PARENT, body={"roleId": "starts.jobs", "role": role}).execute()
    assert made["name"] == f"{PARENT}/roles/starts.jobs"
    assert "includedPermissions" not in roles.list(parent=PARENT).execute()["roles"][0]
    binding = {"role": made["name"], "members": [f"serviceAccount:{account}"]}
    projects.setIamPolicy(resource=PROJECT, body={"policy": {"bindings": [binding]}}).execute()
    unknown = {**binding, "role": f"{PARENT}/roles/none"}
    wrong = projects.setIamPolicy(resource=PROJECT, body={"policy": {"bindings": [unknown]}})
    refused(wrong, 400, "roles/none.* does not exist")
    changed = roles.patch(name=made["name"], updateMask="title", body={"title": "other"}).execute()
    assert (changed["title"], changed["includedPermissions"]) == ("other", role["includedPermissions"])
    refused(roles.patch(name=made["name"], body={"etag": made["etag"], "title": "x"}), 409, "etag")
    assert roles.delete(name=made["name"]).execute()["deleted"] is True
    refused(roles.create(parent=PARENT, body={"roleId": "starts.jobs", "role": role}), 400, "in a deleted state")
    assert "deleted" not in roles.undelete(name=made["name"], body={}).execute()
    refused(roles.create(parent=PARENT, body={"roleId": "a", "role": role}), 400, "role_id")
