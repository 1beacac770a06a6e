"""KMS: keys and aliases."""

from __future__ import annotations

from sandbox.providers.aws.cloud import Call, tag_list, tag_map
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_GONE = ("NotFoundException",)
_NOT_READY = ("malformedpolicydocument", "invalid principal")


def _create_key(call: Call, values: Values) -> str:
    parameters: Values = {
        "KeyUsage": values["keyUsage"],
        "KeySpec": values["customerMasterKeySpec"],
        "MultiRegion": bool(values.get("multiRegion")),
        "BypassPolicyLockoutSafetyCheck": values["bypassPolicyLockoutSafetyCheck"],
    }
    for name, member in (("description", "Description"), ("policy", "Policy")):
        if values.get(name):
            parameters[member] = values[name]
    if values.get("tagsAll"):
        parameters["Tags"] = tag_list(values["tagsAll"], "TagKey", "TagValue")
    key = call.retry("create_key", _NOT_READY, **parameters)["KeyMetadata"]["KeyId"]
    if values.get("enableKeyRotation"):
        _rotate(call, key, values)
    if not values["isEnabled"]:
        call.do("disable_key", KeyId=key)
    return key


def _rotate(call: Call, key: str, values: Values) -> None:
    period = values.get("rotationPeriodInDays")
    call.do("enable_key_rotation", KeyId=key, **({"RotationPeriodInDays": period} if period else {}))


def _read_key(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("describe_key", _GONE, KeyId=identifier)
    if answer is None or answer["KeyMetadata"].get("KeyState") == "PendingDeletion":
        return None
    key = answer["KeyMetadata"]
    rotation = call.do("get_key_rotation_status", KeyId=identifier)
    tags = call.do("list_resource_tags", KeyId=identifier).get("Tags")
    return {
        "arn": key["Arn"],
        "keyId": key["KeyId"],
        "description": key.get("Description") or None,
        "isEnabled": bool(key.get("Enabled")),
        "keyUsage": key.get("KeyUsage") or "ENCRYPT_DECRYPT",
        "customerMasterKeySpec": key.get("KeySpec") or key.get("CustomerMasterKeySpec"),
        "multiRegion": bool(key.get("MultiRegion")),
        "enableKeyRotation": bool(rotation.get("KeyRotationEnabled")),
        "rotationPeriodInDays": rotation.get("RotationPeriodInDays") or state.get("rotationPeriodInDays"),
        "policy": call.do("get_key_policy", KeyId=identifier, PolicyName="default").get("Policy"),
        "tagsAll": tag_map(tags, "TagKey", "TagValue"),
    }


def _update_key(call: Call, identifier: str, change: Change) -> None:
    new = change.new
    if change.touches("isEnabled") and new.get("isEnabled", True):
        call.do("enable_key", KeyId=identifier)
    if change.touches("enableKeyRotation", "rotationPeriodInDays"):
        if new.get("enableKeyRotation"):
            _rotate(call, identifier, new)
        else:
            call.do("disable_key_rotation", KeyId=identifier)
    if change.touches("description"):
        call.do("update_key_description", KeyId=identifier, Description=new.get("description") or "")
    if change.touches("policy") and new.get("policy"):
        call.retry("put_key_policy", _NOT_READY, KeyId=identifier, PolicyName="default", Policy=new["policy"])
    if change.touches("isEnabled") and not new.get("isEnabled", True):
        call.do("disable_key", KeyId=identifier)
    sync_tags(
        change,
        lambda tags: call.do("tag_resource", KeyId=identifier, Tags=tag_list(tags, "TagKey", "TagValue")),
        lambda keys: call.do("untag_resource", KeyId=identifier, TagKeys=keys),
    )


def _delete_key(call: Call, identifier: str, state: Values) -> None:
    days = state.get("deletionWindowInDays")
    window = {"PendingWindowInDays": days} if days else {}
    call.remove("schedule_key_deletion", (*_GONE, "KMSInvalidStateException"), KeyId=identifier, **window)


def _create_alias(call: Call, values: Values) -> str:
    call.do("create_alias", AliasName=values["name"], TargetKeyId=_key_id(values["targetKeyId"]))
    return values["name"]


def _key_id(key: str) -> str:
    return key.rsplit("/", 1)[-1] if key.startswith("arn:") else key


def _find_alias(call: Call, name: str) -> Values | None:
    marker: Values = {}
    while True:
        page = call.do("list_aliases", **marker)
        for alias in page.get("Aliases", []):
            if alias["AliasName"] == name:
                return alias
        if not page.get("Truncated") or not page.get("NextMarker"):
            return None
        marker = {"Marker": page["NextMarker"]}


def _read_alias(call: Call, identifier: str, state: Values) -> Values | None:
    alias = _find_alias(call, identifier)
    if alias is None:
        return None
    arn, key = alias["AliasArn"], alias.get("TargetKeyId")
    asked = state.get("targetKeyId")
    key_arn = f"{arn.rsplit(':', 1)[0]}:key/{key}"
    return {
        "name": identifier,
        "arn": arn,
        "targetKeyArn": key_arn,
        "targetKeyId": asked if asked in (key, key_arn) else key,
    }


def _update_alias(call: Call, identifier: str, change: Change) -> None:
    if change.touches("targetKeyId"):
        call.do("update_alias", AliasName=identifier, TargetKeyId=_key_id(change.new["targetKeyId"]))


def _delete_alias(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_alias", _GONE, AliasName=identifier)


def _verify_alias(inputs: Values) -> list[tuple[str, str]]:
    name = inputs.get("name")
    if isinstance(name, str) and not name.startswith("alias/"):
        return [("name", f'must begin with "alias/", not "{name}"')]
    return []


RESOURCES = (
    Resource(
        token="aws:kms/key:Key",
        service="kms",
        create=_create_key,
        read=_read_key,
        update=_update_key,
        delete=_delete_key,
        force_new=frozenset({"customerMasterKeySpec", "customKeyStoreId", "keyUsage", "multiRegion", "xksKeyId"}),
        computed=frozenset({"description", "multiRegion", "policy", "rotationPeriodInDays"}),
        policies=frozenset({"policy"}),
        defaults={
            "isEnabled": True,
            "keyUsage": "ENCRYPT_DECRYPT",
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "enableKeyRotation": False,
            "bypassPolicyLockoutSafetyCheck": False,
        },
        unsupported=frozenset({"customKeyStoreId", "xksKeyId"}),
    ),
    Resource(
        token="aws:kms/alias:Alias",
        service="kms",
        create=_create_alias,
        read=_read_alias,
        update=_update_alias,
        delete=_delete_alias,
        force_new=frozenset({"name", "namePrefix"}),
        auto_name=AutoName(prefix="alias/"),
        computed=frozenset({"namePrefix"}),
        recomputed={"targetKeyId": ("targetKeyArn",)},
        verify=_verify_alias,
    ),
)
