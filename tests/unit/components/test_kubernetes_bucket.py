"""A bucket in an S3-compatible store: the Secret that leads there, what is set, and what a store can't do."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
from modelberth import ArtifactBucket, ModelEndpoint, SpecificationError
from modelberth.platforms.kubernetes import store
from moto.s3.exceptions import S3ClientError
from moto.s3.models import S3Backend
from moto.server import ThreadedMotoServer
from pulumi.runtime import rpc

from model_packaging.errors import ModelberthError
from model_packaging.package import Package
from tests.unit.components.cloud import Deployed, deploy
from tests.unit.components.cluster import IMAGE, STORE, planned


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A store of its own, which speaks S3."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(address: str) -> Any:
    return boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )


def bucket(*, secret: dict[str, str] | None = None, plan: bool = True, **args: Any) -> Deployed:
    options = {"secret": "storage/objects"} | args.pop("kubernetes", {})
    program = lambda: ArtifactBucket("churn", {"platform": "kubernetes", "kubernetes": options} | args)  # noqa: E731
    return planned(program) if plan else deploy(program, secrets={"storage/objects": STORE | (secret or {})})


def wrong(**args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        bucket(**args)
    return caught.value.problems


def data_of(deployed: Deployed) -> dict[str, str]:
    """What stands in the Secret that was made, which is one to Pulumi too."""
    data = deployed.one("core/v1:Secret", "churn-access").inputs["data"]
    assert rpc.is_rpc_secret(data)
    return {key: base64.b64decode(value).decode() for key, value in rpc.unwrap_rpc_secret(data).items()}


def test_the_secret_is_copied_under_the_buckets_name() -> None:
    deployed = bucket()
    made = deployed.one("core/v1:Secret", "churn-access")
    assert made.inputs["metadata"]["name"] == "shop-dev-churn"
    assert data_of(deployed) == STORE
    assert deployed.outputs[deployed.made[0].urn]["url"] == "s3://shop-dev-churn"


def test_what_is_written_goes_before_the_secret(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("certificate")
    options = {
        "endpoint_url": "https://pods.example.org",
        "external_url": "https://outside.example.org:9000",
        "region": "cz-1",
        "ca_file": str(authority),
        "bucket": "mine",
    }
    assert data_of(bucket(kubernetes=options)) == {
        **STORE,
        "AWS_ENDPOINT_URL_S3": "https://pods.example.org",
        "MODELBERTH_STORE_EXTERNAL_URL": "https://outside.example.org:9000",
        "AWS_REGION": "cz-1",
        "AWS_CA_BUNDLE": "/etc/modelberth/store/ca.crt",
        "ca.crt": "certificate",
    }


def test_a_secret_that_lacks_keys_is_told() -> None:
    with pytest.raises(ModelberthError) as caught:
        store.access_from({"AWS_ACCESS_KEY_ID": base64.b64encode(b"x").decode()}, "storage/objects")
    assert str(caught.value) == "the Secret storage/objects lacks AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL_S3"


def test_what_is_not_encrypted_in_transit_is_refused_but_in_development(address: str) -> None:
    assert wrong(kubernetes={"endpoint_url": "http://store:9000"}) == [
        "churn.kubernetes.endpoint_url: 'http://store:9000' is not encrypted in transit: write https://…, or set "
        "development on a stack whose data nobody needs to keep secret"
    ]
    bucket(kubernetes={"endpoint_url": "http://store:9000"}, development=True)
    # The same where it stands in the Secret, which is known only when the program runs.
    with pytest.raises(Exception, match=r"names the store http://127.0.0.1:.*, which is not encrypted"):
        bucket(plan=False, secret={"AWS_ENDPOINT_URL_S3": address})


def test_a_bucket_is_versioned_encrypted_private_and_forgets_in_time(address: str, s3: Any) -> None:
    secret = {"AWS_ENDPOINT_URL_S3": address}
    for _ in range(2):
        bucket(plan=False, secret=secret, development=True, kubernetes={"bucket": "whole"}, keep_noncurrent="30d")
    assert s3.get_bucket_versioning(Bucket="whole")["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket="whole")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert all(s3.get_public_access_block(Bucket="whole")["PublicAccessBlockConfiguration"].values())
    (lifecycle,) = s3.get_bucket_lifecycle_configuration(Bucket="whole")["Rules"]
    assert lifecycle["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert "Expiration" not in lifecycle


def test_a_key_of_ones_own(address: str, s3: Any) -> None:
    access = store.Access(address, "us-east-1", "a", "b")
    assert store.ensure("keyed", store.Wanted(90, "my-key"), access) == []
    (rule,) = s3.get_bucket_encryption(Bucket="keyed")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "my-key"}


def lacking(monkeypatch: pytest.MonkeyPatch, method: str, code: str = "NotImplemented") -> None:
    """Take one ability from the store."""

    def refuse(*arguments: Any, **more: Any) -> None:
        raise S3ClientError(code, "A header you provided implies functionality that is not implemented.")

    monkeypatch.setattr(S3Backend, method, refuse)


def test_what_the_store_lacks_is_found_out_and_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "put_bucket_encryption")
    lacking(monkeypatch, "put_bucket_lifecycle")
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, resource=None: said.append(text))
    bucket(plan=False, secret={"AWS_ENDPOINT_URL_S3": address}, development=True, kubernetes={"bucket": "lacking"})
    assert said == [
        f"the store {address} can't encrypt a bucket (NotImplemented): see to it in the store itself",
        f"the store {address} can't expire replaced objects (NotImplemented): see to it in the store itself",
    ]


def test_a_store_without_versions_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "put_bucket_versioning")
    with pytest.raises(ModelberthError) as caught:
        store.ensure("without", store.Wanted(90), store.Access(address, "us-east-1", "a", "b"))
    assert str(caught.value) == (
        f"the store {address} can't keep versions (NotImplemented), and without versions nothing that was replaced can "
        "be brought back: switch versioning on in the store, or use another"
    )


def test_a_refusal_is_no_lack(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking(monkeypatch, "put_bucket_encryption", "AccessDenied")
    with pytest.raises(ModelberthError, match=r"refuses PutBucketEncryption on the bucket refused: Acc.*; look"):
        store.ensure("refused", store.Wanted(90), store.Access(address, "us-east-1", "a", "b"))


def test_a_store_that_does_not_answer_is_told() -> None:
    with pytest.raises(ModelberthError, match=r"^the store http://127.0.0.1:1 does not answer: .*; look"):
        store.ensure("any", store.Wanted(90), store.Access("http://127.0.0.1:1", "us-east-1", "a", "b"))


def test_a_package_is_in_the_store_before_any_pod_asks_for_it(original: Package, address: str, s3: Any) -> None:
    s3.create_bucket(Bucket="models")
    args = {
        "platform": "kubernetes",
        "package": original,
        "image": IMAGE,
        "bucket": "s3://models",
        "development": True,
    }
    deployed = deploy(
        lambda: ModelEndpoint("churn", args),
        secrets={"default/models": STORE | {"AWS_ENDPOINT_URL_S3": address}},
    )
    prefix = f"packages/churn/{original.digest.removeprefix('sha256:')}/"
    kept = {one["Key"].removeprefix(prefix) for one in s3.list_objects_v2(Bucket="models")["Contents"]}
    assert kept == {*original.files, "manifest.json"}
    (fetch,) = deployed.one("apps/v1:Deployment").inputs["spec"]["template"]["spec"]["initContainers"]
    assert fetch["args"][1] == f"s3://models/{prefix.rstrip('/')}@{original.digest}"


def test_nothing_is_asked_of_the_store_in_a_preview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ensure", lambda *arguments: pytest.fail("the store was asked"))
    assert data_of(bucket()) == STORE


def test_credentials_are_not_shown() -> None:
    assert "b-secret" not in repr(store.Access("https://x", "us-east-1", "a", "b-secret"))
