"""What a project has: its APIs, its own roles, its repositories of images."""

from __future__ import annotations

from sandbox.providers.check import AutoName
from sandbox.providers.gcp.cloud import Call
from sandbox.providers.gcp.rest import Rest
from sandbox.providers.gcp.services import ARTIFACT_REGISTRY, IAM, SERVICE_USAGE
from sandbox.providers.resource import Resource, Values

_REPOSITORIES = "projects/{project}/locations/{location}/repositories"


def _service_path(call: Call, identifier: str, values: Values) -> str:
    project, _, service = identifier.rpartition("/")
    return f"projects/{project or values.get('project') or call.cloud.settings.project}/services/{service}"


def _enable(call: Call, values: Values) -> str:
    identifier = f"{values['project']}/{values['service']}"
    call.finish(call.send("POST", f"{_service_path(call, identifier, values)}:enable", {}), "enabling it")
    return identifier


def _read_service(call: Call, identifier: str, values: Values) -> Values | None:
    path = _service_path(call, identifier, values)
    answer = call.find(path)
    if answer is None or answer.get("state") != "ENABLED":
        return None
    _, project, _, service = path.split("/")
    return {"project": project, "service": service, "id": f"{project}/{service}"}


def _disable(call: Call, identifier: str, state: Values) -> None:
    if state.get("disableOnDestroy") and state.get("deletionPolicy") != "ABANDON":
        body = {"disableDependentServices": bool(state.get("disableDependentServices"))}
        call.finish(call.send("POST", f"{_service_path(call, identifier, state)}:disable", body), "disabling it")


def _decode_role(answer: Values, told: Values) -> None:
    told["roleId"] = answer["name"].rpartition("/")[2]
    told["deleted"] = bool(answer.get("deleted"))


def _encode_repository(values: Values, body: Values) -> None:
    if "cleanupPolicies" in body:
        body["cleanupPolicies"] = {one["id"]: one for one in values["cleanupPolicies"]}


def _decode_repository(answer: Values, told: Values) -> None:
    told["cleanupPolicies"] = list((answer.get("cleanupPolicies") or {}).values()) or None


RESOURCES = [
    Resource(
        token="gcp:projects/service:Service",
        service=SERVICE_USAGE.title,
        create=_enable,
        read=_read_service,
        update=lambda call, identifier, change: None,
        delete=_disable,
        force_new=frozenset({"service"}),
    ),
    Rest(
        token="gcp:projects/iAMCustomRole:IAMCustomRole",
        service=IAM,
        schema="Role",
        path="projects/{project}/roles/{roleId}",
        create="projects/{project}/roles",
        wrapped="role",
        wraps_change=False,
        fixed={"roleId": "{roleId}"},
        names={"permissions": "includedPermissions"},
        decode=_decode_role,
        gone=lambda answer: bool(answer.get("deleted")),
        auto_name=AutoName(property="roleId"),
        force_new=frozenset({"roleId"}),
        sets=frozenset({"permissions"}),
        defaults={"stage": "GA"},
    ).resource(),
    Rest(
        token="gcp:artifactregistry/repository:Repository",
        service=ARTIFACT_REGISTRY,
        schema="Repository",
        path=f"{_REPOSITORIES}/{{repositoryId}}",
        create=f"{_REPOSITORIES}?repository_id={{repositoryId}}",
        short=frozenset({"name"}),
        encode=_encode_repository,
        decode=_decode_repository,
        force_new=frozenset({"repositoryId", "location", "format", "kmsKeyName", "mode", "remoteRepositoryConfig"}),
        computed=frozenset({"location", "vulnerabilityScanningConfig"}),
        alike={"format": lambda old, new: old.lower() == new.lower()},
        sets=frozenset({"cleanupPolicies"}),
        defaults={"mode": "STANDARD_REPOSITORY"},
    ).resource(),
]
