"""Application Auto Scaling: scalable targets and scaling policies."""

from __future__ import annotations

from sandbox.providers import schema
from sandbox.providers.aws import convert
from sandbox.providers.aws.cloud import Call
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, CloudError, Resource, Values

_GONE = ("ObjectNotFoundException",)
_NOT_READY = ("unable to assume iam role", "could not assume", "concurrentupdate")
_KEYS = ("serviceNamespace", "resourceId", "scalableDimension")


def _key(values: Values) -> Values:
    return {
        "ServiceNamespace": values["serviceNamespace"],
        "ResourceId": values["resourceId"],
        "ScalableDimension": values["scalableDimension"],
    }


_TARGET = "aws:appautoscaling/target:Target"


def _register(call: Call, values: Values, tags: bool = True) -> str:
    parameters = convert.to_aws(
        values, schema.resource(_TARGET).inputs, call.shape("RegisterScalableTarget"), {"tags": ""}
    )
    if tags and values.get("tagsAll"):
        parameters["Tags"] = values["tagsAll"]
    call.retry("register_scalable_target", _NOT_READY, **parameters)
    return values["resourceId"]


def _target_of(identifier: str, state: Values) -> Values:
    """Where a target is: from the state, or from an import's `namespace/resource/dimension`."""
    if all(state.get(name) for name in _KEYS):
        return {name: state[name] for name in _KEYS}
    parts = identifier.split("/")
    if len(parts) < 3:
        raise CloudError(
            f'a scalable target is imported as "service-namespace/resource-id/scalable-dimension", not "{identifier}"'
        )
    return dict(zip(_KEYS, (parts[0], "/".join(parts[1:-1]), parts[-1]), strict=True))


def _read_target(call: Call, identifier: str, state: Values) -> Values | None:
    where = _target_of(identifier, state)
    answer = call.do(
        "describe_scalable_targets",
        ServiceNamespace=where["serviceNamespace"],
        ResourceIds=[where["resourceId"]],
        ScalableDimension=where["scalableDimension"],
    )
    if not answer.get("ScalableTargets"):
        return None
    target = answer["ScalableTargets"][0]
    arn = target.get("ScalableTargetARN")
    result: Values = where | {
        "id": where["resourceId"],
        "minCapacity": target["MinCapacity"],
        "maxCapacity": target["MaxCapacity"],
        "roleArn": target.get("RoleARN"),
        "arn": arn,
    }
    # Tags are as they were asked for: emulators have no answer for those of a scalable target.
    suspended = target.get("SuspendedState")
    if suspended:
        result["suspendedState"] = {key[0].lower() + key[1:]: value for key, value in suspended.items()}
    return result


def _update_target(call: Call, identifier: str, change: Change) -> None:
    if change.changed - {"tags", "tagsAll"}:
        _register(call, change.new, tags=False)
    arn = change.old.get("arn")
    if arn:
        sync_tags(
            change,
            lambda tags: call.do("tag_resource", ResourceARN=arn, Tags=tags),
            lambda keys: call.do("untag_resource", ResourceARN=arn, TagKeys=keys),
        )


def _deregister(call: Call, identifier: str, state: Values) -> None:
    call.remove("deregister_scalable_target", _GONE, **_key(_target_of(identifier, state)))


_POLICY = "aws:appautoscaling/policy:Policy"


def _put_policy(call: Call, values: Values) -> str:
    names = {"name": "PolicyName"}
    parameters = convert.to_aws(values, schema.resource(_POLICY).inputs, call.shape("PutScalingPolicy"), names)
    call.retry("put_scaling_policy", (*_NOT_READY, "no scalable target"), seconds=60, **parameters)
    return values["name"]


def _policy_of(identifier: str, state: Values) -> Values:
    """Where a policy is: from the state, or from an import's `namespace/resource/dimension/name`."""
    if state.get("name") and all(state.get(name) for name in _KEYS):
        return {name: state[name] for name in (*_KEYS, "name")}
    parts = identifier.split("/")
    if len(parts) < 4:
        raise CloudError(
            "a scaling policy is imported as "
            f'"service-namespace/resource-id/scalable-dimension/policy-name", not "{identifier}"'
        )
    return _target_of("/".join(parts[:-1]), {}) | {"name": parts[-1]}


def _read_policy(call: Call, identifier: str, state: Values) -> Values | None:
    where = _policy_of(identifier, state)
    answer = call.find(
        "describe_scaling_policies",
        ("FailedResourceAccessException", *_GONE),
        PolicyNames=[where["name"]],
        **_key(where),
    )
    policies = [item for item in (answer or {}).get("ScalingPolicies", []) if item["PolicyName"] == where["name"]]
    if not policies:
        return None
    policy = policies[0]
    shape = call.shape("DescribeScalingPolicies", output=True).members["ScalingPolicies"].member
    found = convert.from_aws(policy, schema.resource(_POLICY).inputs, shape, {"name": "PolicyName"})
    found.setdefault("policyType", "StepScaling")
    alarms = [alarm["AlarmARN"] for alarm in policy.get("Alarms") or []]
    return found | where | {"id": where["name"], "arn": policy["PolicyARN"], "alarmArns": alarms}


def _update_policy(call: Call, identifier: str, change: Change) -> None:
    _put_policy(call, change.new)


def _delete_policy(call: Call, identifier: str, state: Values) -> None:
    where = _policy_of(identifier, state)
    call.remove("delete_scaling_policy", _GONE, PolicyName=where["name"], **_key(where))


RESOURCES = (
    Resource(
        token=_TARGET,
        service="application-autoscaling",
        create=_register,
        read=_read_target,
        update=_update_target,
        delete=_deregister,
        force_new=frozenset(_KEYS),
        computed=frozenset({"roleArn", "suspendedState"}),
    ),
    Resource(
        token=_POLICY,
        service="application-autoscaling",
        create=_put_policy,
        read=_read_policy,
        update=_update_policy,
        delete=_delete_policy,
        force_new=frozenset({*_KEYS, "name"}),
        auto_name=AutoName(),
        defaults={"policyType": "StepScaling"},
    ),
)
