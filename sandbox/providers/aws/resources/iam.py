"""IAM: roles and their inline policies. IAM is global: these have no region."""

from __future__ import annotations

import json
from urllib.parse import unquote

from sandbox.providers.aws.cloud import Call, tag_list, tag_map
from sandbox.providers.aws.convert import timestamp
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_GONE = ("NoSuchEntity", "NoSuchEntityException")


def _text(document: object) -> str:
    """A policy as text: botocore gives an object, an emulator may give escaped text."""
    if isinstance(document, str):
        return unquote(document) if document.startswith("%") else document
    return json.dumps(document, separators=(",", ":"))


def _create_role(call: Call, values: Values) -> str:
    parameters: Values = {
        "RoleName": values["name"],
        "Path": values["path"],
        "AssumeRolePolicyDocument": values["assumeRolePolicy"],
        "MaxSessionDuration": values["maxSessionDuration"],
    }
    for name, member in (("description", "Description"), ("permissionsBoundary", "PermissionsBoundary")):
        if values.get(name):
            parameters[member] = values[name]
    if values.get("tagsAll"):
        parameters["Tags"] = tag_list(values["tagsAll"])
    call.retry("create_role", ("invalid principal",), **parameters)
    for policy in values.get("inlinePolicies") or []:
        if policy.get("name"):
            call.do(
                "put_role_policy",
                RoleName=values["name"],
                PolicyName=policy["name"],
                PolicyDocument=policy["policy"],
            )
    for arn in values.get("managedPolicyArns") or []:
        call.do("attach_role_policy", RoleName=values["name"], PolicyArn=arn)
    return values["name"]


def _read_role(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("get_role", _GONE, RoleName=identifier)
    if answer is None:
        return None
    role = answer["Role"]
    attached = call.do("list_attached_role_policies", RoleName=identifier).get("AttachedPolicies", [])
    result: Values = {
        "name": role["RoleName"],
        "path": role["Path"],
        "arn": role["Arn"],
        "uniqueId": role["RoleId"],
        "createDate": timestamp(role["CreateDate"]),
        "assumeRolePolicy": _text(role["AssumeRolePolicyDocument"]),
        "description": role.get("Description") or None,
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
        "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn"),
        "managedPolicyArns": sorted(policy["PolicyArn"] for policy in attached),
        "tagsAll": tag_map(role.get("Tags")),
    }
    if state.get("inlinePolicies"):
        result["inlinePolicies"] = _inline_policies(call, identifier, state["inlinePolicies"])
    return result


def _inline_policies(call: Call, role: str, asked: list[Values]) -> list[Values]:
    found: list[Values] = []
    for policy in asked:
        answer = call.find("get_role_policy", _GONE, RoleName=role, PolicyName=policy["name"])
        if answer is not None:
            found.append({"name": policy["name"], "policy": policy["policy"]})
    return found


def _update_role(call: Call, identifier: str, change: Change) -> None:
    new = change.new
    if change.touches("assumeRolePolicy"):
        call.retry(
            "update_assume_role_policy",
            ("invalid principal",),
            RoleName=identifier,
            PolicyDocument=new["assumeRolePolicy"],
        )
    if change.touches("description", "maxSessionDuration"):
        call.do(
            "update_role",
            RoleName=identifier,
            Description=new.get("description") or "",
            MaxSessionDuration=new.get("maxSessionDuration") or 3600,
        )
    if change.touches("permissionsBoundary"):
        if new.get("permissionsBoundary"):
            call.do(
                "put_role_permissions_boundary",
                RoleName=identifier,
                PermissionsBoundary=new["permissionsBoundary"],
            )
        else:
            call.do("delete_role_permissions_boundary", RoleName=identifier)
    if change.touches("managedPolicyArns"):
        before, after = (
            set(change.old.get("managedPolicyArns") or []),
            set(new.get("managedPolicyArns") or []),
        )
        for arn in sorted(before - after):
            call.remove("detach_role_policy", _GONE, RoleName=identifier, PolicyArn=arn)
        for arn in sorted(after - before):
            call.do("attach_role_policy", RoleName=identifier, PolicyArn=arn)
    if change.touches("inlinePolicies"):
        before = {policy["name"] for policy in change.old.get("inlinePolicies") or []}
        after = {policy["name"]: policy["policy"] for policy in new.get("inlinePolicies") or []}
        for name in sorted(before - after.keys()):
            call.remove("delete_role_policy", _GONE, RoleName=identifier, PolicyName=name)
        for name, policy in after.items():
            call.do("put_role_policy", RoleName=identifier, PolicyName=name, PolicyDocument=policy)
    sync_tags(
        change,
        lambda tags: call.do("tag_role", RoleName=identifier, Tags=tag_list(tags)),
        lambda keys: call.do("untag_role", RoleName=identifier, TagKeys=keys),
    )


