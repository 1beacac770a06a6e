"""BigQuery's tables through google-cloud-bigquery, unchanged."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import bigquery

from sandbox.google.server import Handle
from tests.unit.google_emulator.conftest import PROJECT, wait_for

SCHEMA = [
    bigquery.SchemaField("id", "INT64", mode="REQUIRED"),
    bigquery.SchemaField("at", "TIMESTAMP"),
    bigquery.SchemaField("price", "NUMERIC"),
    bigquery.SchemaField("texts", "STRING", mode="REPEATED"),
    bigquery.SchemaField("inner", "RECORD", fields=[bigquery.SchemaField("ok", "BOOL")]),
]


@pytest.fixture(scope="module")
def client(emulator: Handle, credentials: Any) -> Any:
    return bigquery.Client(PROJECT, credentials, client_options={"api_endpoint": emulator.url})


@pytest.fixture
def table(client: Any) -> Any:
    dataset = client.create_dataset(f"d_{uuid.uuid4().hex}")
    return client.create_table(bigquery.Table(dataset.table("events"), SCHEMA))


def test_rows_come_back_with_their_types(client: Any, table: Any) -> None:
    at = datetime(2026, 3, 4, 10, 0, 0, 123456, tzinfo=UTC)
    rows = [
        {"id": n, "at": at.isoformat(), "price": "1.50", "texts": ["a", "b"], "inner": {"ok": True}} for n in range(5)
    ]
    assert client.insert_rows_json(table, rows) == []
    found = [dict(one) for one in client.list_rows(table, page_size=2)]
    assert [one["id"] for one in found] == [0, 1, 2, 3, 4]
    assert found[0] == {"id": 0, "at": at, "price": Decimal("1.50"), "texts": ["a", "b"], "inner": {"ok": True}}
    picked = client.list_rows(table, selected_fields=[SCHEMA[0]], start_index=3)
    assert [tuple(one) for one in picked] == [(3,), (4,)]
    assert client.get_table(table).num_rows == 5


def test_a_row_that_does_not_fit_stops_the_others(client: Any, table: Any) -> None:
    errors = client.insert_rows_json(table, [{"id": 1}, {"id": "x"}, {"at": None}, {"id": 1, "other": 2}])
    assert [(one["index"], one["errors"][0]["reason"]) for one in errors] == [
        (0, "stopped"),
        (1, "invalid"),
        (2, "invalid"),
        (3, "invalid"),
    ]
    assert errors[3]["errors"][0]["message"] == "no such field: other."
    assert list(client.list_rows(table)) == []


def test_a_dataset_is_emptied_before_it_goes(client: Any, table: Any) -> None:
    assert [one.table_id for one in client.list_tables(table.dataset_id)] == ["events"]
    with pytest.raises(exceptions.BadRequest, match="is still in use"):
        client.delete_dataset(table.dataset_id)
    client.delete_dataset(table.dataset_id, delete_contents=True)
    with pytest.raises(exceptions.NotFound, match=rf"Not found: Dataset {PROJECT}:{table.dataset_id}"):
        client.get_dataset(table.dataset_id)


def test_a_stale_change_is_refused(client: Any, table: Any) -> None:
    dataset = client.get_dataset(table.dataset_id)
    stale = client.get_dataset(table.dataset_id)
    dataset.labels = {"a": "b"}
    client.update_dataset(dataset, ["labels"])
    stale.description = "d"
    with pytest.raises(exceptions.PreconditionFailed):
        client.update_dataset(stale, ["description"])
    assert client.get_dataset(table.dataset_id).labels == {"a": "b"}


def test_a_column_can_be_added_and_not_taken_away(client: Any, table: Any) -> None:
    table.schema = [*SCHEMA, bigquery.SchemaField("more", "FLOAT64")]
    assert client.update_table(table, ["schema"]).schema[-1].field_type == "FLOAT"
    table = client.get_table(table)
    table.schema = SCHEMA
    with pytest.raises(exceptions.BadRequest, match="Field more is missing in new schema"):
        client.update_table(table, ["schema"])


def test_what_cannot_be_is_refused(client: Any, table: Any) -> None:
    with pytest.raises(exceptions.Conflict, match="Already Exists: Dataset"):
        client.create_dataset(table.dataset_id)
    with pytest.raises(exceptions.BadRequest, match="must be alphanumeric"):
        client.create_dataset("a-b")
    with pytest.raises(exceptions.BadRequest, match="FLOT is not a valid value"):
        client.create_table(bigquery.Table(f"{PROJECT}.{table.dataset_id}.t", [bigquery.SchemaField("a", "FLOT")]))
    with pytest.raises(exceptions.NotFound, match="Not found: Table"):
        client.get_table(f"{PROJECT}.{table.dataset_id}.nothing")


def test_a_project_without_the_service_is_told_so(emulator: Handle, credentials: Any, discovery: Any) -> None:
    usage = discovery("serviceusage", "v1").services()
    service = "projects/without-bigquery/services/bigquery.googleapis.com"
    usage.disable(name=service, body={}).execute()
    wait_for(lambda: usage.get(name=service).execute()["state"] == "DISABLED")
    client = bigquery.Client("without-bigquery", credentials, client_options={"api_endpoint": emulator.url})
    with pytest.raises(exceptions.Forbidden, match="Enable it by visiting"):
        client.create_dataset("d")
