"""What the engine asks of the provider, over gRPC and without the engine."""

from __future__ import annotations

from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from modelberth_provider.provider import Provider
from modelberth_provider.resources import RESOURCES
from modelberth_provider.stubs import provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import decode, encode

from .vertex import Vertex

Json = dict[str, Any]


class Failed(Exception):
    """What the engine would be told; with the id and the state of a resource that was begun."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.details())
        self.identifier, self.state = "", {}
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                detail = provider_pb2.ErrorResourceInitFailed()
                status_pb2.Status.FromString(value).details[0].Unpack(detail)
                self.identifier, self.state = detail.id, decode(detail.properties)


class Direct:
    """One provider, asked about resources of one type."""

    def __init__(self, stub: Any, token: str) -> None:
        self.stub, self.urn = stub, f"urn:pulumi:dev::models::{token}::thing"

    def _ask(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=60)
        except grpc.RpcError as error:
            raise Failed(error) from error

    def check(self, news: Json) -> tuple[Json, dict[str, str]]:
        answer = self._ask("Check", provider_pb2.CheckRequest(urn=self.urn, news=encode(news)))
        return decode(answer.inputs), {one.property: one.reason for one in answer.failures}

    def checked(self, news: Json) -> Json:
        inputs, failures = self.check(news)
        assert not failures
        return inputs

    def diff(self, olds: Json, news: Json) -> Any:
        request = provider_pb2.DiffRequest(urn=self.urn, old_inputs=encode(olds), news=encode(news))
        return self._ask("Diff", request)

    def create(self, inputs: Json, timeout: float = 60, preview: bool = False) -> tuple[str, Json]:
        request = provider_pb2.CreateRequest(urn=self.urn, properties=encode(inputs), timeout=timeout, preview=preview)
        answer = self._ask("Create", request)
        return answer.id, decode(answer.properties)

    def update(self, identifier: str, state: Json, inputs: Json, timeout: float = 60) -> Json:
        request = provider_pb2.UpdateRequest(
            urn=self.urn, id=identifier, olds=encode(state), news=encode(inputs), timeout=timeout
        )
        return decode(self._ask("Update", request).properties)

    def read(self, identifier: str, state: Json | None = None, inputs: Json | None = None) -> tuple[str, Json, Json]:
        request = provider_pb2.ReadRequest(
            urn=self.urn, id=identifier, properties=encode(state or {}), inputs=encode(inputs or {})
        )
        answer = self._ask("Read", request)
        return answer.id, decode(answer.properties), decode(answer.inputs)

    def delete(self, identifier: str, state: Json) -> None:
        self._ask("Delete", provider_pb2.DeleteRequest(urn=self.urn, id=identifier, properties=encode(state)))

    def cancel(self) -> None:
        self.stub.Cancel(empty_pb2.Empty())


class Start:
    """Starts providers, each as a process of the plugin would be."""

    def __init__(self, vertex: Vertex) -> None:
        self._vertex = vertex
        self._servers: list[grpc.Server] = []

    def __call__(self, token: str) -> Direct:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(RESOURCES), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self._servers.append(server)
        stub = provider_pb2_grpc.ResourceProviderStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
        settings = {"vertexEndpoint": self._vertex.url, "monitoringEndpoint": self._vertex.url}
        settings |= {"project": "acme", "location": "europe-west4"}
        stub.Configure(provider_pb2.ConfigureRequest(args=encode(settings)))
        return Direct(stub, token)

    def stop(self) -> None:
        for server in self._servers:
            server.stop(grace=None)
