"""One server for the tests of every contract, with limits small enough to exceed."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http

from model_packaging.package import Package
from tests.unit.serving.conftest import Server

LIMITS = {"MODELBERTH_MAX_BODY_BYTES": "20000", "MODELBERTH_MAX_ROWS": "50"}
VERTEX_ENDPOINT = "projects/shop/locations/europe-west4/endpoints/1"
VERTEX = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": f"/v1/{VERTEX_ENDPOINT}:predict"}


@pytest.fixture(scope="session")
def server(churn: Package) -> Iterator[Server]:
    arguments = ["-m", "model_packaging", "serve", str(churn.path), "--port", "0", "--grpc-port", "0"]
    found = Server(arguments, {**LIMITS, **VERTEX}).ready()
    yield found
    found.kill()


@pytest.fixture
def triton(server: Server) -> Iterator[tritonclient.http.InferenceServerClient]:
    with tritonclient.http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def labels(predictions: list[Any]) -> list[Any]:
    return [prediction["label"] for prediction in predictions]


def chances(predictions: list[Any]) -> np.ndarray[Any, Any]:
    return np.array([list(prediction["probabilities"].values()) for prediction in predictions])


def column(package: Package, name: str) -> list[Any]:
    return [row[name] for row in package.examples["inputs"]]


def request(package: Package, **changes: object) -> dict[str, Any]:
    """A V2 request with the package's examples; a change replaces parts of the named tensor, None removes it."""
    inputs: list[dict[str, Any]] = []
    for name, datatype in (("tenure", "INT64"), ("charge", "FP64"), ("plan", "BYTES")):
        values = column(package, name)
        tensor = {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}
        change = changes.get(name, {})
        if change is not None:
            inputs.append({**tensor, **json.loads(json.dumps(change))})
    return {"inputs": inputs}
