"""InvokeEndpoint: routing, shadow copies, capture and metrics.

Sources: SageMaker Runtime API reference, InvokeEndpoint (headers, ModelError, 60 seconds, 25 MB); developer
guide, "Shadow variants" and "Monitor Amazon SageMaker AI with Amazon CloudWatch" (metrics and their units).
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from typing import TYPE_CHECKING

from sandbox.aws.api import ACCOUNT, ApiError, Environ, error_response, read_body
from sandbox.aws.hosting import Endpoint, Fleet, Variant

if TYPE_CHECKING:
    from sandbox.aws.emulator import Emulator

TIMEOUT_SECONDS = 60.0
BODY_BYTES = 25 * 1024 * 1024
"""BodyBlob's maximum in the published model."""

_PASSED = {
    "CONTENT_TYPE": "Content-Type",
    "HTTP_ACCEPT": "Accept",
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "X-Amzn-SageMaker-Custom-Attributes",
    "HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID": "X-Amzn-SageMaker-Inference-Id",
    "HTTP_X_AMZN_SAGEMAKER_SESSION_ID": "X-Amzn-SageMaker-Session-Id",
}

Answer = tuple[int, dict[str, str], bytes]


def invoke(emulator: Emulator, region: str, name: str, environ: Environ) -> Answer:
    """Answer one InvokeEndpoint request."""
    started = time.perf_counter()
    try:
        return _invoke(emulator, region, name, environ, started)
    except ApiError as error:
        return error_response(error, "rest-json")


def _invoke(emulator: Emulator, region: str, name: str, environ: Environ, started: float) -> Answer:
    endpoint = emulator.hosting.endpoints.get((region, name))
    if endpoint is None:
        raise ApiError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
    body = read_body(environ)
    if len(body) > BODY_BYTES:
        raise ApiError("ValidationError", f"Request body of {len(body)} bytes exceeds the limit of {BODY_BYTES} bytes.")
    target = environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT")
    taken = endpoint.choose(target)
    if taken is None:
        if target and endpoint.routes:
            raise ApiError("ValidationError", f"Variant {target} of endpoint {name} not found.")
        raise ApiError(
            "ValidationError",
            f"Endpoint {name} of account {ACCOUNT} is not InService (its status is {endpoint.status}).",
        )
    fleet, variant = taken
    headers = {header: environ[key] for key, header in _PASSED.items() if environ.get(key)}
    _shadow(emulator, endpoint, fleet, headers, body)
    sent = time.perf_counter()
    try:
        status, answered, content = _forward(variant, headers, body)
    finally:
        endpoint.release(variant)
    model_seconds = time.perf_counter() - sent
    overhead = time.perf_counter() - started - model_seconds
    _measure(emulator, endpoint, variant, status, model_seconds, overhead)
    if status >= 400 or status < 200:
        return _model_error(endpoint, variant, status, content)
    content_type = answered.get("Content-Type", "application/octet-stream")
    if fleet.capture is not None:
        fleet.capture.add(
            variant.name,
            (headers.get("Content-Type", ""), body),
            (content_type, content),
            headers.get("X-Amzn-SageMaker-Inference-Id"),
        )
    result = {"Content-Type": content_type, "x-Amzn-Invoked-Production-Variant": variant.name}
    attributes = answered.get("X-Amzn-SageMaker-Custom-Attributes")
    if attributes:
        result["X-Amzn-SageMaker-Custom-Attributes"] = attributes
    return 200, result, content


def _forward(variant: Variant, headers: dict[str, str], body: bytes) -> Answer:
    """Ask the container; what the platform says for a container that cannot answer has status 0."""
    connection = http.client.HTTPConnection("127.0.0.1", variant.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/invocations", body, headers)
        answer = connection.getresponse()
        return (
            answer.status,
            {key.title().replace("Sagemaker", "SageMaker"): value for key, value in answer.getheaders()},
            answer.read(),
        )
    except TimeoutError:
        return 0, {}, b"Your invocation timed out while waiting for a response from container primary."
    except (OSError, http.client.HTTPException):
        return 0, {}, b"The container closed the connection before it answered."
    finally:
        connection.close()


def _model_error(endpoint: Endpoint, variant: Variant, status: int, content: bytes) -> Answer:
    text = content.decode("utf-8", "replace")
    kind = "client" if 400 <= status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{endpoint.name}"
    body = {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if kind == "client" else "SERVER_ERROR_FROM_MODEL",
        "Message": f'Received {kind} error ({status}) from primary with message "{text[:1024]}". See '
        f"https://{endpoint.region}.console.aws.amazon.com/cloudwatch/home?region={endpoint.region}"
        f"#logEventViewer:group={group} in account {ACCOUNT} for more information.",
        "OriginalMessage": text,
        "OriginalStatusCode": status,
        "LogStreamArn": f"arn:aws:logs:{endpoint.region}:{ACCOUNT}:log-group:{group}:log-stream:"
        f"{variant.name}/{variant.instance_id}",
    }
    return 424, {"Content-Type": "application/json", "X-Amzn-Errortype": "ModelError"}, json.dumps(body).encode()


def _measure(
    emulator: Emulator, endpoint: Endpoint, variant: Variant, status: int, model_seconds: float, overhead: float
) -> None:
    client, server = 400 <= status < 500, status >= 500 or status < 200
    values: list[tuple[str, float, str]] = [
        ("Invocations", 1, "None"),
        ("InvocationsPerInstance", 1 / max(1, variant.instances), "None"),
        ("Invocation4XXErrors", float(client), "None"),
        ("Invocation5XXErrors", float(server), "None"),
        ("InvocationModelErrors", float(client or server), "None"),
        ("ModelLatency", model_seconds * 1e6, "Microseconds"),
        ("OverheadLatency", overhead * 1e6, "Microseconds"),
    ]
    dimensions = {"EndpointName": endpoint.name, "VariantName": variant.name}
    for name, value, unit in values:
        emulator.metrics.put(endpoint.region, "AWS/SageMaker", name, dimensions, [value], unit=unit)


def _shadow(emulator: Emulator, endpoint: Endpoint, fleet: Fleet, headers: dict[str, str], body: bytes) -> None:
    """Copy the request to the shadow variants by their weight; their answers only go to metrics and capture."""
    total = sum(variant.weight for variant in fleet.variants) or 1.0
    for shadow in fleet.shadows:
        if random.random() < shadow.weight / total:
            with endpoint.lock:
                shadow.in_flight += 1
            threading.Thread(
                target=_shadow_one, args=(emulator, endpoint, fleet, shadow, headers, body), daemon=True
            ).start()


def _shadow_one(
    emulator: Emulator, endpoint: Endpoint, fleet: Fleet, shadow: Variant, headers: dict[str, str], body: bytes
) -> None:
    started = time.perf_counter()
    try:
        status, answered, content = _forward(shadow, headers, body)
    finally:
        endpoint.release(shadow)
    _measure(emulator, endpoint, shadow, status, time.perf_counter() - started, 0.0)
    if 200 <= status < 300 and fleet.capture is not None:
        answer = (answered.get("Content-Type", ""), content)
        fleet.capture.add(
            shadow.name,
            (headers.get("Content-Type", ""), body),
            answer,
            headers.get("X-Amzn-SageMaker-Inference-Id"),
        )
