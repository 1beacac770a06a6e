"""The containers behind endpoints: one process stands for all replicas of a deployed model.

Source: "Custom container requirements for inference" in the Vertex AI documentation (AIP_ variables, default routes,
health checks).
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sandbox.containers import Container, free_port
from sandbox.google.errors import precondition
from sandbox.google.logs import write_text
from sandbox.google.operations import Operation
from sandbox.google.vertex.images import Program, command_of, environment_of

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

DEPLOYMENT_SECONDS = 1800.0


@dataclass
class Server:
    """A deployed model's process, and what starts it again."""

    name: str
    command: list[str]
    environment: dict[str, str]
    port: int
    health: str
    predict: str
    container: Container
    in_flight: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=200))


class Hosting:
    """The servers of one emulator, by endpoint and deployed model's id."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.servers: dict[tuple[str, str], Server] = {}
        self.lock = threading.Condition()

    def start(
        self,
        endpoint: str,
        deployed: dict[str, Any],
        model: dict[str, Any],
        program: Program,
        operation: Operation,
    ) -> Server:
        """Start a deployed model's container and wait until it is healthy; raises FAILED_PRECONDITION."""
        spec = model.get("containerSpec", {})
        number, endpoint_id = endpoint.split("/")[1], endpoint.rpartition("/")[2]
        route = f"/v1/endpoints/{endpoint_id}/deployedModels/{deployed['id']}"
        health, predict = spec.get("healthRoute") or route, spec.get("predictRoute") or f"{route}:predict"
        port = free_port()
        machine = deployed.get("dedicatedResources", {}).get("machineSpec", {})
        environment = {
            **environment_of(spec),
            "AIP_ACCELERATOR_TYPE": machine.get("acceleratorType", ""),
            "AIP_DEPLOYED_MODEL_ID": deployed["id"],
            "AIP_ENDPOINT_ID": endpoint_id,
            "AIP_FRAMEWORK": "CUSTOM_CONTAINER",
            "AIP_HEALTH_ROUTE": health,
            "AIP_HTTP_PORT": str(port),
            "AIP_MACHINE_TYPE": machine.get("machineType", ""),
            "AIP_MODE": "PREDICTION",
            "AIP_PREDICT_ROUTE": predict,
            "AIP_PROJECT_NUMBER": number,
            "AIP_STORAGE_URI": model.get("artifactUri", ""),
        }
        command = command_of(spec, program)
        name = f"endpoint {endpoint_id} {deployed['id']}"
        server = Server(name, command, environment, port, health, predict, self._run(name, command, environment))
        limit = float(str(spec.get("deploymentTimeout", f"{DEPLOYMENT_SECONDS}s")).removesuffix("s"))
        deadline = time.monotonic() + limit
        while not healthy(server):
            if operation.cancelled.is_set() or self.emulator.stopping.is_set():
                server.container.stop()
                raise precondition("The deployment was cancelled.")
            if not server.container.running:
                server.container.wait()
                raise precondition(f"Model server exited unexpectedly. {_logs(server)}")
            if time.monotonic() > deadline:
                server.container.stop()
                raise precondition(
                    "Model server never became ready. Please validate that your model file or container configuration "
                    f"are valid. {_logs(server)}"
                )
            self.emulator.stopping.wait(0.05)
        with self.lock:
            self.servers[endpoint, deployed["id"]] = server
        return server

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> Container:
        folder = self.emulator.runtime.new_folder(name)
        project = self.emulator.projects.id(environment["AIP_PROJECT_NUMBER"])
        labels = {"endpoint_id": environment["AIP_ENDPOINT_ID"]}
        kind, log = "aiplatform.googleapis.com/Endpoint", "aiplatform.googleapis.com%2Fprediction_container"

        def keep(line: str) -> None:
            write_text(self.emulator, project, log, kind, labels, line)

        return self.emulator.runtime.start(name, command, folder, environment, keep)

    def end(self, endpoint: str, deployed_id: str) -> None:
        """Stop a deployed model's container once the requests in it are answered."""
        with self.lock:
            server = self.servers.pop((endpoint, deployed_id), None)
            if server is None:
                return
            self.lock.wait_for(lambda: server.in_flight == 0, 60)
        server.container.stop()

    def watch(self) -> None:
        """Start containers again that died."""
        while not self.emulator.stopping.wait(0.3):
            with self.lock:
                dead = [one for one in self.servers.values() if not one.container.running]
            for one in dead:
                one.container = self._run(one.name, one.command, one.environment)


def healthy(server: Server) -> bool:
    """Whether the container answers its health route with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", server.health)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _logs(server: Server) -> str:
    tail = " | ".join(server.container.tail[-5:])
    return f"Model server logs end with: {tail}"


_all: WeakKeyDictionary[Emulator, Hosting] = WeakKeyDictionary()


def hosting_of(emulator: Emulator) -> Hosting:
    """The hosting of an emulator."""
    if emulator not in _all:
        _all[emulator] = Hosting(emulator)
    return _all[emulator]
