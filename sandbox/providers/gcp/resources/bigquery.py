"""BigQuery."""

from __future__ import annotations

import json
from typing import Any

from sandbox.providers.gcp.rest import Rest, caseless
from sandbox.providers.gcp.services import BIGQUERY

_DATASETS = "projects/{project}/datasets"
_TABLES = f"{_DATASETS}/{{datasetId}}/tables"
# Source: BigQuery reference, "Standard SQL types" and their older names.
_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}


def _same_schema(old: str, new: str) -> bool:
    """Whether two schemas are one but for the types' other names and what is so anyway."""
    try:
        return _fields(json.loads(old)) == _fields(json.loads(new))
    except ValueError:
        return old == new


def _fields(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        one
        | {"mode": one.get("mode") or "NULLABLE", "type": _TYPES.get(one["type"], one["type"])}
        | ({"fields": _fields(one["fields"])} if one.get("fields") else {})
        for one in fields
    ]


RESOURCES = [
    Rest(
        token="gcp:bigquery/dataset:Dataset",
        service=BIGQUERY,
        schema="Dataset",
        path=f"{_DATASETS}/{{datasetId}}",
        create=_DATASETS,
        update_verb="PUT",
        delete=f"{_DATASETS}/{{datasetId}}?deleteContents={{deleteContentsOnDestroy}}",
        names={"datasetId": "datasetReference.datasetId", "accesses": "access"},
        force_new=frozenset({"datasetId", "location", "externalDatasetReference"}),
        computed=frozenset({"accesses", "isCaseInsensitive", "maxTimeTravelHours", "storageBillingModel"}),
        sets=frozenset({"accesses"}),
        alike={"location": caseless},
        defaults={"location": "US", "deleteContentsOnDestroy": False},
    ).resource(),
    Rest(
        token="gcp:bigquery/table:Table",
        service=BIGQUERY,
        schema="Table",
        path=f"{_TABLES}/{{tableId}}",
        create=_TABLES,
        update_verb="PUT",
        names={
            "datasetId": "tableReference.datasetId",
            "tableId": "tableReference.tableId",
            "schema": "schema.fields",
            "clusterings": "clustering.fields",
        },
        force_new=frozenset({"datasetId", "tableId", "encryptionConfiguration", "rangePartitioning"}),
        computed=frozenset({"expirationTime", "schema", "maxStaleness"}),
        alike={"schema": _same_schema},
        defaults={"deletionProtection": True},
    ).resource(),
]
