"""What the engine asks of a provider plugin: over gRPC in this process, or by the engine's own command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from modelberth_provider.stubs import provider_pb2, provider_pb2_grpc
from modelberth_provider.wire import decode, encode

from sandbox.engine.install import ensure_engine, write_launcher


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


@contextmanager
def served(provider: Any) -> Iterator[Engine]:
    """Serve a provider on loopback."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Engine(provider_pb2_grpc.ResourceProviderStub(channel))
    server.stop(None)


class Project:
    """The engine's command line on a project of its own, with plugins of ours, by name and module."""

    def __init__(
        self, folder: Path, program: Path, plugins: Mapping[str, str], variables: Mapping[str, str], **config: str
    ) -> None:
        binaries, self.folder = folder / "bin", folder / "project"
        engine = ensure_engine(binaries)
        for name, module in plugins.items():
            write_launcher(binaries / f"pulumi-resource-{name}", f"-m {module}")
        self.folder.mkdir()
        (folder / "state").mkdir()
        (self.folder / "Pulumi.yaml").write_text("name: every\nruntime: python\n")
        (self.folder / "Pulumi.dev.yaml").write_text(json.dumps({"config": config}))
        shutil.copy(program, self.folder / "__main__.py")
        self._environment = {
            **os.environ,
            "PATH": f"{binaries}:{engine.folder}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **variables,
        }
        self("stack", "init", "dev")

    def __call__(self, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
        """Run one command, which must succeed, or fail."""
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done
