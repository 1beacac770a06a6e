"""What capture files may hold and where they may be: read as serving reads, in bounded memory, or named."""

import json
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from model_packaging import formats
from model_packaging.cli import app
from model_packaging.errors import ModelberthError, PackageError, StorageError
from model_packaging.jobs.monitor import capture
from model_packaging.jobs.monitor.capture import Examples, Exchange, Payload
from model_packaging.jobs.monitor.job import monitor
from model_packaging.jobs.monitor.repeats import Repeats
from model_packaging.jobs.monitor.traffic import Traffic
from model_packaging.package import Package
from model_packaging.publish import publish
from model_packaging.serving import media

from .conftest import NOW, Case, body, customers, record, rows_of, side

KINDS = [
    ("text/csv", "CSV"),
    ("application/json", "JSON"),
    ("application/jsonlines", "JSON"),
    ("text/csv", "BASE64"),
    ("application/json", "BASE64"),
    ("application/jsonlines", "BASE64"),
]


@pytest.mark.parametrize(("kind", "encoding"), KINDS)
def test_every_media_type_and_encoding_gives_the_same_numbers(
    case: Case, tmp_path: Path, kind: str, encoding: str
) -> None:
    case.serve(rows_of(customers(300)), kind, encoding)
    report = case.run()
    assert report["rows"] == 300
    assert report["predictions"]["label"]["rows"] == 300
    assert report["predictions"]["probability:leaves"]["rows"] == 300
    assert report["unreadable"] == {what: {"count": 0, "examples": []} for what in ("lines", "requests", "answers")}
    assert report["type_violations"]["count"] == 0
    twice = Case(case.package, tmp_path / "twice", case.output)
    twice.serve(rows_of(customers(300)), batch=300)
    assert report["metrics"] == twice.run()["metrics"]


@pytest.mark.parametrize("kind", ["text/csv", "application/json", "application/jsonlines"])
def test_boolean_labels_are_those_of_the_baseline(left: Package, kind: str) -> None:
    predictions = [{"label": True, "probabilities": {"false": 0.25, "true": 0.75}}]
    traffic = Traffic(left)
    traffic.add(Exchange("a", None, Payload(media.encode(predictions, kind, [False, True]), kind)))
    assert traffic.unreadable_answers.count == 0
    assert {one.label: one.traffic for one in traffic.predictions["label"].bins()}["true"] == 1
    assert all(column.rows == 1 for column in traffic.predictions.values())


