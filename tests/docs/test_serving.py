"""Every request of the page on serving is made by its real client, and all get the same prediction."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

from model_packaging.package import Package
from sandbox.aws.server import start
from sandbox.settings import ROOT
from tests.docs.test_guides import programs
from tests.unit.aws_emulator.conftest import IMAGE, Account, variant, wait_for
from tests.unit.packaging.conftest import packed
from tests.unit.serving.conftest import Server

PAGE = ROOT / "docs" / "serving.md"
ROW = {"tenure": 3, "charge": 60.5, "plan": "pro"}
PROGRAMS = ["SageMaker", "Vertex AI", "JSON tensors", "Binary tensors", "gRPC", "Azure ML"]


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture(scope="module")
def server(churn: Package) -> Iterator[Server]:
    environment = {
        "AIP_HEALTH_ROUTE": "/health",
        "AIP_PREDICT_ROUTE": "/v1/projects/shop/locations/europe-west4/endpoints/1:predict",
        "MODELBERTH_GRPC_PORT": "0",
    }
    found = Server(["-m", "model_packaging", "serve", str(churn.path), "--port", "0"], environment).ready()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def leaves(server: Server) -> float:
    """What the server says of the page's customer by the simplest of its contracts."""
    answer = server.ask(json.dumps([ROW]), "application/json")
    return answer.json()["predictions"][0]["probabilities"]["true"]


@pytest.fixture
def endpoint(churn: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The emulator's endpoint `churn`, which runs the server in a process of its own from the package in a bucket."""
    handle = start(folder=tmp_path / "emulator")
    try:
        account = Account(handle)
        handle.post("images", reference=IMAGE, entrypoint=[sys.executable, "-m", "model_packaging"])
        for file in sorted(path for path in churn.path.rglob("*") if path.is_file()):
            key = f"churn/{file.relative_to(churn.path)}"
            account("s3").put_object(Bucket="bucket", Key=key, Body=file.read_bytes())
        source = {"S3Uri": "s3://bucket/churn/", "S3DataType": "S3Prefix", "CompressionType": "None"}
        container = {"Image": IMAGE, "ModelDataSource": {"S3DataSource": source}}
        account("sagemaker").create_model(ModelName="churn", ExecutionRoleArn=account.role, PrimaryContainer=container)
        config = account.config(variant("churn"))
        account("sagemaker").create_endpoint(EndpointName="churn", EndpointConfigName=config)
        describe = account("sagemaker").describe_endpoint
        settled = wait_for(lambda: _settled(describe(EndpointName="churn")), seconds=180)
        assert settled == "InService", describe(EndpointName="churn")
        for name, value in {
            "AWS_ENDPOINT_URL": handle.url,
            "AWS_ACCESS_KEY_ID": "AKIASANDBOX000000000",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield
    finally:
        handle.stop()


def _settled(described: dict[str, Any]) -> str | None:
    return None if described["EndpointStatus"] == "Creating" else described["EndpointStatus"]


def test_every_program_of_the_page_is_run() -> None:
    assert list(programs(PAGE)) == PROGRAMS


def run(heading: str, server: Server) -> Any:
    """What the program leaves in `leaves`, asking this server in the place of the page's addresses."""
    source = programs(PAGE)[heading]
    for address, ours in (
        ("127.0.0.1:8080", server.url.removeprefix("http://")),
        ("127.0.0.1:8081", server.grpc),
        ("https://churn.westeurope.inference.ml.azure.com", server.url),
        ("europe-west4-aiplatform.googleapis.com", server.url),
    ):
        source = source.replace(address, ours)
    scope: dict[str, Any] = {}
    exec(compile(source, heading, "exec"), scope)
    return scope["leaves"]


@pytest.mark.parametrize("heading", [name for name in PROGRAMS if name != "SageMaker"])
def test_every_client_gets_the_same_prediction(
    heading: str, server: Server, leaves: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signed_in(*arguments: Any, **options: Any) -> tuple[AnonymousCredentials, str]:
        return AnonymousCredentials(), "shop"

    monkeypatch.setattr(google.auth, "default", signed_in)
    assert run(heading, server) == pytest.approx(leaves, abs=1e-12)


def test_boto3_gets_the_same_prediction_from_the_sandbox(endpoint: None, server: Server, leaves: float) -> None:
    assert run("SageMaker", server) == pytest.approx(leaves, abs=1e-12)


def test_curl_gets_the_same_prediction(server: Server, leaves: float) -> None:
    (command,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = subprocess.run(
        ["bash", "-c", command.replace("http://127.0.0.1:8080", server.url)], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["predictions"][0]["probabilities"]["true"] == pytest.approx(leaves, abs=1e-12)


def test_the_refusal_is_what_the_page_shows(server: Server) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    answer = server.ask(json.dumps([{**ROW, "charge": "much"}]), "application/json")
    assert (answer.status_code, answer.json()) == (400, json.loads(shown))
