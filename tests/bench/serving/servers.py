"""The servers that are compared, each in its own environment and started in its best usual way."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sklearn

from sandbox.go_tools import cache_folder

Rows = list[list[float]]


def _instances(rows: Rows) -> Any:
    return {"instances": rows}


def _inputs(rows: Rows) -> Any:
    return {"inputs": rows}


def _tensor(rows: Rows) -> Any:
    shape = [len(rows), len(rows[0])]
    data = [value for row in rows for value in row]
    tensor = {"name": "predict", "shape": shape, "datatype": "FP64", "data": data}
    return {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}


@dataclass(frozen=True)
class Server:
    """How one server is installed, started and asked."""

    name: str
    path: str
    """Where predictions are asked for."""

    body: Callable[[Rows], Any]
    command: tuple[str, ...]
    """Its words after the environment's own Python; `{port}` and `{folder}` are filled in."""

    health: str
    requires: tuple[str, ...] = ()
    """Distributions with versions; none: this project's own environment."""

    files: tuple[tuple[str, str], ...] = ()
    prepare: str = ""
    """A file that is run when the folder is made."""

    environment: tuple[tuple[str, str], ...] = ()


_KSERVE = """
import argparse, joblib
from kserve import Model, ModelServer

class Served(Model):
    def __init__(self):
        super().__init__("model")
        self.model = joblib.load("model.joblib")
        self.ready = True

    def predict(self, payload, headers=None):
        return {"predictions": self.model.predict_proba(payload["instances"]).tolist()}

if __name__ == "__main__":
    ModelServer().start([Served()])
"""
_MLFLOW = """
import joblib, mlflow.sklearn
mlflow.sklearn.save_model(joblib.load("model.joblib"), "saved", pyfunc_predict_fn="predict_proba",
                          serialization_format="cloudpickle")
"""
_BENTOML = """
import bentoml, joblib, numpy

@bentoml.service(workers=1)
class Served:
    def __init__(self):
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def predict(self, inputs: numpy.ndarray) -> numpy.ndarray:
        return self.model.predict_proba(inputs)
"""
_MLSERVER = json.dumps(
    {"name": "model", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
)
_SAME = f"scikit-learn=={sklearn.__version__}"


def _ours(name: str, package: str) -> Server:
    command = ("-m", "model_packaging", "serve", f"{{folder}}/{package}", "--port", "{port}")
    return Server(name, "/invocations", _instances, command, "/ping")


OURS = _ours("modelberth", "skops")
OURS_ONNX = _ours("modelberth, ONNX", "onnx")
EMPTY = Server("an empty ASGI request", "/", _instances, ("-m", "tests.bench.serving.empty", "{port}"), "/")
RIVALS = (
    Server(
        "MLServer 1.7.1",
        "/v2/models/model/infer",
        _tensor,
        ("-c", "from mlserver.cli import main; main()", "start", "."),
        "/v2/models/model/ready",
        ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", _SAME),
        (("model-settings.json", _MLSERVER), ("settings.json", json.dumps({"parallel_workers": 0, "debug": False}))),
        environment=(
            ("MLSERVER_HTTP_PORT", "{port}"),
            ("MLSERVER_HOST", "127.0.0.1"),
            ("MLSERVER_GRPC_PORT", "{other}"),
            ("MLSERVER_METRICS_PORT", "{third}"),
        ),
    ),
    Server(
        "KServe 0.21.0",
        "/v1/models/model:predict",
        _instances,
        ("served.py", "--http_port", "{port}", "--enable_grpc", "false", "--workers", "1"),
        "/v1/models/model",
        ("kserve==0.21.0", "joblib", _SAME),
        (("served.py", _KSERVE),),
    ),
    Server(
        "MLflow 3.17.2",
        "/invocations",
        _inputs,
        ("-m", "mlflow", "models", "serve", "-m", "saved", "--env-manager", "local", "-h", "127.0.0.1", "-p", "{port}"),
        "/ping",
        ("mlflow==3.17.2", "fastapi", "uvicorn", _SAME),
        (("save.py", _MLFLOW),),
        prepare="save.py",
    ),
    Server(
        "BentoML 1.4.40",
        "/predict",
        _inputs,
        ("-m", "bentoml", "serve", "served:Served", "--host", "127.0.0.1", "--port", "{port}"),
        "/readyz",
        ("bentoml==1.4.40", "joblib", _SAME),
        (("served.py", _BENTOML),),
        environment=(("BENTOML_DO_NOT_TRACK", "true"),),
    ),
)


def python(server: Server) -> Path:
    """The interpreter of the server's environment, which is made in the cache folder the first time."""
    if not server.requires:
        return Path(sys.executable)
    name = "-".join(server.requires[:1]).replace("==", "-")
    folder = cache_folder() / "bench" / f"{name}-{_SAME.replace('==', '-')}"
    found = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        uv = Path(sysconfig.get_path("scripts")) / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", found, *server.requires], check=True)
        (folder / ".complete").touch()
    return found


def _make(where: Path, server: Server, folder: Path, prepare: list[str], environment: dict[str, str]) -> None:
    where.mkdir()
    (where / "model.joblib").write_bytes((folder / "model.joblib").read_bytes())
    for name, text in server.files:
        (where / name).write_text(text)
    if server.prepare:
        done = subprocess.run(prepare, cwd=where, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{server.name}: {server.prepare} ended with {done.returncode}: {done.stderr}"


def processor_seconds(running: subprocess.Popen[bytes]) -> float:
    """User and system time so far of a process, and of all that it started and that still run or were waited for."""
    used = 0.0
    first = psutil.Process(running.pid)
    for one in [first, *first.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


@contextmanager
def process(server: Server, folder: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """The server, started; it may not answer yet. It ends with the block."""
    interpreter = python(server)
    place = {"port": ports[0], "other": ports[1], "third": ports[2], "folder": folder}
    extra = {name: value.format(**place) for name, value in server.environment}
    path = os.pathsep.join([str(interpreter.parent), os.environ.get("PATH", "")])
    # Bytecode is kept, as it is in an image that pip has made: else a start would be mostly compiling.
    kept = {"PYTHONPYCACHEPREFIX": str(cache_folder() / "bench" / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    environment = {**os.environ, **kept, "OMP_NUM_THREADS": "1", "PATH": path, **extra}
    where = folder
    if server.requires:
        where = folder / server.name.replace(" ", "-")
        if not where.exists():  # else it is of an earlier round
            _make(where, server, folder, [str(interpreter), server.prepare], environment)
    else:
        environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    command = [str(interpreter), *(word.format(**place) for word in server.command)]
    with (folder / f"{server.name.replace(' ', '-')}.log").open("wb") as log:
        # A group of its own: some servers start others.
        running = subprocess.Popen(command, cwd=where, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, 9)
            running.wait()