def test_what_the_sandbox_captures_is_read(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    from sandbox.aws import capture as emulated

    def write(address: str, content: bytes) -> None:
        path = case.bucket / address.removeprefix("s3://bucket/")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    monkeypatch.setattr(emulated.objects, "write", write)
    config = {
        "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://bucket/capture",
        "EnableCapture": True,
    }
    taken = emulated.Capture("churn-eu", config, Event())
    rows = rows_of(customers(20))
    answer = media.encode(formats.load(case.package).predict(rows), "application/json", ["leaves", "stays"])
    for kind in ("text/csv", "application/json"):
        taken.add("blue", (kind, body(rows, kind)), ("application/json", answer), None)
    taken.close()
    case.output.readouterr()
    monitor(case.environment())
    assert json.loads(case.output.readouterr().out.splitlines()[-1])["metrics"][0] == {"name": "data.rows", "value": 40}


def test_only_hours_and_requests_within_the_window_count(case: Case) -> None:
    rows = rows_of(customers(10))
    for age, count in ((25, 1), (23.6, 2), (1, 3), (0.2, 4)):
        case.serve(rows[:count], when=NOW - timedelta(hours=age))
    # In the folder of an hour that the window touches, yet before its beginning.
    case.serve(rows[:5], when=NOW - timedelta(hours=24, minutes=20))
    assert case.run()["rows"] == 9
    assert case.run(MODELBERTH_WINDOW_HOURS="0.5")["rows"] == 4


def test_hours_outside_the_window_are_not_even_opened(case: Case) -> None:
    folder = case.write([], when=NOW - timedelta(hours=48)).parent
    (folder / "broken.jsonl").write_text("not a record\n")
    assert case.run()["unreadable"]["lines"]["count"] == 0
    assert case.run(MODELBERTH_WINDOW_HOURS="72")["unreadable"]["lines"]["count"] == 1


def test_other_endpoints_and_other_files_do_not_count(case: Case) -> None:
    rows = rows_of(customers(10))
    case.serve(rows[:7])
    when = NOW - timedelta(hours=1)
    line = record(side("INPUT", "application/json", json.dumps(rows).encode(), "JSON"), None, when)
    for folder in (case.bucket / "capture" / "churn-eu-2" / "blue", case.bucket / "capture" / "churn" / "blue"):
        target = folder / f"{when:%Y/%m/%d/%H}"
        target.mkdir(parents=True)
        (target / "a.jsonl").write_text(line + "\n")
    (case.capture / "stray.jsonl").write_text(line + "\n")
    (case.write([]).parent / "notes.txt").write_text(line + "\n")
    assert case.run()["rows"] == 7


def test_all_variants_count(case: Case) -> None:
    request = side("INPUT", "application/json", json.dumps(rows_of(customers(3))).encode(), "JSON")
    for variant in ("blue", "green"):
        case.write([record(request, None, NOW - timedelta(hours=1))], variant=variant)
    assert case.run()["rows"] == 6


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: "),
        ("[1]", "no capture record: captureData is missing"),
        ('{"captureData": {}}', "no capture record: eventMetadata is missing"),
        ('{"captureData": {"endpointInput": 3}, "eventMetadata": {}}', "endpointInput is missing"),
        ('{"captureData": {"endpointInput": {}}, "eventMetadata": {}}', "endpointInput holds no data"),
        (
            '{"captureData": {"endpointInput": {"data": "1", "encoding": "ROT13"}}, "eventMetadata": {}}',
            'endpointInput has the encoding "ROT13": known are BASE64, CSV and JSON',
        ),
        (
            '{"captureData": {"endpointInput": {"data": "é", "encoding": "BASE64"}}, "eventMetadata": {}}',
            "endpointInput is not BASE64: ",
        ),
        ("[" * 100_000, "not JSON: "),
    ],
)
def test_a_bad_line_is_counted_and_shown_with_its_place(case: Case, line: str, reason: str) -> None:
    case.send(rows_of(customers(5)))
    path = case.write(["", line])
    report = case.run()
    found = report["unreadable"]["lines"]
    assert found["count"] == 1
    place = path.relative_to(case.capture).as_posix()
    assert found["examples"][0].startswith(f"{place}:2: ")
    assert reason in found["examples"][0]
    assert report["rows"] == 5
    assert "1 captured record could not be read" in report["verdict"]["sentence"]


def test_a_line_without_end_does_not_fill_the_memory(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MAX_LINE_BYTES", 10_000)
    line = record(side("INPUT", "text/csv", b"3,50,pro,true", "CSV"), None, NOW - timedelta(hours=1))
    case.write(["x" * 100_000, line, "y" * 9_999])
    report = case.run()
    assert report["unreadable"]["lines"]["count"] == 2
    assert "longer than 10,000 bytes" in report["unreadable"]["lines"]["examples"][0]
    assert report["rows"] == 1


_GOOD = {"tenure": 1, "charge": 1, "plan": "pro", "paperless": True}
_SHORT = {"tenure": 1, "charge": 1, "plan": "pro"}


@pytest.mark.parametrize(
    ("row", "violation", "values", "missing"),
    [
        ({**_GOOD, "tenure": "x"}, 'field "tenure": "x" is not an integer', ["tenure"], []),
        ({**_GOOD, "tenure": 1.5, "charge": "1"}, "1.5 is not an integer", ["tenure", "charge"], []),
        (_SHORT, 'column "paperless" is missing', [], ["paperless"]),
        ({**_SHORT, "plan": 4, "paperles": True}, 'column "paperless" is missing', ["plan"], ["paperless"]),
        ([1, 2, "pro", "yes"], 'field "paperless": "yes" is not true or false', ["paperless"], []),
        ([1, 2, "pro"], "has 3 values: it must have 4", None, []),
        ("1,2,pro,true", "a row is an object by column name", None, []),
    ],
)
def test_a_row_that_does_not_fit_is_counted_and_the_rest_of_it_read(
    case: Case, row: Any, violation: str, values: list[str] | None, missing: list[str]
) -> None:
    good = rows_of(customers(3))
    case.send([*good, row])
    report = case.run()
    assert report["rows"] == 4
    assert report["metrics"]["data.type_violation_ratio"] == 0.25
    assert report["type_violations"]["count"] == 1
    example = report["type_violations"]["examples"][0]
    assert ":1, row 3" in example and violation in example
    for name, feature in report["features"].items():
        wrong = values is not None and name in values
        assert feature["type_violations"] == wrong
        assert feature["rows"] == (3 if values is None or wrong else 4)
        if name in missing:
            assert feature["missing_ratio"] == 0.25
    assert "1 of 4 rows do not fit the signature" in report["verdict"]["sentence"]


def test_an_empty_value_is_missing_even_where_the_signature_forbids_it(case: Case) -> None:
    case.send([{"tenure": None, "charge": 1, "plan": "pro", "paperless": True}])
    report = case.run()
    assert report["type_violations"]["count"] == 0
    assert report["features"]["tenure"]["missing_ratio"] == report["metrics"]["data.missing_ratio"] == 1


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("text/xml", b"<a/>", "text/xml"),
        ("application/json", b"{", "the body is not JSON"),
        ("application/json", b"", "the body is empty"),
        ("text/csv", b'"unfinished', "is not CSV"),
        ("application/json", b"3", "the body is 3"),
    ],
)
def test_a_request_that_cannot_be_decoded_is_counted(case: Case, kind: str, content: bytes, reason: str) -> None:
    case.write([record(side("INPUT", kind, content, "BASE64"), None, NOW - timedelta(hours=1))])
    report = case.run()
    assert report["requests"] == 1
    assert report["rows"] == 0
    assert report["unreadable"]["requests"]["count"] == 1
    assert reason in report["unreadable"]["requests"]["examples"][0]
    assert report["sent"]["metrics"] == [{"name": "data.rows", "value": 0.0}, {"name": "monitor.runs", "value": 1.0}]
    assert "1 captured record could not be read" in report["verdict"]["sentence"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b'{"error": "row 0: ...", "problems": []}'),
        ("application/json", b'{"predictions": 3}'),
        ("application/json", b'{"predictions": [3]}'),
        ("application/json", b'{"predictions": [{"label": true, "probabilities": {"true": "high"}}]}'),
        ("text/csv", b"True,0.5\n"),
        ("text/csv", b"True,x,y\n"),
        ("text/html", b"<html>"),
    ],
)
def test_an_answer_without_predictions_is_counted(case: Case, kind: str, content: bytes) -> None:
    case.write([record(None, side("OUTPUT", kind, content, "BASE64"), NOW - timedelta(hours=1))])
    report = case.run()
    assert report["unreadable"]["answers"]["count"] == 1
    assert all(one["rows"] == 0 for one in report["predictions"].values())


