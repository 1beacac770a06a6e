"""What the provider does not tell: the live state of an endpoint and the end of its log.

An update that SageMaker rolls back ends in service, as one that succeeded does, so only the endpoint itself tells
which configuration it runs (terraform-provider-aws issue 46663). The calls are made with the credentials of the
component's provider where it is an explicit one, else with the settings of the program's default AWS provider.
"""

# boto3 makes its clients' methods at run time, so that there are no types to check.
# pyright: reportMissingTypeStubs=false

import json
import os
import re
import time
from typing import Any

import pulumi
import pulumi_aws as aws
from botocore.exceptions import BotoCoreError, ClientError

_LOG_LINES = 15
# What IAM answers while a role or policy that was just made has not yet reached every place.
_PROPAGATION = re.compile(
    r"could not assume role|cannot be assumed|is not authorized to perform: (sts:AssumeRole|iam:PassRole)"
    r"|Could not access model data|not have permissions to perform|Please make sure that the role",
    re.IGNORECASE,
)
PROPAGATION_WAIT_SECONDS = 6.0
PROPAGATION_TRIES = 5


Access = dict[str, str | None]
"""How AWS is reached: profile, access_key, secret_key, token and region."""

_ENDPOINT_KEYS = {"application-autoscaling": "appautoscaling"}
"""Names of services in `aws:endpoints`, where they differ from boto3's."""


def access(component: pulumi.Resource, region: pulumi.Output[str]) -> pulumi.Output[Access]:
    """Return how a component's explicit provider reaches AWS, or else the default one; secret where that is."""
    provider = component.get_provider("aws:sagemaker/endpoint:Endpoint")
    if not isinstance(provider, aws.Provider):
        return region.apply(default_access)
    return pulumi.Output.all(
        profile=provider.profile,
        access_key=provider.access_key,
        secret_key=provider.secret_key,
        token=provider.token,
        region=region,
    )


def default_access(region: str | None) -> Access:
    """Return how the program's default AWS provider reaches AWS."""
    config = pulumi.Config("aws")
    return {
        "profile": config.get("profile"),
        "access_key": config.get("accessKey"),
        "secret_key": config.get("secretKey"),
        "token": config.get("token"),
        "region": region or config.get("region"),
    }


def client(service: str, settings: Access) -> Any:
    """Return a boto3 client; its address is that of `aws:endpoints`, where the stack names one."""
    # A preview asks nothing here, and need not wait for this import.
    import boto3

    session: Any = boto3.Session(
        profile_name=settings["profile"] or os.environ.get("AWS_PROFILE"),
        aws_access_key_id=settings["access_key"],
        aws_secret_access_key=settings["secret_key"],
        aws_session_token=settings["token"],
        region_name=settings["region"],
    )
    endpoints: list[dict[str, str]] = json.loads(pulumi.Config("aws").get("endpoints") or "[]")
    key = _ENDPOINT_KEYS.get(service, service)
    return session.client(service, endpoint_url=next((entry[key] for entry in endpoints if key in entry), None))


def verify(endpoint: str, config_name: str, settings: Access, alarms: list[str], urn: str) -> None:
    """Raise unless the endpoint is in service with the configuration that was asked for.

    Args:
        endpoint: The endpoint's name.
        config_name: The configuration that was asked for.
        settings: How AWS is reached.
        alarms: The names of the alarms that may have rolled an update back.
        urn: The endpoint's URN, for what the user is told to do.

    Raises:
        pulumi.RunError: it is not; the text says what it runs, why, which alarm fired and what to do.
    """
    try:
        live = client("sagemaker", settings).describe_endpoint(EndpointName=endpoint)
    except (ClientError, BotoCoreError) as error:
        raise pulumi.RunError(f"endpoint {endpoint} was deployed but can't be verified: {error}") from error
    status, running, reason = live["EndpointStatus"], live.get("EndpointConfigName"), live.get("FailureReason")
    if status == "InService" and running == config_name:
        return
    if status == "Failed":
        raise pulumi.RunError(f"endpoint {endpoint} failed: {reason}\n{log_tail(endpoint, settings)}{_replace(urn)}")
    fired = _fired(alarms, settings)
    because = f" because {fired} fired" if fired else f": {reason}" if reason else ""
    raise pulumi.RunError(
        f"endpoint {endpoint} was rolled back{because}. It runs the configuration {running}, not {config_name}; the "
        "previous package keeps serving.\n"
        f"{log_tail(endpoint, settings) if not fired else ''}"
        "Set the previous package in the stack's configuration, or a better one, and run pulumi up --refresh."
    )