def _delete_role(call: Call, identifier: str, state: Values) -> None:
    inline = {policy["name"] for policy in state.get("inlinePolicies") or []}
    attached = set(state.get("managedPolicyArns") or [])
    if state.get("forceDetachPolicies"):
        names = call.find("list_role_policies", _GONE, RoleName=identifier) or {}
        arns = call.find("list_attached_role_policies", _GONE, RoleName=identifier) or {}
        inline |= set(names.get("PolicyNames", []))
        attached |= {policy["PolicyArn"] for policy in arns.get("AttachedPolicies", [])}
    for arn in sorted(attached):
        call.remove("detach_role_policy", _GONE, RoleName=identifier, PolicyArn=arn)
    for name in sorted(inline):
        call.remove("delete_role_policy", _GONE, RoleName=identifier, PolicyName=name)
    call.remove("delete_role", _GONE, RoleName=identifier)


def _put_policy(call: Call, values: Values) -> str:
    call.do(
        "put_role_policy",
        RoleName=values["role"],
        PolicyName=values["name"],
        PolicyDocument=values["policy"],
    )
    return f"{values['role']}:{values['name']}"


def _policy_of(identifier: str) -> tuple[str, str]:
    role, _, name = identifier.partition(":")
    return role, name


def _read_policy(call: Call, identifier: str, state: Values) -> Values | None:
    role, name = _policy_of(identifier)
    answer = call.find("get_role_policy", _GONE, RoleName=role, PolicyName=name)
    if answer is None:
        return None
    return {"role": role, "name": name, "policy": _text(answer["PolicyDocument"])}


def _update_policy(call: Call, identifier: str, change: Change) -> None:
    _put_policy(call, change.new)


def _delete_policy(call: Call, identifier: str, state: Values) -> None:
    role, name = _policy_of(identifier)
    call.remove("delete_role_policy", _GONE, RoleName=role, PolicyName=name)


RESOURCES = (
    Resource(
        token="aws:iam/role:Role",
        service="iam",
        create=_create_role,
        read=_read_role,
        update=_update_role,
        delete=_delete_role,
        force_new=frozenset({"name", "namePrefix", "path"}),
        auto_name=AutoName(length=64),
        computed=frozenset({"managedPolicyArns", "namePrefix"}),
        policies=frozenset({"assumeRolePolicy"}),
        sets=frozenset({"managedPolicyArns", "inlinePolicies"}),
        defaults={"path": "/", "maxSessionDuration": 3600, "forceDetachPolicies": False},
        regional=False,
    ),
    Resource(
        token="aws:iam/rolePolicy:RolePolicy",
        service="iam",
        create=_put_policy,
        read=_read_policy,
        update=_update_policy,
        delete=_delete_policy,
        force_new=frozenset({"name", "namePrefix", "role"}),
        auto_name=AutoName(length=128),
        computed=frozenset({"namePrefix"}),
        policies=frozenset({"policy"}),
        regional=False,
    ),
)
