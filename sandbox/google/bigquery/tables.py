"""Tables. Sources: BigQuery API reference v2, tables, TableFieldSchema; "Modifying table schemas" (a column may be
added, but not taken away)."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sandbox.google.api import Call, Resource
from sandbox.google.bigquery.api import TABLES, api, change, find_dataset, find_table, milliseconds, required, same
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.store import etag, page

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_ID = re.compile(r"[\w\- ]{1,1024}")
_COLUMN = re.compile(r"[A-Za-z_]\w{0,299}", re.ASCII)
_KEPT = ("kind", "id", "selfLink", "tableReference", "creationTime", "location", "type")
# The reference has two names for some types; answers have the older one.
_OLDER = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_TYPES = {
    *("STRING", "BYTES", "INTEGER", "FLOAT", "BOOLEAN", "TIMESTAMP", "DATE", "TIME", "DATETIME"),
    *("GEOGRAPHY", "NUMERIC", "BIGNUMERIC", "JSON", "RECORD", "RANGE"),
}


def _rows(emulator: Emulator) -> dict[str, dict[str, list[dict[str, Any]]]]:
    return emulator.store.table("_bigquery.rows")


def rows_of(emulator: Emulator, table: Resource) -> list[dict[str, Any]]:
    """A table's rows themselves, the oldest first."""
    reference = table["tableReference"]
    name = f"projects/{reference['projectId']}/datasets/{reference['datasetId']}/tables/{reference['tableId']}"
    return _rows(emulator).setdefault(name, {"rows": []})["rows"]


def _checked(fields: Sequence[Resource], at: str = "") -> list[Resource]:
    """A schema's fields as answers have them; raises INVALID_ARGUMENT."""
    found: list[Resource] = []
    for field in fields:
        name, kind = str(field.get("name", "")), str(field.get("type", "")).upper()
        kind = _OLDER.get(kind, kind)
        if not _COLUMN.fullmatch(name):
            raise invalid(
                f'Invalid field name "{at}{name}". Fields must contain only letters, numbers, and underscores, start '
                "with a letter or underscore, and be at most 300 characters long."
            )
        if kind not in _TYPES:
            raise invalid(f"Invalid value for type: {kind} is not a valid value")
        one = {**field, "name": name, "type": kind, "mode": str(field.get("mode", "NULLABLE")).upper()}
        if kind == "RECORD":
            if not field.get("fields"):
                raise invalid(f"Field {at}{name} is type RECORD but has no schema")
            one["fields"] = _checked(field["fields"], f"{at}{name}.")
        found.append(one)
    names = [str(one["name"]).lower() for one in found]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Duplicate field name in schema: {at}{name}")
    return found


def make_table(emulator: Emulator, project: str, dataset: str, table: str, given: Resource) -> Resource:
    """Create a table; raises NOT_FOUND for its dataset, INVALID_ARGUMENT, ALREADY_EXISTS."""
    project = emulator.projects.id(project)
    parent = find_dataset(emulator, project, dataset)
    if not _ID.fullmatch(table):
        raise invalid(f'Invalid table ID "{table}".')
    name, now = f"projects/{project}/datasets/{dataset}/tables/{table}", milliseconds(emulator)
    resource: Resource = {
        **given,
        "kind": "bigquery#table",
        "id": f"{project}:{dataset}.{table}",
        "selfLink": f"{emulator.url}/bigquery/v2/{name}",
        "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
        "creationTime": now,
        "lastModifiedTime": now,
        "location": parent["location"],
        "type": "TABLE",
    }
    if "schema" in given:
        resource["schema"] = {**given["schema"], "fields": _checked(given["schema"].get("fields", []))}
    resource["etag"] = etag(resource)
    with emulator.store.lock:
        if name in emulator.store.table(TABLES):
            raise GoogleError("ALREADY_EXISTS", f"Already Exists: Table {project}:{dataset}.{table}")
        emulator.store.table(TABLES)[name] = resource
    return resource


def remove(emulator: Emulator, name: str) -> None:
    """Delete a table with its rows."""
    del emulator.store.table(TABLES)[name]
    _rows(emulator).pop(name, None)


def _shown(call: Call, resource: Resource) -> Resource:
    return {**copy.deepcopy(resource), "numRows": str(len(rows_of(call.emulator, resource)))}


def found_table(call: Call) -> Resource:
    """The table that a request's path names, itself; raises NOT_FOUND."""
    return find_table(call.emulator, call.path["projectId"], call.path["datasetId"], call.path["tableId"])


@api.method("tables.insert")
def insert(call: Call) -> Resource:
    for kind in ("view", "materializedView", "externalDataConfiguration", "snapshotDefinition", "cloneDefinition"):
        if kind in call.body:
            raise GoogleError("UNIMPLEMENTED", f"The sandbox does not emulate tables with {kind}.")
    reference = call.body.get("tableReference", {})
    table = required(reference.get("tableId"), "tableReference.tableId")
    same("Project ID", call.path["projectId"], reference.get("projectId"))
    same("Dataset ID", call.path["datasetId"], reference.get("datasetId"))
    made = make_table(call.emulator, call.path["projectId"], call.path["datasetId"], table, call.body)
    return _shown(call, made)


@api.method("tables.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        return _shown(call, found_table(call))


@api.method("tables.list")
def list_tables(call: Call) -> Resource:
    with call.emulator.store.lock:
        find_dataset(call.emulator, call.path["projectId"], call.path["datasetId"])
    project = call.emulator.projects.id(call.path["projectId"])
    found = call.emulator.store.below(TABLES, f"projects/{project}/datasets/{call.path['datasetId']}/tables")
    keys = ("kind", "id", "tableReference", "labels", "friendlyName", "type", "creationTime", "expirationTime")
    items, token = page([{key: one[key] for key in keys if key in one} for one in found], call.query)
    answer: Resource = {"kind": "bigquery#tableList", "totalItems": len(found), "tables": items}
    return answer | ({"nextPageToken": token} if token else {})


@api.method("tables.patch", "tables.update")
def patch(call: Call) -> Resource:
    with call.emulator.store.lock:
        resource = found_table(call)
        same("Table ID", call.path["tableId"], call.body.get("tableReference", {}).get("tableId"))
        changed = change(call, resource, _KEPT)
        if "schema" in call.body:
            changed["schema"]["fields"] = _checked(changed["schema"].get("fields", []))
            names = {one["name"] for one in changed["schema"]["fields"]}
            for field in resource.get("schema", {}).get("fields", []):
                if field["name"] not in names:
                    raise invalid(
                        f"Provided Schema does not match Table {resource['id']}. Field {field['name']} is missing in "
                        "new schema"
                    )
        resource.clear()
        resource.update(changed)
        return _shown(call, resource)


@api.method("tables.delete")
def delete(call: Call) -> None:
    with call.emulator.store.lock:
        reference = found_table(call)["tableReference"]
        remove(
            call.emulator,
            f"projects/{reference['projectId']}/datasets/{reference['datasetId']}/tables/{reference['tableId']}",
        )
