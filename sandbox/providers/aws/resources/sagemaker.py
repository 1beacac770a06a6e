"""SageMaker: models, endpoint configurations, endpoints and pipelines.

Which change forces replacement, and what an endpoint's waits accept, follows the Terraform
provider's `internal/service/sagemaker`.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from sandbox.providers import schema
from sandbox.providers.aws import convert, enums
from sandbox.providers.aws.cloud import ROLE_NOT_READY, Call, tag_list, tag_map
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import ALL_BUT_TAGS, Change, CreateFailed, Resource, Values

_GONE = ("ResourceNotFound", "ResourceNotFoundException")
_ENDPOINT_TIMEOUT_SECONDS = 60 * 60


def _tags(call: Call, arn: str) -> dict[str, str]:
    return tag_map(call.do("list_tags", ResourceArn=arn).get("Tags"))


def _update_tags(call: Call, identifier: str, change: Change) -> None:
    arn = change.old["arn"]
    sync_tags(
        change,
        lambda tags: call.do("add_tags", ResourceArn=arn, Tags=tag_list(tags)),
        lambda keys: call.do("delete_tags", ResourceArn=arn, TagKeys=keys),
    )


def _parameters(call: Call, token: str, operation: str, values: Values, renames: dict[str, str]) -> Values:
    shape = call.shape(operation)
    # "tagsAll" is not an input of the SDK: tags are added here.
    result = convert.to_aws(values, schema.resource(token).inputs, shape, renames | {"tags": ""})
    if values.get("tagsAll") and "Tags" in shape.members:
        result["Tags"] = tag_list(values["tagsAll"])
    return result


def _properties(call: Call, token: str, operation: str, answer: Values, renames: dict[str, str]) -> Values:
    published = schema.resource(token).inputs
    shape = call.shape(operation, output=True)
    result: Values = {
        name: None
        for name in published
        if name not in ("tags", "region", "namePrefix") and convert.has_member(name, shape, renames)
    }
    return result | convert.from_aws(answer, published, shape, renames)


# Models

_MODEL = "aws:sagemaker/model:Model"
_MODEL_NAMES = {"name": "ModelName", "s3DataSources": "S3DataSource", "image": "Image"}


def _create_model(call: Call, values: Values) -> str:
    parameters = _parameters(call, _MODEL, "CreateModel", values, _MODEL_NAMES)
    call.retry("create_model", ROLE_NOT_READY, **parameters)
    return values["name"]


def _read_model(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("describe_model", _GONE, ModelName=identifier)
    if answer is None:
        return None
    arn = answer["ModelArn"]
    result = _properties(call, _MODEL, "DescribeModel", answer, _MODEL_NAMES)
    result["enableNetworkIsolation"] = bool(answer.get("EnableNetworkIsolation"))
    return result | {"arn": arn, "tagsAll": _tags(call, arn)}


def _delete_model(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_model", _GONE, ModelName=identifier)


def _verify_model(inputs: Values) -> list[tuple[str, str]]:
    if "primaryContainer" in inputs and "containers" in inputs:
        return [("containers", "conflicts with primaryContainer: give one of them")]
    return []


# Endpoint configurations

_CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
_CONFIGURATION_NAMES = {"name": "EndpointConfigName"}


def _configuration_names(call: Call) -> dict[str, str]:
    return _CONFIGURATION_NAMES | {"kmsKeyArn": "KmsKeyId"}


def _create_configuration(call: Call, values: Values) -> str:
    for group in ("productionVariants", "shadowProductionVariants"):
        for index, variant in enumerate(values.get(group) or []):
            # Terraform's default weight, and a name of its own for a variant that has none.
            variant.setdefault("initialVariantWeight", 1)
            variant.setdefault("variantName", f"terraform-{time.time_ns()}{index}")
    parameters = _parameters(call, _CONFIGURATION, "CreateEndpointConfig", values, _configuration_names(call))
    call.retry("create_endpoint_config", ROLE_NOT_READY, **parameters)
    return values["name"]


def _read_configuration(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("describe_endpoint_config", _GONE, EndpointConfigName=identifier)
    if answer is None:
        return None
    arn = answer["EndpointConfigArn"]
    result = _properties(call, _CONFIGURATION, "DescribeEndpointConfig", answer, _configuration_names(call))
    return result | {"arn": arn, "tagsAll": _tags(call, arn)}


def _delete_configuration(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_endpoint_config", _GONE, EndpointConfigName=identifier)


def _verify_configuration(inputs: Values) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    for group in ("productionVariants", "shadowProductionVariants"):
        variants = inputs.get(group)
        if isinstance(variants, list) and not 1 <= len(variants) <= 10:
            problems.append((group, f"takes 1 to 10 variants, not {len(variants)}"))
        for index, variant in enumerate(variants if isinstance(variants, list) else []):
            if not isinstance(variant, dict):
                continue
            where = f"{group}[{index}]"
            kind = variant.get("instanceType")
            problems += enums.check(f"{where}.instanceType", kind, "sagemaker", "ProductionVariantInstanceType")
            count = variant.get("initialInstanceCount")
            if isinstance(count, int) and count < 1:
                problems.append((f"{where}.initialInstanceCount", f"must be at least 1, not {count}"))
            weight = variant.get("initialVariantWeight")
            if isinstance(weight, int | float) and weight < 0:
                problems.append((f"{where}.initialVariantWeight", f"must be at least 0, not {weight}"))
            for name in (
                "containerStartupHealthCheckTimeoutInSeconds",
                "modelDataDownloadTimeoutInSeconds",
            ):
                seconds = variant.get(name)
                if isinstance(seconds, int) and not 60 <= seconds <= 3600:
                    problems.append((f"{where}.{name}", f"must be from 60 to 3600, not {seconds}"))
    capture = inputs.get("dataCaptureConfig")
    options = capture.get("captureOptions") if isinstance(capture, dict) else None
    for index, option in enumerate(options if isinstance(options, list) else []):
        mode = option.get("captureMode") if isinstance(option, dict) else None
        path = f"dataCaptureConfig.captureOptions[{index}].captureMode"
        problems += enums.check(path, mode, "sagemaker", "CaptureMode")
    share = capture.get("initialSamplingPercentage") if isinstance(capture, dict) else None
    if isinstance(share, int) and not 0 <= share <= 100:
        problems.append(("dataCaptureConfig.initialSamplingPercentage", f"must be from 0 to 100, not {share}"))
    return problems


# Endpoints

_ENDPOINT = "aws:sagemaker/endpoint:Endpoint"
_ENDPOINT_NAMES = {"name": "EndpointName"}
_ENDPOINT_PENDING = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})


def _describe_endpoint(call: Call, name: str) -> Any:
    return call.find("describe_endpoint", _GONE, EndpointName=name)


def _wait_for_endpoint(call: Call, name: str) -> None:
    """Wait until the endpoint is in service.

    A deployment that its alarms rolled back ends InService too, and so counts as done: as in the
    official provider (terraform-provider-aws issue 46663).
    """
    timeout = call.timeout_seconds or _ENDPOINT_TIMEOUT_SECONDS
    deadline = time.monotonic() + timeout
    pause = 0.1
    while True:
        answer = _describe_endpoint(call, name)
        status = answer["EndpointStatus"] if answer else "missing"
        if status == "InService":
            return
        if status not in _ENDPOINT_PENDING:
            reason = (answer or {}).get("FailureReason")
            last = f". last error: {reason}" if reason else ""
            raise CreateFailed(
                name,
                f"waiting for SageMaker AI Endpoint ({name}) to be in service: "
                f"unexpected state '{status}', wanted target 'InService'{last}",
            )
        if time.monotonic() > deadline:
            raise CreateFailed(
                name,
                f"waiting for SageMaker AI Endpoint ({name}) to be in service: timeout while waiting for state "
                f"to become 'InService' (last state: '{status}', timeout: {timedelta(seconds=timeout)})",
            )
        call.wait(pause)
        pause = min(pause * 1.3, 3.0)


def _create_endpoint(call: Call, values: Values) -> str:
    parameters = _parameters(call, _ENDPOINT, "CreateEndpoint", values, _ENDPOINT_NAMES)
    call.do("create_endpoint", **parameters)
    _wait_for_endpoint(call, values["name"])
    return values["name"]


def _read_endpoint(call: Call, identifier: str, state: Values) -> Values | None:
    answer = _describe_endpoint(call, identifier)
    if answer is None or answer["EndpointStatus"] == "Deleting":
        return None
    arn = answer["EndpointArn"]
    result: Values = {
        "name": answer["EndpointName"],
        "endpointConfigName": answer.get("EndpointConfigName"),
        "arn": arn,
        "tagsAll": _tags(call, arn),
    }
    shape = call.shape("DescribeEndpoint", output=True)
    seen = convert.from_aws(
        answer, schema.resource(_ENDPOINT).inputs, shape, {"deploymentConfig": "LastDeploymentConfig"}
    )
    # A first deployment has none: SageMaker tells the last update's.
    if "deploymentConfig" in seen:
        result["deploymentConfig"] = seen["deploymentConfig"]
    return result


def _update_endpoint(call: Call, identifier: str, change: Change) -> None:
    _update_tags(call, identifier, change)
    if change.touches("endpointConfigName", "deploymentConfig"):
        names = {**_ENDPOINT_NAMES, "tags": ""}
        inputs = schema.resource(_ENDPOINT).inputs
        parameters = convert.to_aws(change.new, inputs, call.shape("UpdateEndpoint"), names)
        call.do("update_endpoint", **parameters)
        _wait_for_endpoint(call, identifier)


def _delete_endpoint(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_endpoint", _GONE, EndpointName=identifier)
    deadline = time.monotonic() + (call.timeout_seconds or _ENDPOINT_TIMEOUT_SECONDS)
    pause = 0.1
    while _describe_endpoint(call, identifier) is not None:
        if time.monotonic() > deadline:
            raise CreateFailed(identifier, f"waiting for SageMaker AI Endpoint ({identifier}) to be deleted: timeout")
        call.wait(pause)
        pause = min(pause * 1.3, 3.0)


# Pipelines

_PIPELINE = "aws:sagemaker/pipeline:Pipeline"


def _create_pipeline(call: Call, values: Values) -> str:
    parameters = _parameters(call, _PIPELINE, "CreatePipeline", values, {})
    # The API wants a token for each request; the SDK's clients make one.
    call.retry("create_pipeline", ROLE_NOT_READY, ClientRequestToken=_token(), **parameters)
    return values["pipelineName"]


def _token() -> str:
    return f"pulumi-{time.time_ns():032d}"


def _read_pipeline(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("describe_pipeline", _GONE, PipelineName=identifier)
    if answer is None:
        return None
    arn = answer["PipelineArn"]
    result = _properties(call, _PIPELINE, "DescribePipeline", answer, {})
    return result | {"arn": arn, "tagsAll": _tags(call, arn)}


def _update_pipeline(call: Call, identifier: str, change: Change) -> None:
    _update_tags(call, identifier, change)
    if change.changed - {"tags", "tagsAll"}:
        inputs = schema.resource(_PIPELINE).inputs
        parameters = convert.to_aws(change.new, inputs, call.shape("UpdatePipeline"), {"tags": ""})
        parameters.pop("ClientRequestToken", None)
        call.retry("update_pipeline", ROLE_NOT_READY, **parameters)


def _delete_pipeline(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_pipeline", _GONE, PipelineName=identifier, ClientRequestToken=_token())


RESOURCES = (
    Resource(
        token=_MODEL,
        service="sagemaker",
        create=_create_model,
        read=_read_model,
        update=_update_tags,
        delete=_delete_model,
        force_new=ALL_BUT_TAGS,
        auto_name=AutoName(length=63),
        computed=frozenset({"inferenceExecutionConfig"}),
        verify=_verify_model,
    ),
    Resource(
        token=_CONFIGURATION,
        service="sagemaker",
        create=_create_configuration,
        read=_read_configuration,
        update=_update_tags,
        delete=_delete_configuration,
        force_new=ALL_BUT_TAGS,
        auto_name=AutoName(length=63),
        computed=frozenset({"namePrefix"}),
        verify=_verify_configuration,
    ),
    Resource(
        token=_ENDPOINT,
        service="sagemaker",
        create=_create_endpoint,
        read=_read_endpoint,
        update=_update_endpoint,
        delete=_delete_endpoint,
        force_new=frozenset({"name"}),
        force_new_presence=frozenset({"deploymentConfig.autoRollbackConfiguration"}),
        auto_name=AutoName(length=63),
    ),
    Resource(
        token=_PIPELINE,
        service="sagemaker",
        create=_create_pipeline,
        read=_read_pipeline,
        update=_update_pipeline,
        delete=_delete_pipeline,
        force_new=frozenset({"pipelineName"}),
        json=frozenset({"pipelineDefinition"}),
    ),
)
