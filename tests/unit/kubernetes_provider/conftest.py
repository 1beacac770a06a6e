"""A provider served over real gRPC, against a real API server with its controllers and no node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from kubernetes import client, config
from modelberth_provider.stubs import provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import decode, encode

from sandbox.kubernetes import control_plane
from sandbox.kubernetes.control_plane import Cluster
from sandbox.providers.kubernetes.provider import KubernetesProvider
from tests.unit.kubernetes_cluster.eventually import eventually

Object = dict[str, Any]


class Log:
    """The engine's log, as far as the provider writes to it."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Engine:
    """What the engine asks of a provider about one object, which its `kind` and `name` stand for."""

    def __init__(self, stub: Any, log: Log) -> None:
        self.stub, self.log = stub, log

    @staticmethod
    def urn(obj: Object, name: str = "thing") -> str:
        version = obj["apiVersion"]
        token = f"kubernetes:{version if '/' in version else f'core/{version}'}:{obj['kind']}"
        return f"urn:pulumi:dev::project::{token}::{name}"

    def configure(self, **settings: Any) -> None:
        self.stub.Configure(provider_pb2.ConfigureRequest(args=encode(settings)))

    def check(self, news: Object, olds: Object | None = None, **options: Any) -> tuple[Object, dict[str, str]]:
        """The checked inputs, and the problems by path."""
        request = provider_pb2.CheckRequest(
            urn=self.urn(news), olds=encode(olds or {}), news=encode(news), randomSeed=b"seed", **options
        )
        answer = self.stub.Check(request)
        return decode(answer.inputs), {failure.property: failure.reason for failure in answer.failures}

    def diff(self, state: Object, olds: Object, news: Object, ignore: tuple[str, ...] = ()) -> Any:
        request = provider_pb2.DiffRequest(
            urn=self.urn(news), id="id", olds=encode(state), old_inputs=encode(olds), news=encode(news),
            ignoreChanges=ignore,
        )  # fmt: skip
        return self.stub.Diff(request)

    def create(
        self, news: Object, *, preview: bool = False, timeout: float = 0, name: str = "thing"
    ) -> tuple[str, Object, Object]:
        """The id, the state and the checked inputs."""
        inputs, problems = self.check(news)
        assert not problems
        request = provider_pb2.CreateRequest(
            urn=self.urn(news, name), properties=encode(inputs), preview=preview, timeout=timeout
        )
        answer = self.stub.Create(request)
        return answer.id, decode(answer.properties), inputs

    def update(
        self, state: Object, olds: Object, news: Object, *, preview: bool = False, ignore: tuple[str, ...] = ()
    ) -> Object:
        request = provider_pb2.UpdateRequest(
            urn=self.urn(news), id="id", olds=encode(state), old_inputs=encode(olds), news=encode(news),
            preview=preview, ignoreChanges=ignore,
        )  # fmt: skip
        return decode(self.stub.Update(request).properties)

    def read(
        self, obj: Object, identifier: str, state: Object | None = None, inputs: Object | None = None
    ) -> tuple[str, Object, Object]:
        request = provider_pb2.ReadRequest(
            urn=self.urn(obj), id=identifier, properties=encode(state or {}), inputs=encode(inputs or {})
        )
        answer = self.stub.Read(request)
        return answer.id, decode(answer.properties), decode(answer.inputs)

    def delete(self, obj: Object, identifier: str, state: Object, timeout: float = 0) -> None:
        request = provider_pb2.DeleteRequest(
            urn=self.urn(obj), id=identifier, properties=encode(state), timeout=timeout
        )
        self.stub.Delete(request)

    def cancel(self) -> None:
        self.stub.Cancel(empty_pb2.Empty())


def failure(caught: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    """What a failed call tells."""
    return str(caught.value.details())  # type: ignore[attr-defined]


def recorded(caught: pytest.ExceptionInfo[grpc.RpcError]) -> Any:
    """What the engine keeps of an object that was made and is not ready."""
    from google.rpc import status_pb2  # type: ignore[import-not-found]

    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    found = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(found)
    return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane that runs, without a node."""
    with control_plane.running(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> client.ApiClient:
    """The administrator's own client, for what happens beside the provider."""
    return config.new_client_from_config(str(cluster.kubeconfig))


@pytest.fixture
def serve() -> Iterator[Callable[..., Engine]]:
    """Starts providers, each with its own settings."""
    servers, channels = [], []

    def start(**settings: Any) -> Engine:
        server, log = grpc.server(futures.ThreadPoolExecutor(max_workers=8)), Log()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(KubernetesProvider(log), server)  # type: ignore[arg-type]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        servers.append(server)
        channels.append(channel)
        engine = Engine(provider_pb2_grpc.ResourceProviderStub(channel), log)
        engine.configure(**settings)
        return engine

    yield start
    for channel in channels:
        channel.close()
    for server in servers:
        server.stop(None)


@pytest.fixture
def namespace(api: client.ApiClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with the service account that the controllers give it."""
    core = client.CoreV1Api(api)
    name = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(generate_name="test-"))).metadata.name
    eventually(lambda: core.list_namespaced_service_account(name).items)
    yield name
    core.delete_namespace(name)


@pytest.fixture
def engine(serve: Callable[..., Engine], cluster: Cluster, namespace: str) -> Engine:
    """A provider of the administrator's, whose objects come into the test's own namespace."""
    return serve(kubeconfig=str(cluster.kubeconfig), namespace=namespace)


@pytest.fixture
def patch(api: client.ApiClient) -> Callable[..., Object]:
    """An edit by hand, as `kubectl patch --type merge`, or of a status as a controller makes it."""

    def edit(path: str, body: Object, subresource: str = "") -> Object:
        host, headers = api.configuration.host, {"Content-Type": "application/merge-patch+json"}
        manager = "a-controller" if subresource else "kubectl-edit"
        url = f"{host}{path}{'/' + subresource if subresource else ''}?fieldManager={manager}"
        pool = api.rest_client.pool_manager
        answer = pool.request("PATCH", url, body=json.dumps(body), headers=headers)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)

    return edit
