"""What predictions leave in Cloud Monitoring's time series; the emulator runs in the test's process to look at them."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud import aiplatform
from werkzeug.serving import WSGIRequestHandler, make_server

from sandbox.google.apis import prepare
from sandbox.google.emulator import Emulator
from sandbox.google.filters import compile_filter
from sandbox.google.gateway import Gateway
from sandbox.google.metrics import PUBLISHED, Distribution, Series, metrics_of
from tests.unit.google_emulator.conftest import PROJECT, point_aiplatform, wait_for

IMAGE = "europe-west4-docker.pkg.dev/test-project/images/test:1"
ONLINE = "aiplatform.googleapis.com/prediction/online/"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, lambda *given: gateway(*given), threaded=True, request_handler=Handler)
    made = Emulator(f"http://127.0.0.1:{server.port}", tmp_path_factory.mktemp("metrics") / "work", speed=60)
    gateway = Gateway(made, lambda: None)
    prepare(made)
    made.operations.seconds = 0.01
    made.register_image(IMAGE, [sys.executable, str(Path(__file__).with_name("container.py"))])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.start()
    yield made
    made.stop()
    server.shutdown()
    assert made.failures == []


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


@pytest.fixture(scope="module")
def endpoint(emulator: Emulator, credentials: Any) -> Iterator[Any]:
    point_aiplatform(emulator, credentials)
    made = aiplatform.Endpoint.create(display_name="measured")
    model = aiplatform.Model.upload(display_name="m", serving_container_image_uri=IMAGE)
    made.deploy(model, machine_type="n1-standard-2", min_replica_count=2, max_replica_count=3)
    yield made
    made.delete(force=True)
    aiplatform.initializer.global_config.__init__()


def raw_predict(emulator: Emulator, endpoint: Any, body: bytes) -> int:
    # The library's own raw_predict goes to Google's address whatever endpoint it is told.
    url = f"{emulator.url}/v1/{endpoint.resource_name}:rawPredict"
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
    return requests.post(url, body, headers=headers, timeout=30).status_code


def found(emulator: Emulator, name: str, more: str = "") -> list[Series]:
    return metrics_of(emulator).series(PROJECT, compile_filter(f'metric.type = "{ONLINE}{name}" {more}'))


def total(series: list[Series]) -> Any:
    return sum(point.value for one in series for point in one.points if not isinstance(point.value, Distribution | str))


def test_each_request_counts_with_the_published_labels(emulator: Emulator, endpoint: Any) -> None:
    endpoint.predict([1, 2, 3])
    assert raw_predict(emulator, endpoint, b'{"instances": [1]}') == 200
    # The container refuses a body of another shape.
    assert raw_predict(emulator, endpoint, b'{"other": 1}') == 400
    [predictions] = found(emulator, "prediction_count")
    # Each instance is a prediction.
    assert total([predictions]) == 5
    assert predictions.resource_type == "aiplatform.googleapis.com/Endpoint"
    assert predictions.resource_labels == {
        "resource_container": PROJECT,
        "location": "europe-west4",
        "endpoint_id": endpoint.name,
    }
    assert predictions.metric_labels == {
        "deployed_model_id": endpoint.list_models()[0].id,
        "spot": "False",
        "model_display_name": "m",
        "endpoint_display_name": "measured",
    }
    responses = found(emulator, "response_count")
    assert {one.metric_labels["response_code"]: total([one]) for one in responses} == {"2xx": 2, "4xx": 1}
    assert total(found(emulator, "error_count")) == 1


def test_latencies_are_distributions_of_each_kind(emulator: Emulator, endpoint: Any) -> None:
    endpoint.predict([1])
    by_kind = {one.metric_labels["latency_type"]: one.points for one in found(emulator, "prediction_latencies")}
    assert set(by_kind) == {"model", "overhead", "total"}
    mean = {kind: points[-1].value.mean for kind, points in by_kind.items()}  # type: ignore[union-attr]
    # In milliseconds: a process on this machine answers within seconds, and not at once.
    assert 0 < mean["model"] < mean["total"] < 10_000
    assert mean["model"] + mean["overhead"] == pytest.approx(mean["total"])


def test_what_a_replica_uses_is_sampled(emulator: Emulator, endpoint: Any) -> None:
    wait_for(lambda: found(emulator, "cpu/utilization"))
    [memory] = found(emulator, "memory/bytes_used")
    assert 1 << 20 < memory.points[-1].value < 1 << 32  # type: ignore[operator]
    [processor] = found(emulator, "cpu/utilization")
    assert 0 <= processor.points[-1].value < 64  # type: ignore[operator]
    for name in ("replicas", "target_replicas", "machine_count"):
        [series] = found(emulator, name, 'AND metric.labels.endpoint_display_name = "measured"')
        assert series.points[-1].value == 2, name


def test_every_recorded_metric_is_published(emulator: Emulator, endpoint: Any) -> None:
    endpoint.predict([1])
    for series in metrics_of(emulator).series(PROJECT):
        described = PUBLISHED[series.metric_type]
        assert (described["metricKind"], described["valueType"]) == (series.kind, series.value_type)
        assert {one["key"] for one in described["labels"]} == set(series.metric_labels)
