"""The provider's functions (data sources)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.providers.gcp.cloud import Call, Cloud
from sandbox.providers.gcp.services import RESOURCE_MANAGER, STORAGE
from sandbox.providers.resource import CloudError

Values = dict[str, Any]


def _project_of(cloud: Cloud, name: str | None) -> str:
    project = name or cloud.settings.project
    if not project:
        raise CloudError("no project: set it with `pulumi config set gcp:project <project>` or GOOGLE_PROJECT")
    return project.removeprefix("projects/")


def _project(cloud: Cloud, arguments: Values) -> Values:
    project = _project_of(cloud, arguments.get("projectId"))
    answer = Call(cloud, RESOURCE_MANAGER, f"project {project}").send("GET", f"projects/{project}")
    parent = answer.get("parent") or {}
    return {
        "id": f"projects/{project}",
        "projectId": answer["projectId"],
        "number": answer["projectNumber"],
        "name": answer.get("name", ""),
        "labels": answer.get("labels") or {},
        "effectiveLabels": answer.get("labels") or {},
        "pulumiLabels": {},
        "tags": {},
        "orgId": parent.get("id", "") if parent.get("type") == "organization" else "",
        "folderId": parent.get("id", "") if parent.get("type") == "folder" else "",
        "billingAccount": "",
        "autoCreateNetwork": False,
        "deletionPolicy": "",
    }


def _client_config(cloud: Cloud, arguments: Values) -> Values:
    settings = cloud.settings
    place = {"project": settings.project, "region": settings.region, "zone": settings.zone}
    return {
        "id": "/".join(f"{key}s/{value}" for key, value in place.items()),
        **place,
        "accessToken": settings.access_token,
        "defaultLabels": settings.default_labels,
    }


def _storage_account(cloud: Cloud, arguments: Values) -> Values:
    project = _project_of(cloud, arguments.get("project"))
    answer = Call(cloud, STORAGE, f"service account of {project}").send("GET", f"projects/{project}/serviceAccount")
    email = answer["email_address"]
    return {"id": email, "project": project, "emailAddress": email, "member": f"serviceAccount:{email}"}


FUNCTIONS: dict[str, Callable[[Cloud, Values], Values]] = {
    "gcp:organizations/getClientConfig:getClientConfig": _client_config,
    "gcp:organizations/getProject:getProject": _project,
    "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": _storage_account,
}
