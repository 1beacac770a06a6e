"""Vertex AI's request-response log, read from BigQuery by Google's own client."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import aiplatform, bigquery

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT, point_aiplatform

IMAGE = "europe-west4-docker.pkg.dev/test-project/images/test:1"


@pytest.fixture(scope="module")
def warehouse(emulator: Handle, credentials: Any) -> Any:
    return bigquery.Client(PROJECT, credentials, client_options={"api_endpoint": emulator.url})


@pytest.fixture(scope="module")
def model(emulator: Handle, credentials: Any) -> Iterator[Any]:
    emulator.post("images", reference=IMAGE, entrypoint=[sys.executable, str(Path(__file__).with_name("container.py"))])
    emulator.post("operations", seconds=0.01)
    point_aiplatform(emulator, credentials)
    yield aiplatform.Model.upload(
        display_name="m",
        serving_container_image_uri=IMAGE,
        serving_container_environment_variables={"WHO": "x"},
    )
    aiplatform.initializer.global_config.__init__()


@pytest.fixture
def endpoint(model: Any) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make(uri: str, rate: float = 1.0, name: str = "my endpoint!") -> Any:
        one = aiplatform.Endpoint.create(
            display_name=name,
            enable_request_response_logging=True,
            request_response_logging_sampling_rate=rate,
            request_response_logging_bq_destination_table=uri,
        )
        made.append(one)
        return one

    yield make
    for one in made:
        one.delete(force=True)


def test_each_instance_and_prediction_is_a_text(
    warehouse: Any, model: Any, endpoint: Callable[..., Any], discovery: Any
) -> None:
    one = endpoint(f"bq://{PROJECT}")
    one.deploy(model, machine_type="n1-standard-2", min_replica_count=1)
    before = datetime.now(UTC)
    one.predict([{"a": 1}, {"a": 2}])
    table = f"{PROJECT}.logging_my_endpoint__{one.name}.request_response_logging"
    [row] = warehouse.list_rows(table)
    assert row["endpoint"] == one.resource_name
    assert row["deployed_model_id"] == one.list_models()[0].id
    assert before - timedelta(milliseconds=1) <= row["logging_time"] <= datetime.now(UTC)
    assert [json.loads(text) for text in row["request_payload"]] == [{"a": 1}, {"a": 2}]
    assert [json.loads(text) for text in row["response_payload"]] == ["x", "x"]
    endpoints = discovery("aiplatform", "v1").projects().locations().endpoints()
    endpoints.patch(
        name=one.resource_name,
        updateMask="predictRequestResponseLoggingConfig.enabled",
        body={"predictRequestResponseLoggingConfig": {"enabled": False}},
    ).execute()
    one.predict([{"a": 3}])
    assert len(list(warehouse.list_rows(table))) == 1
    # Taken up again it goes on in its table.
    endpoints.patch(
        name=one.resource_name,
        updateMask="predictRequestResponseLoggingConfig.enabled",
        body={"predictRequestResponseLoggingConfig": {"enabled": True}},
    ).execute()
    one.predict([{"a": 4}])
    assert len(list(warehouse.list_rows(table))) == 2


def test_a_share_of_the_requests_is_logged(warehouse: Any, model: Any, endpoint: Callable[..., Any]) -> None:
    dataset = warehouse.create_dataset(f"d_{uuid.uuid4().hex}")
    one = endpoint(f"bq://{PROJECT}.{dataset.dataset_id}.log", 0.3)
    one.deploy(model, machine_type="n1-standard-2", min_replica_count=1)
    for _ in range(100):
        one.predict([1])
    # Five standard deviations of a binomial distribution around 30.
    assert 8 <= len(list(warehouse.list_rows(f"{PROJECT}.{dataset.dataset_id}.log"))) <= 52


def test_the_dataset_of_a_named_table_must_be_there_and_the_table_not(
    warehouse: Any, model: Any, endpoint: Callable[..., Any]
) -> None:
    with pytest.raises(exceptions.BadRequest, match=rf"Not found: Dataset {PROJECT}:nowhere"):
        endpoint(f"bq://{PROJECT}.nowhere.log")
    dataset = warehouse.create_dataset(f"d_{uuid.uuid4().hex}")
    warehouse.create_table(f"{PROJECT}.{dataset.dataset_id}.log")
    with pytest.raises(exceptions.BadRequest, match=r"Already Exists: Table"):
        endpoint(f"bq://{PROJECT}.{dataset.dataset_id}.log")
    with pytest.raises(exceptions.BadRequest, match=r"output_uri; Message: \"gs://b\" must be bq://projectId"):
        endpoint("gs://b")
    with pytest.raises(exceptions.BadRequest, match=r"sampling_rate; Message: must be in the range"):
        endpoint(f"bq://{PROJECT}", 2.0)
