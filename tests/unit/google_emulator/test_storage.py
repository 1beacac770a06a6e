"""Cloud Storage through google-cloud-storage and gcsfs, unchanged."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
import uuid
from typing import Any

import gcsfs
import pytest
from google.api_core import exceptions
from google.cloud import storage

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT, wait_for


@pytest.fixture(scope="module")
def client(emulator: Handle) -> Any:
    from google.auth.credentials import AnonymousCredentials

    return storage.Client(
        project=PROJECT, credentials=AnonymousCredentials(), client_options={"api_endpoint": emulator.url}
    )


@pytest.fixture
def bucket(client: Any) -> Any:
    made = client.bucket(f"b-{uuid.uuid4().hex[:12]}")
    made.iam_configuration.uniform_bucket_level_access_enabled = True
    return client.create_bucket(made, location="europe-west4")


def test_an_object_goes_up_in_each_way_and_comes_back(client: Any, bucket: Any) -> None:
    content = os.urandom(3 << 20)
    for name, chunk in (("a/multi part.bin", None), ("a/resumable.bin", 1 << 20)):
        blob = bucket.blob(name, chunk_size=chunk)
        blob.upload_from_string(content, content_type="application/x-model")
        assert bucket.blob(name).download_as_bytes() == content
        assert bucket.blob(name).download_as_bytes(start=5, end=9) == content[5:10]
        assert client.bucket(bucket.name).get_blob(name).content_type == "application/x-model"
    assert [one.name for one in client.list_blobs(bucket, prefix="a/")] == ["a/multi part.bin", "a/resumable.bin"]
    listing = client.list_blobs(bucket, delimiter="/")
    assert list(listing) == [] and listing.prefixes == {"a/"}
    joined = bucket.blob("joined")
    joined.compose([bucket.blob("a/multi part.bin"), bucket.blob("a/resumable.bin")])
    assert joined.download_as_bytes() == content * 2 and joined.component_count == 2 and joined.md5_hash is None


def test_a_versioned_bucket_keeps_what_was(client: Any, bucket: Any) -> None:
    bucket.versioning_enabled = True
    bucket.patch()
    blob = bucket.blob("x")
    blob.upload_from_string("1")
    first = blob.generation
    blob.upload_from_string("2")
    assert [one.generation for one in client.list_blobs(bucket, versions=True)] == [first, blob.generation]
    assert bucket.blob("x", generation=first).download_as_bytes() == b"1"
    bucket.delete_blob("x")
    assert list(client.list_blobs(bucket)) == [] and len(list(client.list_blobs(bucket, versions=True))) == 2
    with pytest.raises(exceptions.Conflict, match="is not empty"):
        bucket.delete()


def test_a_deleted_object_can_be_restored_for_a_week(client: Any, bucket: Any) -> None:
    assert bucket.soft_delete_policy.retention_duration_seconds == 7 * 86400
    blob = bucket.blob("x")
    blob.upload_from_string("kept")
    blob.delete()
    [gone] = client.list_blobs(bucket, soft_deleted=True)
    bucket.restore_blob("x", generation=gone.generation)
    assert bucket.blob("x").download_as_bytes() == b"kept"
    bucket.soft_delete_policy.retention_duration_seconds = 3600
    with pytest.raises(exceptions.BadRequest, match="between 7 and 90 days"):
        bucket.patch()


def test_a_precondition_guards_a_write(bucket: Any) -> None:
    bucket.blob("x").upload_from_string("1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").upload_from_string("2", if_generation_match=0)
    assert bucket.blob("x").download_as_bytes() == b"1"


def test_a_policy_is_read_and_written_and_public_access_is_prevented(bucket: Any) -> None:
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"user:a@example.org"}})
    assert "roles/storage.objectViewer" in bucket.set_iam_policy(policy)
    with pytest.raises(exceptions.Conflict, match="concurrent policy changes"):
        bucket.set_iam_policy(policy)
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.patch()
    policy = bucket.get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"allUsers"}})
    with pytest.raises(exceptions.PreconditionFailed, match="public access prevention is enforced"):
        bucket.set_iam_policy(policy)


def test_names_and_locations_that_cannot_be_are_refused(client: Any) -> None:
    for name in ("UPPER", "a", "google-models", "10.0.0.1"):
        with pytest.raises((exceptions.BadRequest, ValueError), match=r"(?i)invalid|must"):
            client.create_bucket(name, location="europe-west4")
    with pytest.raises(exceptions.BadRequest, match="location constraint is not valid: MARS"):
        client.create_bucket("fine-name", location="mars")
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        client.get_bucket("nowhere-to-be-found")


def test_gcsfs_reads_and_writes(emulator: Handle, bucket: Any) -> None:
    fs = gcsfs.core.GCSFileSystem(token="anon", endpoint_url=emulator.url, skip_instance_cache=True)
    content = os.urandom(6 << 20)
    with fs.open(f"{bucket.name}/folder/large", "wb") as target:
        target.write(content)
    assert fs.cat(f"{bucket.name}/folder/large") == content
    assert fs.ls(f"{bucket.name}/folder") == [f"{bucket.name}/folder/large"]
    fs.rm(f"{bucket.name}/folder", recursive=True)
    fs.invalidate_cache()
    assert fs.ls(bucket.name) == []


def test_a_lifecycle_rule_deletes_noncurrent_versions(client: Any, bucket: Any) -> None:
    bucket.versioning_enabled = True
    bucket.add_lifecycle_delete_rule(number_of_newer_versions=1)
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.patch()
    for text in "123":
        bucket.blob("x").upload_from_string(text)
    wait_for(lambda: len(list(client.list_blobs(bucket, versions=True))) == 1)
    assert bucket.blob("x").download_as_bytes() == b"3"


def test_a_call_without_a_token_is_unauthenticated(emulator: Handle) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{emulator.url}/v1/projects/{PROJECT}/services/storage.googleapis.com")
    error = json.load(caught.value)["error"]
    assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
