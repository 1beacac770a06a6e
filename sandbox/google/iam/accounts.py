"""Service accounts.

Sources: IAM API v1, projects.serviceAccounts (ids, the wildcard project, unique ids, undelete within 30 days), "Attach
service accounts to resources" (iam.serviceAccounts.actAs), "Service account types" (the accounts that Google makes).
"""

from __future__ import annotations

import base64
import copy
import random
import re
from typing import TYPE_CHECKING, Any

from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource, get_iam_policy, set_iam_policy, test_iam_permissions
from sandbox.google.errors import GoogleError, error_info, invalid
from sandbox.google.iam import roles
from sandbox.google.iam.api import ACCOUNTS, KEYS, api
from sandbox.google.schema import missing_fields
from sandbox.google.store import etag

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

_ID = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])")
_USERS_OWN = re.compile(r"[^@]+@(?P<project>[a-z][a-z0-9-]+[a-z0-9])\.iam\.gserviceaccount\.com")
_GOOGLES_PROJECT = re.compile(r"gcp-sa-.*|gs-project-accounts|.*-robot.*|bigquery-encryption|serverless-.*|security-.*")


def exists(emulator: Emulator, email: str) -> bool:
    """Whether there is an account; those that Google makes always are."""
    found = _USERS_OWN.fullmatch(email)
    if found is None or _GOOGLES_PROJECT.fullmatch(found["project"]):
        return True
    return f"projects/{found['project']}/serviceAccounts/{email}" in emulator.store.table(f"iam.{ACCOUNTS}")


def require_account(call: Call, email: str) -> None:
    """Refuse a service account that a resource is to act as and that does not exist."""
    account = email.rpartition("/")[2]
    if not exists(call.emulator, account):
        raise GoogleError(
            "PERMISSION_DENIED",
            "The principal (user or service account) lacks IAM permission 'iam.serviceAccounts.actAs' for the "
            f"resource '{account}' (or the resource may not exist).",
            [
                error_info(
                    "IAM_PERMISSION_DENIED",
                    "iam.googleapis.com",
                    resource=account,
                    permission="iam.serviceAccounts.actAs",
                )
            ],
        )


def prepare(emulator: Emulator) -> None:
    """Let no policy name an account or a role that does not exist."""
    emulator.policies.knows_account = lambda email: exists(emulator, email)
    emulator.policies.knows_role = lambda role: roles.exists(emulator, role)


api.add(Collection(ACCOUNTS, "service account", times=None))
api.add(Collection(KEYS, "service account key", times=None))


def find(call: Call) -> Resource:
    """The account that a path names, by its address or unique id, in its project or in `-`; raises NOT_FOUND."""
    name = call.canonical(call.name).partition("/keys")[0]
    project, account = name.split("/")[1], name.split("/")[3]
    for one in call.table(ACCOUNTS).values():
        if account in (one["email"], one["uniqueId"]) and project in ("-", one["projectId"]):
            return one
    raise GoogleError("NOT_FOUND", api.not_found("service account", name))


@api.method(f"{ACCOUNTS}.create")
def create(call: Call) -> Resource:
    project = call.canonical(call.name).split("/")[1]
    given = str(call.body.get("accountId", ""))
    if not 6 <= len(given) <= 30:
        raise invalid(f'The account ID "{given}" does not have a length between 6 and 30.')
    if not _ID.fullmatch(given):
        raise invalid(f'The account ID "{given}" does not match the regular expression {_ID.pattern}.')
    wanted = {
        key: value
        for key, value in call.body.get("serviceAccount", {}).items()
        if key in ("displayName", "description")
    }
    _check(wanted)
    email = f"{given}@{project}.iam.gserviceaccount.com"
    name = f"projects/{project}/serviceAccounts/{email}"
    with call.emulator.store.lock:
        if name in call.table():
            raise GoogleError(
                "ALREADY_EXISTS", f"Service account {given} already exists within project projects/{project}."
            )
        number = str(random.randrange(10**20, 10**21))
        account = {
            **wanted,
            "name": name,
            "projectId": project,
            "uniqueId": number,
            "email": email,
            "oauth2ClientId": number,
        }
        account["etag"] = _etag(account)
        call.table()[name] = account
        return copy.deepcopy(account)


