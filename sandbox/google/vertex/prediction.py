"""Online predictions.

Sources: Vertex AI API reference, endpoints.predict and rawPredict; "Get online inferences" (1.5 MB of a request);
"Custom container requirements for inference" (what the container gets and answers).
"""

from __future__ import annotations

import copy
import http.client
import json
import random
import time

from sandbox.google.api import Call, Raw, Resource
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.vertex.api import api
from sandbox.google.vertex.endpoints import PATH
from sandbox.google.vertex.exchange import LISTENERS, Exchange
from sandbox.google.vertex.hosting import Server, hosting_of

BODY_BYTES = 1_572_864
TIMEOUT_SECONDS = 60.0


def _choose(call: Call) -> tuple[Resource, Resource, Server]:
    """The deployed model that one request goes to, by the traffic split; its server counts the request."""
    hosting = hosting_of(call.emulator)
    with call.emulator.store.lock, hosting.lock:
        endpoint = copy.deepcopy(call.find(PATH))
        split = endpoint.get("trafficSplit", {})
        if not split:
            raise precondition(
                f"The Endpoint {endpoint['name']} has no DeployedModel with traffic: deploy a model, or set its "
                "traffic split."
            )
        chosen = random.choices(list(split), list(split.values()))[0]
        deployed = next(one for one in endpoint["deployedModels"] if one["id"] == chosen)
        server = hosting.servers[endpoint["name"], chosen]
        server.in_flight += 1
        return endpoint, deployed, server


def _ask(call: Call, server: Server, body: bytes, content_type: str) -> tuple[int, str, bytes]:
    hosting = hosting_of(call.emulator)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", server.predict, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "application/octet-stream", answer.read()
    except (OSError, http.client.HTTPException):
        return 503, "text/plain", b"The model server is unavailable."
    finally:
        connection.close()
        with hosting.lock:
            server.in_flight -= 1
            hosting.lock.notify_all()


def _send(call: Call, body: bytes, content_type: str, *, raw: bool) -> tuple[Resource, str, bytes]:
    """Ask a container; raises what Vertex AI makes of its errors."""
    began = time.perf_counter()
    if len(body) > BODY_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {BODY_BYTES} bytes.")
    endpoint, deployed, server = _choose(call)
    asked = time.perf_counter()
    status, kind, content = _ask(call, server, body, content_type)
    now = time.perf_counter()
    exchange = Exchange(call, endpoint, deployed, raw, body, content, status, now - asked, now - began)
    for listener in LISTENERS:
        listener(exchange)
    if 200 <= status < 300:
        return deployed, kind, content
    text = content.decode("utf-8", "replace")
    if 400 <= status < 500:
        raise GoogleError("INVALID_ARGUMENT", text, http=status)
    raise GoogleError("UNAVAILABLE" if status == 503 else "INTERNAL", text, http=status)


@api.method(f"{PATH}.predict")
def predict(call: Call) -> Resource:
    body = {key: call.body[key] for key in ("instances", "parameters") if key in call.body}
    deployed, _, content = _send(call, json.dumps(body).encode(), "application/json", raw=False)
    try:
        answered = json.loads(content)
        predictions = answered["predictions"]
    except (ValueError, KeyError, TypeError):
        raise GoogleError(
            "INTERNAL", 'The model server\'s answer is no JSON object with the member "predictions".'
        ) from None
    return {
        "predictions": predictions,
        "deployedModelId": deployed["id"],
        "model": deployed["model"],
        "modelVersionId": deployed["modelVersionId"],
        "modelDisplayName": deployed["displayName"],
    } | ({"metadata": answered["metadata"]} if "metadata" in answered else {})


@api.method(f"{PATH}.rawPredict")
def raw_predict(call: Call) -> Raw:
    kind = call.headers.get("content-type") or "application/json"
    deployed, answered, content = _send(call, call.media or b"", kind, raw=True)
    headers = {
        "Content-Type": answered,
        "X-Vertex-AI-Endpoint-Id": call.name.rpartition("/")[2],
        "X-Vertex-AI-Deployed-Model-Id": deployed["id"],
    }
    return Raw(content, headers)


@api.method(f"{PATH}.explain")
def explain(call: Call) -> Resource:
    """Source: ExplainRequest, which needs explanation_spec in each deployed model that may answer."""
    with call.emulator.store.lock:
        endpoint = copy.deepcopy(call.find(PATH))
    wanted = call.body.get("deployedModelId")
    chosen = [one for one in endpoint.get("deployedModels", []) if wanted in (None, one["id"])]
    if wanted and not chosen:
        raise GoogleError("NOT_FOUND", f"DeployedModel with ID {wanted} is not deployed at {endpoint['name']}.")
    if without := [one["id"] for one in chosen if "explanationSpec" not in one]:
        raise precondition(f"The DeployedModel(s) {', '.join(without)} have no explanation_spec.")
    raise GoogleError("UNIMPLEMENTED", "The sandbox does not compute explanations.")
