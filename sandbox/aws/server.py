"""The AWS emulator's process: moto's server, our services in it, and the sandbox's own routes.

Listens on loopback only. `start()` runs it as a child process, for tests and for the sandbox's command.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clock import Clock
from .runtime import Runtime

HOST = "127.0.0.1"
# Each has `register(runtime)`, which adds its service to moto; in the order of their dependence.
SERVICES = ("faults", "s3", "cloudwatch", "alarms", "notifications", "images", "hosting", "jobs", "pipelines", "events", "scheduler", "gaps")


def serve(port: int, *, speed: float, work: Path, version: str) -> None:
    """Serve until SIGTERM or a request to stop. Prints one JSON line with the address when ready."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    runtime = Runtime(clock=Clock(speed), work=work, version=version)
    runtime.admin["health"] = lambda _: {"instance_id": runtime.instance_id, "pid": os.getpid(), "speed": speed}
    for name in SERVICES:
        if importlib.util.find_spec(f"sandbox.aws.{name}") is not None:
            importlib.import_module(f"sandbox.aws.{name}").register(runtime)
    application = _with_admin_routes(DomainDispatcherApplication(create_backend_app), runtime)
    server = make_server(HOST, port, application, threaded=True)
    runtime.url = f"http://{HOST}:{server.server_port}"
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runtime.stopping.set())
    runtime.admin["shutdown"] = lambda _: runtime.stopping.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready = {"pid": os.getpid(), "port": server.server_port, "url": runtime.url, "instance_id": runtime.instance_id}
    print(json.dumps(ready), flush=True)
    runtime.stopping.wait()
    server.shutdown()
    for stop in reversed(runtime.on_stop):
        stop()


def _with_admin_routes(application: Any, runtime: Runtime) -> Any:
    def dispatch(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if not path.startswith("/_sandbox/"):
            return application(environ, start_response)
        handler = runtime.admin.get(path.removeprefix("/_sandbox/").strip("/"))
        if handler is None:
            start_response("404 Not Found", [("Content-Type", "application/json")])
            return [json.dumps({"error": f"no route {path}", "routes": sorted(runtime.admin)}).encode()]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = json.loads(environ["wsgi.input"].read(length)) if length else {}
        try:
            answer, status = handler(body), "200 OK"
        except ValueError as error:
            answer, status = {"error": str(error)}, "400 Bad Request"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(answer, default=str).encode()]

    return dispatch


@dataclass
class Emulator:
    """A running emulator process."""

    process: subprocess.Popen[str]
    url: str
    pid: int
    instance_id: str

    def admin(self, route: str, body: dict[str, Any] | None = None) -> Any:
        """Ask a `/_sandbox/` route: POST with a body, GET without."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/_sandbox/{route}", data=data, timeout=30) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End the process and all containers."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def environment(self, region: str = "eu-central-1") -> dict[str, str]:
        """What ordinary AWS clients need to use this emulator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
        }


def start(*, port: int = 0, speed: float = 1.0, work: Path | None = None, log: Path | None = None) -> Emulator:
    """Start an emulator as a child process and return when it answers.

    Raises:
        RuntimeError: it ended before it was ready; the text is what it printed.
    """
    command = [sys.executable, "-m", "sandbox.aws", "--port", str(port), "--speed", str(speed)]
    if work is not None:
        command += ["--work", str(work)]
    root = Path(__file__).resolve().parents[2]
    output = subprocess.DEVNULL if log is None else log.open("a")
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=output, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise RuntimeError(f"the emulator ended with code {process.returncode}" + (f"; see {log}" if log else ""))
    ready = json.loads(line)
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{ready['url']}/_sandbox/health", timeout=5).close()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
    return Emulator(process, ready["url"], ready["pid"], ready["instance_id"])
