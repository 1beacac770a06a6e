"""A provider served over real gRPC, against moto in this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from modelberth_provider.stubs import provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import decode, encode
from moto.server import ThreadedMotoServer

from sandbox.providers.aws.provider import AwsProvider


class Engine:
    """What the engine asks of a provider, in a few words each."""

    def __init__(self, stub: Any) -> None:
        self.stub = stub

    @staticmethod
    def urn(token: str, name: str = "thing") -> str:
        return f"urn:pulumi:dev::project::{token}::{name}"

    def configure(self, **config: Any) -> None:
        self.stub.Configure(provider_pb2.ConfigureRequest(args=encode(config)))

    def check(
        self, token: str, news: dict[str, Any], olds: dict[str, Any] | None = None, name: str = "thing"
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The checked inputs, and the problems by path."""
        answer = self.stub.Check(
            provider_pb2.CheckRequest(
                urn=self.urn(token, name), olds=encode(olds or {}), news=encode(news), randomSeed=b"seed"
            )
        )
        return decode(answer.inputs), {failure.property: failure.reason for failure in answer.failures}

    def diff(self, token: str, old: dict[str, Any], new: dict[str, Any], state: dict[str, Any] | None = None) -> Any:
        return self.stub.Diff(
            provider_pb2.DiffRequest(
                urn=self.urn(token), id="id", olds=encode(state or old), old_inputs=encode(old), news=encode(new)
            )
        )

    def create(
        self, token: str, news: dict[str, Any], preview: bool = False, timeout: float = 0
    ) -> tuple[str, dict[str, Any], dict]:
        """The id, the state and the checked inputs."""
        inputs, problems = self.check(token, news)
        assert not problems
        answer = self.stub.Create(
            provider_pb2.CreateRequest(urn=self.urn(token), properties=encode(inputs), preview=preview, timeout=timeout)
        )
        return answer.id, decode(answer.properties), inputs

    def read(
        self,
        token: str,
        identifier: str,
        state: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        answer = self.stub.Read(
            provider_pb2.ReadRequest(
                id=identifier, urn=self.urn(token), properties=encode(state or {}), inputs=encode(inputs or {})
            )
        )
        return answer.id, decode(answer.properties), decode(answer.inputs)

    def update(
        self, token: str, identifier: str, state: dict[str, Any], old: dict[str, Any], new: dict[str, Any]
    ) -> dict[str, Any]:
        answer = self.stub.Update(
            provider_pb2.UpdateRequest(
                id=identifier,
                urn=self.urn(token),
                olds=encode(state),
                old_inputs=encode(old),
                news=encode(new),
            )
        )
        return decode(answer.properties)

    def delete(self, token: str, identifier: str, state: dict[str, Any]) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(id=identifier, urn=self.urn(token), properties=encode(state)))

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=encode(arguments)))
        assert not answer.failures
        return decode(getattr(answer, "return"))


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
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(AwsProvider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Engine(provider_pb2_grpc.ResourceProviderStub(channel))
    server.stop(None)


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
