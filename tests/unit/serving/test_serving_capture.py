"""What the server captures, as the monitor reads it; and what Prometheus reads."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from model_packaging import formats
from model_packaging.errors import ModelberthError
from model_packaging.jobs.monitor import capture as reader
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import Package
from model_packaging.serving import capture, grpc_server
from model_packaging.serving.app import application
from model_packaging.serving.capture import CaptureSettings
from model_packaging.serving.grpc_messages import message
from model_packaging.serving.limits import Limits
from model_packaging.serving.problems import RequestProblem
from model_packaging.serving.service import Service

ROW = {"tenure": 3, "charge": 60.5, "plan": "pro"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "captured" / "churn"


@pytest.fixture
def service(churn: Package, folder: Path) -> Iterator[Service]:
    settings = CaptureSettings(folder.as_uri(), redact=("plan",), variant="green")
    found = Service(Limits(), settings)
    found.start(churn, formats.load(churn))
    yield found
    found.close()


def read(folder: Path, unreadable: reader.Examples | None = None) -> list[reader.Exchange]:
    now = datetime.now(UTC)
    window = reader.Window(now - timedelta(hours=2), now + timedelta(hours=1))
    return list(reader.read(folder.as_uri(), window, unreadable or reader.Examples()))


def value(text: str, name: str) -> float:
    (found,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found)


def test_the_monitor_reads_what_was_served_without_the_redacted_column(
    service: Service, churn: Package, folder: Path
) -> None:
    client = TestClient(application(service))
    answer = client.post("/invocations", json=[ROW, ROW], headers={"X-Request-Id": "order 7"})
    assert client.post("/invocations", content="4,1.5,basic", headers={"Content-Type": "text/csv"}).status_code == 200
    assert client.post("/v1/models/churn:predict", json={"instances": [ROW]}).status_code == 200
    assert client.post("/invocations", content="4,1.5,gold", headers={"Content-Type": "text/csv"}).status_code == 400
    service.close()

    (file,) = folder.rglob("*.jsonl")
    assert re.fullmatch(r"green/\d{4}/\d\d/\d\d/\d\d/[^/]+\.jsonl", file.relative_to(folder).as_posix())
    assert not re.search(r"\b(pro|basic|gold)\b", file.read_text())

    unreadable = reader.Examples()
    exchanges = read(folder, unreadable)
    assert unreadable.count == 0
    first = exchanges[0]
    assert first.identifier == "order 7"
    assert first.request is not None and first.answer is not None
    assert json.loads(first.request.body) == {"instances": [[3, 60.5, None]] * 2}
    assert json.loads(first.answer.body) == answer.json()
    traffic = Traffic(churn)
    for exchange in exchanges:
        traffic.add(exchange)
    assert (traffic.requests, traffic.rows) == (3, 4)
    assert traffic.redacted == {"plan"}
    assert {name: column.rows for name, column in traffic.features.items()} == {"tenure": 4, "charge": 4, "plan": 0}
    assert traffic.features["plan"].missing_ratio is None
    assert traffic.misfit_rows.count == traffic.unreadable_requests.count == traffic.unreadable_answers.count == 0


def test_no_answer_and_no_log_quotes_a_redacted_value(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(application(service))
    asked = [
        client.post("/invocations", json=[{**ROW, "plan": 4711}]),
        client.post("/invocations", json=[{**ROW, "plan": "p4711"}]),
    ]

    def fail(columns: object) -> None:
        raise KeyError("p4711")

    monkeypatch.setattr(service, "predict_now", fail)
    monkeypatch.setattr(service._batcher, "_predict", fail)
    asked.append(client.post("/invocations", json=[ROW]))
    assert [answer.status_code for answer in asked] == [400, 400, 500]
    assert 'field "plan": the value is not a string' in asked[0].text.replace("\\", "")
    assert 'field "plan": the value was not in the training data' in asked[1].text.replace("\\", "")
    assert "4711" not in "".join(answer.text for answer in asked) + capsys.readouterr().out


@pytest.mark.parametrize(
    "tensor",
    [
        {"name": "plan", "datatype": "BYTES", "shape": [1], "data": [4711]},
        {"name": "plan", "datatype": "BYTES", "shape": [1], "data": 4711},
        {"name": "all", "datatype": "INT8", "shape": [1, 3], "data": [1, 2, 4711]},
    ],
)
def test_a_tensors_problem_quotes_no_redacted_value(
    service: Service, tensor: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(application(service))
    answer = client.post(f"/v2/models/{service.package.name}/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert f'input \\"{tensor["name"]}\\"' in answer.text
    assert "4711" not in answer.text + capsys.readouterr().out
    shown = {"name": "tenure", "datatype": "INT8", "shape": [1], "data": [4711]}
    assert "4711" in client.post(f"/v2/models/{service.package.name}/infer", json={"inputs": [shown]}).text


def test_a_problem_over_grpc_quotes_no_redacted_value(service: Service) -> None:
    for name, quoted in (("plan", False), ("all", False), ("tenure", True)):
        request = message("ModelInferRequest")()
        given = request.inputs.add(name=name, datatype="INT8", shape=[1])
        given.contents.int_contents.append(4711)
        with pytest.raises(RequestProblem, match=f'input "{name}", element 0') as problem:
            grpc_server._inputs(request, service.secret)
        assert ("4711" in str(problem.value)) == quoted


def test_a_file_ends_with_its_size(service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "FILE_BYTES", 1500)
    client = TestClient(application(service))
    for _ in range(9):
        client.post("/invocations", json=[ROW])
    service.close()
    assert len(list(folder.rglob("*.jsonl"))) > 2
    assert len(read(folder)) == 9


def test_what_cannot_be_written_fails_no_request_and_is_counted(
    churn: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(capture, "MOST_WAITING_ROWS", 2)
    service = Service(Limits(), CaptureSettings((tmp_path / "file").as_uri()))
    service.start(churn, formats.load(churn))
    client = TestClient(application(service))
    assert client.post("/invocations", json=[ROW]).status_code == 200
    assert client.post("/invocations", json=[ROW] * 3).status_code == 200
    service.close()
    text = service.metrics.text().decode()
    assert value(text, 'modelberth_capture_dropped_requests_total{reason="not written"}') == 1
    assert value(text, 'modelberth_capture_dropped_requests_total{reason="queue full"}') == 1


@pytest.mark.parametrize(("sample", "written"), [(0.0, 0), (100.0, 40)])
def test_the_sample(churn: Package, folder: Path, sample: float, written: int) -> None:
    service = Service(Limits(), CaptureSettings(folder.as_uri(), sample))
    service.start(churn, formats.load(churn))
    client = TestClient(application(service))
    for _ in range(40):
        client.post("/invocations", json=[ROW])
    service.close()
    assert len(read(folder)) == written


def test_a_column_to_redact_that_does_not_exist_is_never_served(churn: Package, folder: Path) -> None:
    service = Service(Limits(), CaptureSettings(folder.as_uri(), redact=("plam",)))
    with pytest.raises(ModelberthError, match=r'REDACT names "plam", which is no column.*did you mean plan'):
        service.start(churn, formats.load(churn))
    assert not service.ready


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"URL": "s3://b/x", "SAMPLE": "half"}, 'MODELBERTH_CAPTURE_SAMPLE is "half"'),
        ({"URL": "s3://b/x", "SAMPLE": "101"}, "a percentage from 0 to 100"),
        ({"URL": "captured"}, "a URL or an absolute path"),
        ({"URL": "/x", "VARIANT": "../y"}, "the name of one folder"),
    ],
)
def test_bad_settings_are_named(variables: dict[str, str], problem: str) -> None:
    with pytest.raises(ModelberthError, match=problem):
        CaptureSettings.from_environment({f"MODELBERTH_CAPTURE_{name}": text for name, text in variables.items()})


def test_settings_from_the_environment() -> None:
    given: dict[str, str] = {
        "MODELBERTH_CAPTURE_URL": "s3://bucket/capture/churn/",
        "MODELBERTH_CAPTURE_SAMPLE": "12.5%",
        "MODELBERTH_CAPTURE_REDACT": "name, email",
    }
    expected = CaptureSettings("s3://bucket/capture/churn", 12.5, ("name", "email"))
    assert CaptureSettings.from_environment(given) == expected
    assert CaptureSettings.from_environment({}) is None


def test_metrics(service: Service, churn: Package) -> None:
    client = TestClient(application(service))
    client.post("/invocations", json=[ROW, ROW])
    client.post("/v1/models/churn:predict", json={"instances": [ROW]})
    client.post("/invocations", content="{", headers={"Content-Type": "application/json"})
    client.get("/ping")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    assert value(text, 'modelberth_requests_total{contract="sagemaker",status="200"}') == 1
    assert value(text, 'modelberth_requests_total{contract="sagemaker",status="400"}') == 1
    assert value(text, 'modelberth_requests_total{contract="kserve_v1",status="200"}') == 1
    assert value(text, 'modelberth_request_duration_seconds_count{contract="sagemaker"}') == 2
    assert value(text, "modelberth_rows_total") == 3
    assert value(text, 'modelberth_batch_rows_bucket{le="1.0"}') == 1
    assert value(text, "modelberth_requests_in_progress") == 0
    labels: dict[str, Any] = {"name": "churn", "digest": churn.digest, "format": churn.format}
    assert all(f'{key}="{text_}"' in text for key, text_ in labels.items())
