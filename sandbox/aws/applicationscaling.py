"""Application Auto Scaling for endpoint variants: only targets that exist can be registered; moto keeps the rest.

Source: Application Auto Scaling API reference, RegisterScalableTarget, DeregisterScalableTarget ("Deregistering a
scalable target deletes the scaling policies that are associated with it") and DeleteScalingPolicy. Scaling itself is
not emulated: a variant is one process, whatever its instance count.
"""

import re

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend, applicationautoscaling_backends

from sandbox.aws.api import ACCOUNT, ApiError, Call, PassOn, operation


def _backend(region: str) -> ApplicationAutoscalingBackend:
    return applicationautoscaling_backends[ACCOUNT][region]


def registered(region: str, endpoint: str, variant: str) -> bool:
    """Whether the number of a variant's instances is scaled."""
    targets = _backend(region).targets.get("sagemaker:variant:DesiredInstanceCount", {})
    return f"endpoint/{endpoint}/variant/{variant}" in targets


@operation("application-autoscaling", "RegisterScalableTarget")
def register_scalable_target(call: Call) -> None:
    if call.params.get("ServiceNamespace") != "sagemaker":
        raise PassOn
    resource = call.params["ResourceId"]
    match = re.fullmatch(r"endpoint/([^/]+)/variant/([^/]+)", resource)
    endpoint = call.emulator.hosting.endpoints.get((call.region, match.group(1))) if match else None
    if match is None or endpoint is None:
        raise ApiError(
            "ValidationException",
            f"Unsupported resource ID: {resource}"
            if match is None
            else f'Could not find endpoint "{call.arn("sagemaker", resource.split("/variant")[0])}".',
        )
    fleets = [fleet for fleet, _ in endpoint.routes]
    if fleets and match.group(2) not in {variant.name for variant in fleets[0].variants}:
        raise ApiError("ValidationException", f"No production variant {match.group(2)} on endpoint {match.group(1)}.")
    raise PassOn


@operation("application-autoscaling", "DeregisterScalableTarget")
def deregister_scalable_target(call: Call) -> None:
    backend, params = _backend(call.region), call.params
    resource, dimension = params["ResourceId"], params["ScalableDimension"]
    if resource not in backend.targets.get(dimension, {}):
        raise ApiError(
            "ObjectNotFoundException",
            f"No scalable target found for service namespace: {params['ServiceNamespace']}, resource ID: {resource}, "
            f"scalable dimension: {dimension}",
        )
    for key, policy in list(backend.policies.items()):
        if (policy.resource_id, policy.scalable_dimension) == (resource, dimension):
            del backend.policies[key]
    raise PassOn


@operation("application-autoscaling", "DeleteScalingPolicy")
def delete_scaling_policy(call: Call) -> None:
    params = call.params
    members = ("ServiceNamespace", "ResourceId", "ScalableDimension", "PolicyName")
    for policy in _backend(call.region).policies.values():
        known = (policy.service_namespace, policy.resource_id, policy.scalable_dimension, policy.policy_name)
        if known == tuple(params[member] for member in members):
            raise PassOn
    raise ApiError(
        "ObjectNotFoundException",
        "No scaling policy found for " + ", ".join(f"{member}: {params[member]}" for member in members),
    )