def _check(account: Resource) -> None:
    for field, most in (("displayName", 100), ("description", 256)):
        if len(str(account.get(field, "")).encode()) > most:
            raise invalid(f"The {field} of a service account has at most {most} bytes.")


def _etag(account: Resource) -> str:
    return base64.b64encode(base64.b64decode(etag(account))[:8]).decode()


@api.method(f"{ACCOUNTS}.get")
def get(call: Call) -> Resource:
    with call.emulator.store.lock:
        return copy.deepcopy(find(call))


@api.method(f"{ACCOUNTS}.patch")
def patch(call: Call) -> Resource:
    if not call.body.get("updateMask"):
        raise missing_fields(["update_mask"])
    paths = masks.paths_of(str(call.body["updateMask"]), call.api.schemas, "ServiceAccount")
    if fixed := [path[0] for path in paths if path[0] not in ("displayName", "description")]:
        raise invalid(f"Only display_name and description can be updated, not {', '.join(fixed)}.")
    return _change(call, call.body.get("serviceAccount", {}), paths)


@api.method(f"{ACCOUNTS}.update")
def update(call: Call) -> Resource:
    return _change(call, call.body, [["displayName"], ["description"]])


def _change(call: Call, given: Resource, paths: list[list[str]]) -> Resource:
    with call.emulator.store.lock:
        account = find(call)
        changed = masks.merge(account, given, paths)
        _check(changed)
        changed["etag"] = _etag(changed)
        account.clear()
        account.update(changed)
        return copy.deepcopy(account)


@api.method(f"{ACCOUNTS}.delete")
def delete(call: Call) -> Resource:
    with call.emulator.store.lock:
        account = find(call)
        del call.table()[account["name"]]
        call.emulator.store.table("_deleted_accounts")[account["uniqueId"]] = account
        keys = call.table(KEYS)
        for name in [one for one in keys if one.startswith(f"{account['name']}/")]:
            del keys[name]
    call.emulator.policies.forget(f"//iam.googleapis.com/{account['name']}")
    call.emulator.policies.mark_deleted(account["email"], account["uniqueId"])
    return {}


@api.method(f"{ACCOUNTS}.undelete")
def undelete(call: Call) -> Resource:
    with call.emulator.store.lock:
        account = call.emulator.store.table("_deleted_accounts").get(call.name.rpartition("/")[2])
        if account is None or account["name"] in call.table():
            raise GoogleError("NOT_FOUND", f"No deleted service account {call.name} can be restored.")
        call.table()[account["name"]] = account
        return {"restoredAccount": copy.deepcopy(account)}


def _set_disabled(call: Call, disabled: bool) -> Resource:
    with call.emulator.store.lock:
        account = find(call)
        account.pop("disabled", None)
        if disabled:
            account["disabled"] = True
    return {}


@api.method(f"{ACCOUNTS}.disable")
def disable(call: Call) -> Resource:
    return _set_disabled(call, True)


@api.method(f"{ACCOUNTS}.enable")
def enable(call: Call) -> Resource:
    return _set_disabled(call, False)


def _of_found(handler: Any) -> Any:
    """A method of IAM policies, on the account that the path names in any of its ways."""

    def on_account(call: Call) -> Resource:
        with call.emulator.store.lock:
            name = find(call)["name"]
        call.path[next(iter(call.path))] = name
        return dict(handler(call))

    return on_account


for verb, meaning in (
    ("getIamPolicy", get_iam_policy),
    ("setIamPolicy", set_iam_policy),
    ("testIamPermissions", test_iam_permissions),
):
    api.method(f"{ACCOUNTS}.{verb}")(_of_found(meaning))
