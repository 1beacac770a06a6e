"""What the provider does not tell: the live state of an endpoint and the end of its log.

An update that SageMaker rolls back ends in service, as one that succeeded does, so only the endpoint itself tells
which configuration it runs (terraform-provider-aws issue 46663). The calls are made with the credentials and
settings of the program's default AWS provider.
"""

# boto3 makes its clients' methods at run time, so that there are no types to check.
# pyright: reportMissingTypeStubs=false

import json
import os
import re
import time
from typing import Any

import boto3
import pulumi
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


def client(service: str, region: str | None) -> Any:
    """Return a boto3 client with the settings of the default AWS provider's configuration."""
    config = pulumi.Config("aws")
    session: Any = boto3.Session(
        profile_name=config.get("profile") or os.environ.get("AWS_PROFILE"),
        aws_access_key_id=config.get("accessKey"),
        aws_secret_access_key=config.get("secretKey"),
        aws_session_token=config.get("token"),
        region_name=region or config.get("region"),
    )
    endpoints: list[dict[str, str]] = json.loads(config.get("endpoints") or "[]")
    address = next((entry[service] for entry in endpoints if service in entry), None)
    return session.client(service, endpoint_url=address)


def verify(endpoint: str, config_name: str, region: str | None, alarms: list[str], urn: str) -> None:
    """Raise unless the endpoint is in service with the configuration that was asked for.

    Raises:
        pulumi.RunError: it is not; the text says what it runs, why, which alarm fired and what to do.
    """
    try:
        live = client("sagemaker", region).describe_endpoint(EndpointName=endpoint)
    except (ClientError, BotoCoreError) as error:
        raise pulumi.RunError(f"endpoint {endpoint} was deployed but can't be verified: {error}") from error
    status, running, reason = live["EndpointStatus"], live.get("EndpointConfigName"), live.get("FailureReason")
    if status == "InService" and running == config_name:
        return
    if status == "Failed":
        raise pulumi.RunError(f"endpoint {endpoint} failed: {reason}\n{log_tail(endpoint, region)}{_replace(urn)}")
    fired = _fired(alarms, region)
    because = f" because {fired} fired" if fired else f": {reason}" if reason else ""
    raise pulumi.RunError(
        f"endpoint {endpoint} was rolled back{because}. It runs the configuration {running}, not {config_name}; the "
        "previous package keeps serving.\n"
        f"{log_tail(endpoint, region) if not fired else ''}"
        "Set the previous package in the stack's configuration, or a better one, and run pulumi up --refresh."
    )


def _replace(urn: str) -> str:
    """What to do with an endpoint that failed: SageMaker takes nothing but its deletion."""
    return f"SageMaker can't update a failed endpoint. Once the cause is mended: pulumi up --replace '{urn}'"


def _fired(alarms: list[str], region: str | None) -> str:
    if not alarms:
        return ""
    try:
        answer = client("cloudwatch", region).describe_alarms(AlarmNames=alarms, StateValue="ALARM")
    except (ClientError, BotoCoreError):
        return ""
    found = [f"{alarm['AlarmName']} ({alarm['StateReason']})" for alarm in answer["MetricAlarms"]]
    return " and ".join(found)


def log_tail(endpoint: str, region: str | None) -> str:
    """Return the last lines of an endpoint's log, or where to look if they can't be read."""
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    try:
        logs = client("logs", region)
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
            pulumi.log.error(f"{log_tail(name, None)}{_replace(args.urn)}")
    return False