def test_no_traffic_yet_is_said_and_is_no_error(case: Case) -> None:
    report = case.run()
    assert report["verdict"]["level"] == "none"
    sentence = "No traffic: nothing was captured between 2026-03-03 10:30 and 2026-03-04 10:30 UTC."
    assert report["verdict"]["sentence"] == sentence
    assert report["sent"]["metrics"] == [{"name": "data.rows", "value": 0.0}, {"name": "monitor.runs", "value": 1.0}]
    assert sentence in report["page"].read_text()


def test_memory_does_not_grow_with_the_rows(churn: Package) -> None:
    def exchanges(count: int) -> Iterator[Exchange]:
        for number in range(count):
            # New values and new categories all the time, and rows that do not fit.
            text = f"{number},{number}.25,plan {number},true\nx,{number},plan,maybe"
            answer = f'{{"predictions": [{{"label": "label {number}"}}]}}'
            kinds = Payload(text.encode(), "text/csv"), Payload(answer.encode(), "application/json")
            yield Exchange(f"{number}", *kinds)

    def peak(count: int) -> int:
        traffic = Traffic(churn)
        tracemalloc.start()
        for exchange in exchanges(count):
            traffic.add(exchange)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert traffic.rows == 2 * count
        return most

    peak(100)  # what is made once, such as compiled patterns
    assert peak(4000) < peak(400) + 50_000


def test_a_file_is_read_line_by_line(case: Case) -> None:
    request = side("INPUT", "text/csv", b"3,50,pro,true\n" * 2000, "CSV")
    path = case.write([record(request, None, NOW - timedelta(hours=1)) for _ in range(1500)])
    assert path.stat().st_size > 40_000_000
    window = capture.Window(NOW - timedelta(hours=2), NOW)
    repeats = Repeats()
    repeats.is_first("")  # its memory has a size of its own
    tracemalloc.start()
    assert sum(1 for _ in capture.read(str(case.capture), window, Examples(), repeats)) == 1500
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 15_000_000


