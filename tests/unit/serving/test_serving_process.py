"""The server as a process: readiness, overload, ends."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from model_packaging.package import Package
from model_packaging.serving import media
from tests.unit.packaging.conftest import altered
from tests.unit.serving.conftest import Serve, Server, problem

GOOD = '{"instances": [{"tenure": 3, "charge": 60.5, "plan": "pro"}]}'

HELD = """
# Predictions wait for a file, so that a test decides when they end.
import os, time
from model_packaging.formats.predictor import Predictor
from model_packaging.serving.log import log
predict, held = Predictor.predict_columns, os.environ["HELD"]
def wait(self, columns):
    if columns["tenure"][0] == 3:  # not the package's own examples
        log("predicting")
        while not os.path.exists(held):
            time.sleep(0.01)
    return predict(self, columns)
Predictor.predict_columns = wait
"""

SLOW_TO_LOAD = """
import os, time
from model_packaging import formats
load, held = formats.load, os.environ["HELD"]
def wait(package, **options):
    while not os.path.exists(held):
        time.sleep(0.01)
    return load(package, **options)
formats.load = wait
"""

FAILING = """
from model_packaging.formats.predictor import Predictor
predict = Predictor.predict_columns
def fail(self, columns):
    if columns["tenure"][0] == 66:
        raise ZeroDivisionError("in the model")
    return predict(self, columns)
Predictor.predict_columns = fail
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_background(function: Callable[[], requests.Response]) -> "Future[requests.Response]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future


def test_ping_turns_from_503_to_200(serve: Serve, churn: Package, tmp_path: Path) -> None:
    held = tmp_path / "held"
    server = serve(churn.path, "--port", "0", program=SLOW_TO_LOAD, HELD=str(held)).listening()
    assert (server.get("/ping").status_code, server.get("/ping").json()["status"]) == (503, "loading")
    early = server.ask(GOOD, media.JSON)
    assert (early.status_code, early.headers["Retry-After"]) == (503, "1")
    assert "still loading" in problem(early)
    held.touch()
    server.wait_for("ready")
    ping = server.get("/ping")
    assert (ping.status_code, ping.json()) == (200, {"status": "ready", "package": churn.digest})


def test_one_request_too_many_is_503_at_once(serve: Serve, churn: Package, tmp_path: Path) -> None:
    held = tmp_path / "held"
    limits = {"MODELBERTH_WORKERS": "1", "MODELBERTH_QUEUE": "1"}
    server = serve(churn.path, "--port", "0", program=HELD, HELD=str(held), **limits).ready()
    running = in_background(lambda: server.ask(GOOD, media.JSON))
    server.wait_for("predicting")
    # Two more: one waits in the queue, and whichever comes after it is refused while both are held.
    others = [in_background(lambda: server.ask(GOOD, media.JSON)) for _ in range(2)]
    refusal = server.wait_for_request(status=503)
    assert "2 requests are in progress or waiting: try again" in refusal["problem"]
    assert server.get("/ping").status_code == 200
    held.touch()
    answers = [future.result(30) for future in (running, *others)]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 503]
    (refused,) = [answer for answer in answers if answer.status_code == 503]
    assert refused.headers["Retry-After"] == "1"
    assert server.ask(GOOD, media.JSON).status_code == 200


def test_a_prediction_that_takes_too_long_is_504(serve: Serve, churn: Package, tmp_path: Path) -> None:
    limits = {"MODELBERTH_TIMEOUT_SECONDS": "0.2", "HELD": str(tmp_path / "held")}
    server = serve(churn.path, "--port", "0", program=HELD, **limits).ready()
    answer = server.ask(GOOD, media.JSON)
    assert (answer.status_code, "no prediction within 0.2 s" in problem(answer)) == (504, True)
    (tmp_path / "held").touch()


