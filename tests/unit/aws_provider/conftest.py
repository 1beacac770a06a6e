"""A provider served over real gRPC, against moto in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from sandbox.providers.aws.provider import AwsProvider
from tests.provider_engine import Engine, served


@pytest.fixture(scope="session")
def cloud_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bare_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A provider with neither region nor credentials nor a cloud to reach."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with served(AwsProvider()) as engine:
        yield engine


@pytest.fixture
def engine(bare_engine: Engine, cloud_url: str) -> Engine:
    """A provider pointed at moto by its own configuration, as `aws:endpoints` does."""
    import json

    services = ("s3", "iam", "sagemaker", "sts", "sqs", "sns", "cloudwatch", "kms")
    bare_engine.configure(
        region="eu-central-1",
        accessKey="a",
        secretKey="b",
        s3UsePathStyle="true",
        endpoints=json.dumps([dict.fromkeys(services, cloud_url)]),
        defaultTags=json.dumps({"tags": {"project": "flights"}}),
    )
    return bare_engine