def test_all_wrong_settings_are_named_at_once() -> None:
    settings = {"MODELBERTH_METRICS": "cloudwach:x", "MODELBERTH_WINDOW_HOURS": "-1", "MODELBERTH_MINIMUM_ROWS": "1.5"}
    with pytest.raises(ModelberthError) as raised:
        monitor(settings)
    assert raised.value.problems == [
        "MODELBERTH_CAPTURE is not set",
        "MODELBERTH_PACKAGE is not set",
        "MODELBERTH_REPORTS is not set",
        "MODELBERTH_ENDPOINT is not set",
        'MODELBERTH_METRICS is "cloudwach:x": choose cloudmonitoring:<project>, cloudwatch:<namespace>, '
        "prometheus:<address of a Pushgateway> or stdout: (did you mean cloudwatch?)",
        'MODELBERTH_WINDOW_HOURS is "-1": it must be a number of hours above 0 and below 100,000',
        'MODELBERTH_MINIMUM_ROWS is "1.5": it must be a whole number above 0 and below 100,000',
    ]


def _command(case: Case, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Any:
    for name, value in case.environment(**settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(case.bucket))
    return CliRunner().invoke(app, ["job", "monitor"])


def test_the_command_ends_with_0_and_prints_the_report(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _command(case, monkeypatch)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith(f"report {case.bucket}/monitoring/churn/")


def test_a_damaged_package_ends_the_job_with_its_reason(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = publish(case.package, tmp_path.as_uri())
    folder = Path(address.partition("@")[0].removeprefix("file://"))
    (folder / "baseline.json").write_bytes(b"{}")
    result = _command(case, monkeypatch, MODELBERTH_PACKAGE=str(folder))
    assert result.exit_code == 1
    message = (tmp_path / "output" / "message").read_text()
    assert "baseline.json: 2 bytes, the manifest says" in message
    assert "Traceback" not in result.output


def test_a_package_without_baseline_is_refused(churn: Package) -> None:
    documents = {name: one for name, one in churn.documents.items() if name != "baseline.json"}
    with pytest.raises(PackageError, match=r"package churn has no baseline\.json"):
        Traffic(Package(churn.path, churn.digest, churn.manifest, documents))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": s3,
    }.items():
        monkeypatch.setenv(name, value)
    client: Any = boto3.client("s3")
    client.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for item in client.list_objects_v2(Bucket="models").get("Contents", []):
        client.delete_object(Bucket="models", Key=item["Key"])
    client.delete_bucket(Bucket="models")


def test_a_whole_run_on_s3(case: Case, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case.serve(rows_of(customers(300)), "text/csv", "CSV")
    for path in case.capture.rglob("*.jsonl"):
        bucket.upload_file(str(path), "models", f"capture/churn-eu/{path.relative_to(case.capture).as_posix()}")
    address = publish(case.package, "s3://models")
    case.output.readouterr()
    settings = {
        "MODELBERTH_CAPTURE": "s3://models/capture/churn-eu",
        "MODELBERTH_REPORTS": "s3://models/monitoring/churn",
        "MODELBERTH_PACKAGE": address.partition("@")[0],
        "MODELBERTH_METRICS": "cloudwatch:modelberth",
    }
    monitor(case.environment(**settings), NOW)
    digest = case.package.digest.removeprefix("sha256:")[:12]
    page = f"monitoring/churn/2026/03/04/103000-{digest}/report.html"
    assert case.output.readouterr().out.splitlines()[-1] == f"report s3://models/{page}"
    answer = bucket.get_object(Bucket="models", Key=page)
    assert answer["ContentType"] == "text/html; charset=utf-8"
    report = json.load(bucket.get_object(Bucket="models", Key=page.replace(".html", ".json"))["Body"])
    assert report["rows"] == 300
    client: Any = boto3.client("cloudwatch")
    found = client.list_metrics(Namespace="modelberth")["Metrics"]
    assert {one["MetricName"] for one in found} == {*report["metrics"], "feature.psi"}


def test_nothing_captured_on_s3_is_no_error_but_a_missing_bucket_is(case: Case, bucket: Any) -> None:
    monitor(case.environment(MODELBERTH_CAPTURE="s3://models/capture/churn-eu"), NOW)
    assert "No traffic" in case.output.readouterr().out
    with pytest.raises(StorageError, match=r"cannot list s3://absent/capture/churn-eu: does not exist"):
        monitor(case.environment(MODELBERTH_CAPTURE="s3://absent/capture/churn-eu"), NOW)
    with pytest.raises(StorageError, match=r"cannot write s3://absent/monitoring/"):
        monitor(case.environment(MODELBERTH_REPORTS="s3://absent/monitoring"), NOW)


def test_an_unreachable_bucket_ends_the_job_with_the_address(
    case: Case, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = _command(case, monkeypatch, MODELBERTH_CAPTURE="s3://models/capture/churn-eu")
    monkeypatch.undo()
    assert result.exit_code == 1
    assert "cannot list s3://models/capture/churn-eu: " in (case.bucket / "output" / "message").read_text()
    assert "Traceback" not in result.output