def test_an_answer_comes_in_one_piece_after_a_continue_and_in_a_pipeline(serve: Serve, churn: Package) -> None:
    server = serve(churn.path, "--port", "0").ready()
    head = "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    length = f"Content-Length: {len(GOOD)}\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=30) as client:
        client.sendall(f"{head}{length}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(GOOD.encode())
        whole = client.recv(65536)
        assert whole.startswith(b"HTTP/1.1 200 ")
        assert json.loads(whole.partition(b"\r\n\r\n")[2])["predictions"]
        client.sendall(f"{head}{length}\r\n{GOOD}{head}{length}Connection: close\r\n\r\n{GOOD}".encode())
        both = b"".join(iter(lambda: client.recv(65536), b""))
    assert both.count(b"HTTP/1.1 200 ") == both.count(b'"predictions"') == 2


def test_a_failing_model_is_500_and_the_server_goes_on(serve: Serve, churn: Package) -> None:
    server = serve(churn.path, "--port", "0", program=FAILING).ready()
    answer = server.ask("66,60.5,pro", media.CSV)
    assert (answer.status_code, problem(answer)) == (500, "the model failed: ZeroDivisionError: in the model")
    assert server.ask("65,60.5,pro", media.CSV).status_code == 200


def test_sigterm_waits_for_the_request_in_progress(serve: Serve, churn: Package, tmp_path: Path) -> None:
    held = tmp_path / "held"
    server = serve(churn.path, "--port", "0", program=HELD, HELD=str(held), MODELBERTH_WORKERS="2").ready()
    running = in_background(lambda: server.ask(GOOD, media.JSON))
    server.wait_for("predicting")
    server.terminate()
    assert server.wait_for("draining")["in_progress"] == 1
    assert server.get("/ping").json()["status"] == "draining"
    late = server.ask("4,60.5,pro", media.CSV)
    assert (late.status_code, late.headers["Connection"]) == (200, "close")
    held.touch()
    assert running.result(30).status_code == 200
    assert server.end() == 0
    assert server.lines[-1]["event"] == "stopped"


def test_sigterm_under_load_loses_no_request(serve: Serve, churn: Package) -> None:
    server = serve(churn.path, "--port", "0", MODELBERTH_DRAIN_DELAY_SECONDS="1").ready()

    def client() -> list[int]:
        """Asks on one connection until the server says that it closes, as a load balancer does."""
        statuses: list[int] = []
        with server.session() as session:
            while True:
                answer = session.post(f"{server.url}/invocations", data=GOOD, timeout=30)
                statuses.append(answer.status_code)
                if answer.headers.get("Connection") == "close":
                    return statuses

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        for _ in range(20):
            server.wait_for("request")
        server.terminate()
        statuses = [status for future in clients for status in future.result(30)]
    assert len(statuses) >= 20
    assert set(statuses) == {200}
    assert server.end() == 0
    assert len([line for line in server.lines if line["event"] == "request"]) == len(statuses)


def test_sigterm_while_loading_ends_at_once(serve: Serve, churn: Package, tmp_path: Path) -> None:
    server = serve(churn.path, "--port", "0", program=SLOW_TO_LOAD, HELD=str(tmp_path / "never")).listening()
    server.terminate()
    assert server.end() == 0


def test_a_model_that_gives_other_predictions_is_never_ready(serve: Serve, churn: Package, tmp_path: Path) -> None:
    def change(examples: dict) -> None:
        examples["predictions"][1]["probabilities"]["true"] += 0.001

    server = serve(altered(churn, tmp_path / "churn", "examples.json", change), "--port", "0")
    failure = server.wait_for("cannot serve")
    assert failure["level"] == "error"
    assert "package churn does not reproduce its recorded predictions: example 1: prediction probabil" in str(failure)
    assert server.end() == 1
    assert "ready" not in [line["event"] for line in server.lines]
    assert server.other == []


def test_a_damaged_package_ends_the_process_with_the_file(serve: Serve, churn: Package, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(churn.path, tmp_path / "churn"))
    (folder / "model" / "model.skops").write_bytes(b"PK")
    server = serve(folder, "--port", "0")
    assert "model/model.skops: 2 bytes, the manifest says" in server.wait_for("cannot serve")["problems"][0]
    assert server.end() == 1


def test_sagemakers_port_and_model_folder(serve: Serve, churn: Package, tmp_path: Path) -> None:
    """What SageMaker runs is `serve` with nothing else."""
    shutil.copytree(churn.path, tmp_path / "model")
    port = free_port()
    server = serve(SAGEMAKER_BIND_TO_PORT=str(port), SAGEMAKER_BASE_DIR=str(tmp_path)).ready()
    assert server.url == f"http://127.0.0.1:{port}"
    assert server.ask(json.dumps(churn.examples["inputs"]), media.JSON).status_code == 200


@pytest.mark.parametrize(
    ("environment", "problems"),
    [
        ({"SAGEMAKER_BIND_TO_PORT": "http"}, ['SAGEMAKER_BIND_TO_PORT is "http": it must be a port from 1 to 65535']),
        (
            {"MODELBERTH_QUEUE": "many", "MODELBERTH_MAX_ROWS": "0", "MODELBERTH_WORKERS": "1.5"},
            [
                'MODELBERTH_QUEUE is "many": it must be a number (a whole number of at least 0)',
                "MODELBERTH_MAX_ROWS is 0: it must be a whole number of at least 1",
                'MODELBERTH_WORKERS is "1.5": it must be a number (a whole number of at least 0)',
            ],
        ),
    ],
)
def test_bad_settings_are_all_named(
    serve: Serve, churn: Package, environment: dict[str, str], problems: list[str]
) -> None:
    server = serve(churn.path, **environment)
    assert server.end() == 1
    text = "".join(server.other)
    assert "Traceback" not in text
    assert all(problem in text for problem in problems), text


def test_a_port_in_use_is_named(serve: Serve, churn: Package, server: Server) -> None:
    port = server.url.rpartition(":")[2]
    second = serve(churn.path, "--port", port)
    assert second.end() == 1
    assert f"port {port} on 127.0.0.1 is in use by another process: stop it, or choose another" in second.other[0]


def test_serving_needs_neither_a_cloud_sdk_nor_pulumi() -> None:
    code = (
        "import sys, model_packaging.serving.server, model_packaging.formats.sklearn_skops\n"
        "print([name for name in ('boto3', 'botocore', 's3fs', 'pulumi', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"
