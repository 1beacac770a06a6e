"""The object store keeps what it is given, versions it, and lets nobody in without its keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.kubernetes import object_store
from sandbox.kubernetes.control_plane import LOOPBACK
from sandbox.kubernetes.object_store import ObjectStore
from tests.node import needs_node

# The first run on a machine builds the program.
pytestmark = [needs_node, pytest.mark.timeout(1200)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    yield object_store.start(tmp_path, LOOPBACK)
    object_store.stop(tmp_path)


def test_versions_are_kept_over_a_restart(store: ObjectStore, tmp_path: Path) -> None:
    client = _client(store)
    client.create_bucket(Bucket="models")
    client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket="models", Key="model", Body=b"first")["VersionId"]
    client.put_object(Bucket="models", Key="model", Body=b"second")

    assert object_store.stop(tmp_path)
    assert object_store.start(tmp_path, LOOPBACK) == store

    assert client.get_object(Bucket="models", Key="model")["Body"].read() == b"second"
    assert client.get_object(Bucket="models", Key="model", VersionId=first)["Body"].read() == b"first"


def test_a_wrong_key_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        _client(store, secret_key="wrong").list_buckets()
    assert _client(store).list_buckets()["Buckets"] == []


def _client(store: ObjectStore, secret_key: str | None = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=store.region,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=secret_key or store.secret_key,
    )
