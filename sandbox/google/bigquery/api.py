"""The API's line, and what its resources share.

Sources: "BigQuery error messages" (reasons and HTTP codes); BigQuery API reference v2, Dataset, Table.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from sandbox.google.api import Api, Call, Resource
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.store import etag

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_REASONS = {
    "INVALID_ARGUMENT": "invalid",
    "UNAUTHENTICATED": "authError",
    "PERMISSION_DENIED": "accessDenied",
    "NOT_FOUND": "notFound",
    "ALREADY_EXISTS": "duplicate",
    "FAILED_PRECONDITION": "conditionNotMet",
    "RESOURCE_EXHAUSTED": "rateLimitExceeded",
    "UNIMPLEMENTED": "notImplemented",
    "UNAVAILABLE": "backendError",
}


def _error(error: GoogleError) -> dict[str, Any]:
    reason = error.reason or _REASONS.get(error.status, "internalError")
    body = error.body
    body["error"]["errors"] = [{"message": error.message, "domain": "global", "reason": reason}]
    return body


api = Api("bigquery", "v2", "google.cloud.bigquery.v2", error_body=_error)

DATASETS = "bigquery.datasets"
TABLES = "bigquery.tables"


def find_dataset(emulator: Emulator, project: str, dataset: str) -> Resource:
    """A dataset itself, not a copy; raises NOT_FOUND."""
    project = emulator.projects.id(project)
    found = emulator.store.table(DATASETS).get(f"projects/{project}/datasets/{dataset}")
    if found is None:
        raise GoogleError("NOT_FOUND", f"Not found: Dataset {project}:{dataset}")
    return found


def find_table(emulator: Emulator, project: str, dataset: str, table: str) -> Resource:
    """A table itself, not a copy; raises NOT_FOUND."""
    find_dataset(emulator, project, dataset)
    project = emulator.projects.id(project)
    found = emulator.store.table(TABLES).get(f"projects/{project}/datasets/{dataset}/tables/{table}")
    if found is None:
        raise GoogleError("NOT_FOUND", f"Not found: Table {project}:{dataset}.{table}")
    return found


def milliseconds(emulator: Emulator) -> str:
    """Now, as the resources write it."""
    return str(int(emulator.clock.time() * 1000))


def change(call: Call, resource: Resource, kept: tuple[str, ...]) -> Resource:
    """A copy with what a patch or an update says; an update drops what it leaves out, but for what is `kept`.

    Raises a 412 where the request's If-Match is of another state.
    """
    wanted = call.headers.get("if-match")
    if wanted and wanted != resource["etag"]:
        raise GoogleError("FAILED_PRECONDITION", "Precondition check failed.", http=412)
    if call.method.verb == "update":
        changed = {key: copy.deepcopy(one) for key, one in resource.items() if key in kept}
    else:
        changed = copy.deepcopy(resource)
    changed |= copy.deepcopy(call.body)
    # Its name is the path's, also where the body says only a part of it.
    changed |= {key: resource[key] for key in ("datasetReference", "tableReference") if key in resource}
    changed["lastModifiedTime"] = milliseconds(call.emulator)
    changed["etag"] = etag(changed)
    return changed


def required(given: Any, path: str) -> str:
    """A text that must be there; raises INVALID_ARGUMENT."""
    if not given:
        raise GoogleError("INVALID_ARGUMENT", f"Required parameter is missing: {path}", reason="required")
    return str(given)


def same(path: str, wanted: Any, given: Any) -> None:
    """Refuse a body that names another resource than the URL does."""
    if given is not None and given != wanted:
        raise invalid(f"{path} in the request body ({given}) does not match the one in the URL ({wanted}).")
