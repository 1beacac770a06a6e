"""Application Auto Scaling for endpoint variants: only targets that exist can be registered; moto keeps the rest.

Source: Application Auto Scaling API reference, RegisterScalableTarget. Scaling itself is not emulated: a
variant is one process, whatever its instance count.
"""

import re

from sandbox.aws.api import ApiError, Call, PassOn, operation


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