def _replace(urn: str) -> str:
    """What to do with an endpoint that failed: SageMaker takes nothing but its deletion."""
    return (
        f"SageMaker can't update a failed endpoint. Once the cause is mended: pulumi up --replace '{urn}'\n"
        f"(outside a development stack it is protected; before that: pulumi state unprotect --yes '{urn}')"
    )


def _fired(alarms: list[str], settings: Access) -> str:
    if not alarms:
        return ""
    try:
        answer = client("cloudwatch", settings).describe_alarms(AlarmNames=alarms, StateValue="ALARM")
    except (ClientError, BotoCoreError):
        return ""
    found = [f"{alarm['AlarmName']} ({alarm['StateReason']})" for alarm in answer["MetricAlarms"]]
    return " and ".join(found)


def log_tail(endpoint: str, settings: Access) -> str:
    """Return the last lines of an endpoint's log, or where to look if they can't be read."""
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    try:
        logs = client("logs", settings)
        streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True, limit=1)
        events = [
            event["message"].rstrip()
            for stream in streams["logStreams"]
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], limit=_LOG_LINES, startFromHead=False
            )["events"]
        ]
    except (ClientError, BotoCoreError) as error:
        return f"Its log, {group} in CloudWatch, can't be read: {error}\n"
    if not events:
        return f"Its log, {group} in CloudWatch, is empty.\n"
    return f"The end of its log, {group} in CloudWatch:\n" + "".join(f"  {line}\n" for line in events)


def release_replicas(args: pulumi.ResourceHookArgs) -> None:
    """Deregister an endpoint's scalable targets before an update to other machines; they are made anew after it.

    SageMaker refuses such an update while a target is registered. Source: SageMaker Developer Guide, "Update endpoints
    that use automatic scaling".
    """
    inputs = args.new_inputs or {}
    endpoint, wanted = inputs.get("name"), inputs.get("endpointConfigName")
    if args.type != "aws:sagemaker/endpoint:Endpoint" or not isinstance(endpoint, str) or not isinstance(wanted, str):
        return
    settings = default_access(inputs.get("region"))
    try:
        sagemaker = client("sagemaker", settings)
        running = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        if _machines(sagemaker, running) == _machines(sagemaker, wanted):
            return
        scaling = client("application-autoscaling", settings)
        targets = [
            target
            for page in scaling.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="sagemaker")
            for target in page["ScalableTargets"]
            if target["ResourceId"].startswith(f"endpoint/{endpoint}/")
        ]
        for target in targets:
            pulumi.log.info(f"{args.name}: {target['ResourceId']} is not scaled while its machines change")
            scaling.deregister_scalable_target(
                **{key: target[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
            )
    except (ClientError, BotoCoreError) as error:
        # What is in the way of the update is told by the update itself.
        pulumi.log.warn(f"{args.name}: whether its machines change is not known: {error}")


def _machines(sagemaker: Any, config_name: str) -> dict[str, str | None]:
    config = sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
    return {variant["VariantName"]: variant.get("InstanceType") for variant in config["ProductionVariants"]}


def explain_or_retry(args: pulumi.ErrorHookArgs) -> bool:
    """Decide on a failed operation: try again while IAM propagates; else show the endpoint's log and give up."""
    latest = args.errors[0] if args.errors else ""
    if _PROPAGATION.search(latest) and len(args.errors) <= PROPAGATION_TRIES:
        pulumi.log.info(f"{args.name}: waiting for its role to take effect (try {len(args.errors)})")
        time.sleep(PROPAGATION_WAIT_SECONDS)
        return True
    if args.type == "aws:sagemaker/endpoint:Endpoint":
        name = (args.new_inputs or {}).get("name")
        if isinstance(name, str):
            pulumi.log.error(f"{log_tail(name, default_access(None))}{_replace(args.urn)}")
    return False
