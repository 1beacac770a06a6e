"""Resource Manager: projects, as they are, and their IAM policies, in the API's versions 1 and 3.

Sources: Resource Manager API v1 and v3, projects (get, list, search, getIamPolicy, setIamPolicy, testIamPermissions).
Projects are not made or deleted: one comes into being with its first use.
"""

from __future__ import annotations

from sandbox.google.api import Api, Call, Resource
from sandbox.google.errors import GoogleError
from sandbox.google.store import page

old = Api("cloudresourcemanager", "v1", "google.cloudresourcemanager.v1")
api = Api("cloudresourcemanager", "v3", "google.cloud.resourcemanager.v3")
CREATED = "2024-01-01T00:00:00Z"


def policy_name(project: str) -> str:
    """The name by which a project's policy is kept: by its id."""
    return f"//cloudresourcemanager.googleapis.com/projects/{project}"


def _project(call: Call) -> str:
    """The id of the project that a path names; raises PERMISSION_DENIED, as Google does where there is none."""
    project = call.name.removeprefix("projects/")
    if not call.emulator.projects.is_id(project):
        raise GoogleError("PERMISSION_DENIED", "The caller does not have permission")
    return call.emulator.projects.id(project)


def _v1(call: Call, project: str) -> Resource:
    return {
        "projectId": project,
        "projectNumber": call.emulator.projects.number(project),
        "name": project,
        "lifecycleState": "ACTIVE",
        "createTime": CREATED,
    }


def _v3(call: Call, project: str) -> Resource:
    return {
        "name": f"projects/{call.emulator.projects.number(project)}",
        "projectId": project,
        "displayName": project,
        "state": "ACTIVE",
        "createTime": CREATED,
        "updateTime": CREATED,
    }


@old.method("projects.get")
def get_v1(call: Call) -> Resource:
    return _v1(call, _project(call))


@api.method("projects.get")
def get_v3(call: Call) -> Resource:
    return _v3(call, _project(call))


@old.method("projects.list")
def list_v1(call: Call) -> Resource:
    items, token = page([_v1(call, one) for one in call.emulator.projects.ids()], call.query)
    return {"projects": items} | ({"nextPageToken": token} if token else {})


@api.method("projects.search")
def search(call: Call) -> Resource:
    call.query["filter"] = call.query.pop("query", "")
    items, token = page([_v3(call, one) for one in call.emulator.projects.ids()], call.query)
    return {"projects": items} | ({"nextPageToken": token} if token else {})


def get_policy(call: Call) -> Resource:
    return call.emulator.policies.get(policy_name(_project(call)))


def set_policy(call: Call) -> Resource:
    return call.emulator.policies.set(policy_name(_project(call)), call.body.get("policy", {}))


def permissions(call: Call) -> Resource:
    _project(call)
    held = [one for one in call.body.get("permissions", []) if one not in call.emulator.faults.denied]
    return {"permissions": held} if held else {}


for one in (old, api):
    one.method("projects.getIamPolicy")(get_policy)
    one.method("projects.setIamPolicy")(set_policy)
    one.method("projects.testIamPermissions")(permissions)
