"""Custom roles of projects.

Source: IAM API v1, projects.roles; "Create and manage custom roles" (a deleted role keeps its id, and can be restored
for seven days). Which permissions there are is not checked.
"""

from __future__ import annotations

import base64
import copy
import re
from typing import TYPE_CHECKING

from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource, check_etag, listed
from sandbox.google.errors import GoogleError, invalid, precondition
from sandbox.google.iam.api import ROLES, api
from sandbox.google.store import etag

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
_PERMISSION = re.compile(r"[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+){2}")

api.add(Collection(ROLES, "role", times=None))


def exists(emulator: Emulator, role: str) -> bool:
    """Whether there is a role; every predefined one is."""
    return not role.startswith("projects/") or emulator.projects.named(role) in emulator.store.table(f"iam.{ROLES}")


def _check(role: Resource) -> None:
    if len(role.get("title", "")) > 100 or len(role.get("description", "")) > 300:
        raise invalid("The title of a role has at most 100 characters, its description at most 300.")
    for one in role.get("includedPermissions", []):
        if not _PERMISSION.fullmatch(one):
            raise invalid(f"Permission {one} is not valid.")


def _tag(role: Resource) -> str:
    return base64.b64encode(base64.b64decode(etag(role))[:8]).decode()


def _deleted(call: Call) -> dict[str, Resource]:
    """Deleted roles are kept apart from what a stack made: they are no resources that somebody has to delete."""
    return call.emulator.store.table("_deleted_roles")


@api.method(f"{ROLES}.create")
def create(call: Call) -> Resource:
    number, parent = str(call.body.get("roleId", "")), call.canonical(call.name)
    if not _ID.fullmatch(number):
        raise invalid(
            f"The role_id ({number}) is invalid: it has 3 to 64 letters, digits, underscores and periods.",
            [("role_id", "must match [a-zA-Z0-9_.]{3,64}")],
        )
    role = {**copy.deepcopy(call.body.get("role", {})), "name": f"{parent}/roles/{number}"}
    role.pop("deleted", None)
    _check(role)
    with call.emulator.store.lock:
        if role["name"] in _deleted(call):
            raise precondition(
                f"You can't create a role with role_id ({number}) where there is an existing role with that role_id in "
                "a deleted state."
            )
        if role["name"] in call.table():
            raise GoogleError("ALREADY_EXISTS", f"A role named {number} in {parent} already exists.")
        role["etag"] = _tag(role)
        call.table()[role["name"]] = role
        return copy.deepcopy(role)


@api.method(f"{ROLES}.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        gone = _deleted(call).get(call.canonical(call.name))
        return copy.deepcopy(gone or _find(call))


def _find(call: Call) -> Resource:
    found = call.table().get(call.canonical(call.name))
    if found is None:
        raise GoogleError("NOT_FOUND", f"The role named {call.canonical(call.name)} was not found.")
    return found


@api.method(f"{ROLES}.list")
def list_roles(call: Call) -> Resource:
    store, parent = call.emulator.store, call.canonical(call.name)
    found = store.below(f"iam.{ROLES}", parent)
    if call.query.get("showDeleted"):
        found += store.below("_deleted_roles", parent)
    if call.query.get("view") != "FULL":
        for one in found:
            one.pop("includedPermissions", None)
    return listed(call, found)


@api.method(f"{ROLES}.patch")
def patch(call: Call) -> Resource:
    mask = str(call.query.get("updateMask") or "")
    with call.emulator.store.lock:
        role = _find(call)
        check_etag(call, role, call.body.get("etag"))
        given = [[name] for name in call.body]
        paths = masks.paths_of(mask, call.api.schemas, "Role") if mask else given
        changed = masks.merge(role, call.body, [path for path in paths if path[0] not in ("name", "etag", "deleted")])
        _check(changed)
        changed["etag"] = _tag(changed)
        role.clear()
        role.update(changed)
        return copy.deepcopy(role)


@api.method(f"{ROLES}.delete")
def delete(call: Call) -> Resource:
    with call.emulator.store.lock:
        role = _find(call)
        check_etag(call, role, call.query.get("etag"))
        del call.table()[role["name"]]
        role["deleted"] = True
        _deleted(call)[role["name"]] = role
        return copy.deepcopy(role)


@api.method(f"{ROLES}.undelete")
def undelete(call: Call) -> Resource:
    with call.emulator.store.lock:
        role = _deleted(call).pop(call.canonical(call.name), None)
        if role is None:
            raise GoogleError("NOT_FOUND", f"No deleted role named {call.canonical(call.name)} was found.")
        del role["deleted"]
        call.table()[role["name"]] = role
        return copy.deepcopy(role)
