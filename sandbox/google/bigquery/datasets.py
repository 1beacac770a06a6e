"""Datasets. Source: BigQuery API reference v2, datasets; "Naming datasets"."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

from sandbox.google.api import Call, Resource
from sandbox.google.bigquery.api import DATASETS, TABLES, api, change, find_dataset, milliseconds, required, same
from sandbox.google.bigquery.tables import remove
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.store import etag, page

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_ID = re.compile(r"\w{1,1024}", re.ASCII)
_KEPT = ("kind", "id", "selfLink", "datasetReference", "creationTime", "location", "access", "type")


def make_dataset(emulator: Emulator, project: str, dataset: str, given: Resource | None = None) -> Resource:
    """Create a dataset; raises INVALID_ARGUMENT for a bad name, ALREADY_EXISTS."""
    project = emulator.projects.id(project)
    if not _ID.fullmatch(dataset):
        raise invalid(
            f'Invalid dataset ID "{dataset}". Dataset IDs must be alphanumeric (plus underscores) and must be at most '
            "1024 characters long."
        )
    name, now = f"projects/{project}/datasets/{dataset}", milliseconds(emulator)
    resource: Resource = {
        "location": "US",
        "access": [
            {"role": "WRITER", "specialGroup": "projectWriters"},
            {"role": "OWNER", "specialGroup": "projectOwners"},
            {"role": "READER", "specialGroup": "projectReaders"},
        ],
        **(given or {}),
        "kind": "bigquery#dataset",
        "id": f"{project}:{dataset}",
        "selfLink": f"{emulator.url}/bigquery/v2/{name}",
        "datasetReference": {"projectId": project, "datasetId": dataset},
        "creationTime": now,
        "lastModifiedTime": now,
        "type": "DEFAULT",
    }
    resource["etag"] = etag(resource)
    with emulator.store.lock:
        if name in emulator.store.table(DATASETS):
            raise GoogleError("ALREADY_EXISTS", f"Already Exists: Dataset {project}:{dataset}")
        emulator.store.table(DATASETS)[name] = resource
    return resource


@api.method("datasets.insert")
def insert(call: Call) -> Resource:
    reference = call.body.get("datasetReference", {})
    dataset = required(reference.get("datasetId"), "datasetReference.datasetId")
    same("Project ID", call.path["projectId"], reference.get("projectId"))
    return copy.deepcopy(make_dataset(call.emulator, call.path["projectId"], dataset, call.body))


@api.method("datasets.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        return copy.deepcopy(find_dataset(call.emulator, call.path["projectId"], call.path["datasetId"]))


@api.method("datasets.list")
def list_datasets(call: Call) -> Resource:
    project = call.emulator.projects.id(call.path["projectId"])
    found = call.emulator.store.below(DATASETS, f"projects/{project}/datasets")
    keys = ("kind", "id", "datasetReference", "labels", "friendlyName", "location", "type")
    items, token = page([{key: one[key] for key in keys if key in one} for one in found], call.query)
    answer: Resource = {"kind": "bigquery#datasetList", "datasets": items}
    return answer | ({"nextPageToken": token} if token else {})


@api.method("datasets.patch", "datasets.update")
def patch(call: Call) -> Resource:
    with call.emulator.store.lock:
        resource = find_dataset(call.emulator, call.path["projectId"], call.path["datasetId"])
        same("Dataset ID", call.path["datasetId"], call.body.get("datasetReference", {}).get("datasetId"))
        same("Location", resource["location"], call.body.get("location"))
        changed = change(call, resource, _KEPT)
        resource.clear()
        resource.update(changed)
        return copy.deepcopy(resource)


@api.method("datasets.delete")
def delete(call: Call) -> None:
    store = call.emulator.store
    with store.lock:
        resource = find_dataset(call.emulator, call.path["projectId"], call.path["datasetId"])
        reference = resource["datasetReference"]
        name = f"projects/{reference['projectId']}/datasets/{reference['datasetId']}"
        tables = [one for one in store.table(TABLES) if one.startswith(f"{name}/tables/")]
        if tables and not call.query.get("deleteContents"):
            raise GoogleError("INVALID_ARGUMENT", f"Dataset {resource['id']} is still in use", reason="resourceInUse")
        for one in tables:
            remove(call.emulator, one)
        del store.table(DATASETS)[name]
