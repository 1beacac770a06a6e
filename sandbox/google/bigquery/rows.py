"""Rows: streamed in, and listed.

Sources: BigQuery API reference v2, tabledata.insertAll (rows, insertErrors) and tabledata.list (cells as text, repeated
ones as lists, TIMESTAMP in seconds or, by formatOptions, in microseconds).
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.google.api import Call, Resource
from sandbox.google.bigquery.api import api, find_table
from sandbox.google.bigquery.tables import found_table, rows_of
from sandbox.google.errors import GoogleError, invalid

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_PAGE = 10_000


def append(emulator: Emulator, project: str, dataset: str, table: str, row: Mapping[str, Any]) -> None:
    """Add a row of a service of ours; raises NOT_FOUND for the table, ValueError for a row that does not fit."""
    with emulator.store.lock:
        resource = find_table(emulator, project, dataset, table)
        taken, problem = _taken(resource["schema"]["fields"], row)
        if problem is not None:
            raise ValueError(f"{problem[0]}: {problem[1]}")
        rows_of(emulator, resource).append(taken)


def _taken(fields: Sequence[Resource], row: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """A row by its table's schema, and where and why it does not fit."""
    names = {one["name"]: one for one in fields}
    for key in row:
        if key not in names:
            return {}, (key, f"no such field: {key}.")
    taken: dict[str, Any] = {}
    for name, field in names.items():
        value = row.get(name)
        if field["mode"] == "REPEATED":
            if not isinstance(value if value is not None else [], list):
                return {}, (name, f"Field {name} is repeated, and its value is no list.")
            values = value or []
        elif value is None:
            if field["mode"] == "REQUIRED":
                return {}, (name, f"Missing required field: {name}.")
            taken[name] = None
            continue
        else:
            values = [value]
        try:
            read = [_read(field, one) for one in values]
        except (ValueError, TypeError, ArithmeticError):
            return {}, (name, f"Cannot convert value to {field['type'].lower()} (bad value): {values[0]}")
        taken[name] = read if field["mode"] == "REPEATED" else read[0]
    return taken, None


def _read(field: Resource, value: Any) -> Any:
    match field["type"]:
        case "INTEGER":
            return int(value)
        case "FLOAT":
            return float(value)
        case "BOOLEAN":
            if str(value).lower() not in ("true", "false"):
                raise ValueError(value)
            return str(value).lower() == "true"
        case "TIMESTAMP":
            return _microseconds(value)
        case "RECORD":
            taken, problem = _taken(field["fields"], value)
            if problem is not None:
                raise ValueError(problem)
            return taken
        case "JSON":
            return value if isinstance(value, str) else json.dumps(value)
        case "BYTES":
            base64.b64decode(value, validate=True)
            return value
        case "STRING":
            if not isinstance(value, str):
                raise TypeError(value)
            return value
        case _:
            return str(value)


def _microseconds(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return round(value * 1e6)
    when = datetime.fromisoformat(str(value).removesuffix(" UTC"))
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)


def _cell(field: Resource, value: Any, timestamps: str) -> dict[str, Any]:
    if value is None:
        return {"v": None}
    if isinstance(value, list):
        return {"v": [_cell(field, one, timestamps) for one in value]}
    match field["type"]:
        case "RECORD":
            return {"v": _row(field["fields"], value, timestamps)}
        case "BOOLEAN":
            return {"v": "true" if value else "false"}
        case "TIMESTAMP" if timestamps == "FLOAT64":
            return {"v": repr(value / 1e6)}
        case "TIMESTAMP" if timestamps == "ISO8601_STRING":
            return {"v": datetime.fromtimestamp(value / 1e6, UTC).isoformat(timespec="microseconds")[:26] + "Z"}
        case _:
            return {"v": str(value)}


def _row(fields: Sequence[Resource], row: Mapping[str, Any], timestamps: str) -> dict[str, Any]:
    return {"f": [_cell(field, row.get(field["name"]), timestamps) for field in fields]}


@api.method("tabledata.list")
def list_rows(call: Call) -> Resource:
    with call.emulator.store.lock:
        table = found_table(call)
        fields = table.get("schema", {}).get("fields", [])
        rows = copy.copy(rows_of(call.emulator, table))
    if wanted := str(call.query.get("selectedFields") or ""):
        names = [one.strip() for one in wanted.split(",")]
        if unknown := [one for one in names if one not in {field["name"] for field in fields}]:
            raise invalid(f"Selected field(s) not found in the schema: {', '.join(unknown)}")
        fields = [field for field in fields if field["name"] in names]
    timestamps = str(call.query.get("formatOptions.timestampOutputFormat") or "FLOAT64")
    if call.query.get("formatOptions.useInt64Timestamp"):
        timestamps = "INT64"
    token = str(call.query.get("pageToken") or "")
    if token and not token.isdigit():
        raise GoogleError("INVALID_ARGUMENT", f"Invalid value for pageToken: {token}")
    start = int(token or call.query.get("startIndex") or 0)
    end = start + min(int(call.query.get("maxResults") or _PAGE), _PAGE)
    answer: Resource = {
        "kind": "bigquery#tableDataList",
        "etag": table["etag"],
        "totalRows": str(len(rows)),
        "rows": [_row(fields, one, timestamps) for one in rows[start:end]],
    }
    return answer | ({"pageToken": str(end)} if end < len(rows) else {})


@api.method("tabledata.insertAll")
def insert_all(call: Call) -> Resource:
    given = call.body.get("rows", [])
    if not given:
        raise invalid("No rows present in the request.")
    with call.emulator.store.lock:
        table = found_table(call)
        fields = table.get("schema", {}).get("fields", [])
        known = {one["name"] for one in fields}
        read: list[tuple[dict[str, Any], tuple[str, str] | None]] = []
        for one in given:
            row = one.get("json", {})
            if call.body.get("ignoreUnknownValues"):
                row = {key: value for key, value in row.items() if key in known}
            read.append(_taken(fields, row))
        failed = any(problem is not None for _, problem in read)
        if not failed or call.body.get("skipInvalidRows"):
            rows_of(call.emulator, table).extend(row for row, problem in read if problem is None)
    errors: list[Resource] = []
    for index, (_, problem) in enumerate(read):
        if problem is not None:
            error = {"reason": "invalid", "location": problem[0], "debugInfo": "", "message": problem[1]}
        elif failed and not call.body.get("skipInvalidRows"):
            error = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}
        else:
            continue
        errors.append({"index": index, "errors": [error]})
    answer: Resource = {"kind": "bigquery#tableDataInsertAllResponse"}
    return answer | ({"insertErrors": errors} if errors else {})
