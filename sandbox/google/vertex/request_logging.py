"""Request-response logging: a sample of an endpoint's predictions as rows of a BigQuery table.

Sources: Vertex AI API reference, PredictRequestResponseLoggingConfig (the names of what is made) and
BigQueryDestination (a table that is named must not exist, its dataset must); "Online prediction logging" (the table's
columns; an instance or a prediction is a text of its own). Not published, and so ours: the texts of the refusals, that
`endpoint` holds the resource's name, and that only answered requests are logged. Times are the wall clock's, as those
of the programs that read them.
"""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime
from typing import Any

from sandbox.google import bigquery
from sandbox.google.api import Call, Resource
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.operations import timestamp
from sandbox.google.vertex.api import found_errors, location_of
from sandbox.google.vertex.exchange import LISTENERS, Exchange

FIELD = "predictRequestResponseLoggingConfig"
_AT = "endpoint.predict_request_response_logging_config"
_URI = re.compile(r"bq://([^.\s/]+)(?:\.([^.\s/]+))?(?:\.([^.\s/]+))?")
_SCHEMA: list[dict[str, Any]] = [
    {"name": "endpoint", "type": "STRING", "mode": "NULLABLE"},
    {"name": "deployed_model_id", "type": "STRING", "mode": "NULLABLE"},
    {"name": "logging_time", "type": "TIMESTAMP", "mode": "NULLABLE"},
    {"name": "request_id", "type": "NUMERIC", "mode": "NULLABLE"},
    {"name": "request_payload", "type": "STRING", "mode": "REPEATED"},
    {"name": "response_payload", "type": "STRING", "mode": "REPEATED"},
]


def check(endpoint: Resource) -> None:
    """Refuse a configuration that cannot be."""
    config = endpoint.get(FIELD, {})
    problems: list[tuple[str, str]] = []
    rate = config.get("samplingRate")
    if (rate is not None or config.get("enabled")) and not 0 < (rate or 0) <= 1:
        problems.append((f"{_AT}.sampling_rate", "must be in the range (0, 1]."))
    uri = config.get("bigqueryDestination", {}).get("outputUri", "")
    if config.get("enabled") and not _URI.fullmatch(uri):
        problems.append(
            (
                f"{_AT}.bigquery_destination.output_uri",
                f'"{uri}" must be bq://projectId, bq://projectId.bqDatasetId or bq://projectId.bqDatasetId.bqTableId.',
            )
        )
    if problems:
        raise found_errors(problems)


def complete(call: Call, endpoint: Resource) -> None:
    """Make the table that an endpoint is to log into, if it has not been made for this destination before."""
    config = endpoint.get(FIELD, {})
    if not config.get("enabled"):
        return
    uri = str(config["bigqueryDestination"]["outputUri"])
    known = call.emulator.store.table("_request_logs")
    if known.get(endpoint["name"], {}).get("uri") == uri:
        return
    match = _URI.fullmatch(uri)
    assert match is not None
    project, dataset, table = match.groups()
    location = location_of(endpoint["name"])
    endpoint_id = endpoint["name"].rpartition("/")[2]
    try:
        if dataset is None:
            dataset = f"logging_{re.sub(r'[^A-Za-z0-9]', '_', endpoint['displayName'])}_{endpoint_id}"
            bigquery.make_dataset(call.emulator, project, dataset, {"location": location})
        table = table or "request_response_logging"
        bigquery.make_table(call.emulator, project, dataset, table, {"schema": {"fields": _SCHEMA}})
    except GoogleError as error:
        text = f"The BigQuery destination {uri} cannot be used: {error.message}"
        raise (precondition if error.status in ("NOT_FOUND", "ALREADY_EXISTS") else invalid)(text) from error
    known[endpoint["name"]] = {"uri": uri, "project": project, "dataset": dataset, "table": table}


def forget(call: Call, endpoint: Resource) -> None:
    """An endpoint is gone; its table stays."""
    call.emulator.store.table("_request_logs").pop(endpoint["name"], None)


def _log(exchange: Exchange) -> None:
    endpoint, emulator = exchange.endpoint, exchange.call.emulator
    config = endpoint.get(FIELD, {})
    if not config.get("enabled") or not 200 <= exchange.status < 300:
        return
    if random.random() >= float(config["samplingRate"]):
        return
    request, answer = exchange.request.decode("utf-8", "replace"), exchange.answer.decode("utf-8", "replace")
    target = emulator.store.table("_request_logs")[endpoint["name"]]
    row = {
        "endpoint": endpoint["name"],
        "deployed_model_id": exchange.deployed["id"],
        "logging_time": timestamp(datetime.now(UTC)),
        "request_id": str(random.randrange(10**17, 10**19)),
        "request_payload": [request] if exchange.raw else _parts(request, "instances"),
        "response_payload": [answer] if exchange.raw else _parts(answer, "predictions"),
    }
    try:
        bigquery.append(emulator, target["project"], target["dataset"], target["table"], row)
    except GoogleError:
        # A table that was deleted fails no request.
        return


def _parts(body: str, member: str) -> list[str]:
    try:
        found = json.loads(body)[member]
        return [json.dumps(one) for one in found]
    except (ValueError, KeyError, TypeError):
        return [body]


LISTENERS.append(_log)
