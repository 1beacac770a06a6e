"""SageMaker: the AWS emulator, or a real account."""

import json
from collections.abc import Iterable
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from model_packaging.errors import ModelberthError
from sandbox import emulator, settings
from sandbox.engine.install import installed_engine
from sandbox.stack_file import StackFile


def is_local(stack: StackFile) -> bool:
    """Whether the stack's endpoints are on this machine."""
    return stack.emulator_url is not None


def problems(stack: StackFile) -> list[str]:
    """Return what a stack on a real account lacks, before anything is done."""
    found: list[str] = []
    try:
        boto3.client("sts", region_name=stack.region or None).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        found.append(
            f"stacks/Pulumi.{stack.name}.yaml: the stack is on a real AWS account, but there are no usable "
            f"credentials ({error}): run `aws sso login`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if installed_engine() is None:
        found.append(
            f"stacks/Pulumi.{stack.name}.yaml: a real account is deployed to by the official AWS plugin only, which "
            "comes with Pulumi: install it (https://www.pulumi.com/docs/install/)"
        )
    return found


def variables(stack: StackFile) -> dict[str, str]:
    """Return what boto3, the aws command line and the engine need."""
    return settings.clients(_url(stack), stack.region)


def ensure(stack: StackFile) -> str:
    """Start the emulator, unless it runs; its identity is another one when it was started anew and is empty."""
    return emulator.ensure(_url(stack), "AWS")


def reasons_against_deploying(stack: StackFile) -> list[str]:
    """The emulator runs everything wherever it runs."""
    return []


def is_running(stack: StackFile) -> bool:
    """Whether the emulator answers."""
    return emulator.health(_url(stack)) is not None


def stop(stack: StackFile) -> bool:
    """End the emulator; tells whether there was one."""
    return emulator.stop(_url(stack))


def predict(endpoint: dict[str, Any], row: dict[str, Any], stack: StackFile) -> Any:
    """Ask an endpoint for one prediction, as any application with boto3 does."""
    answer = boto3.client("sagemaker-runtime", region_name=stack.region).invoke_endpoint(
        EndpointName=endpoint["name"],
        ContentType="application/json",
        Accept="application/json",
        Body=json.dumps({"instances": [row]}),
    )
    return json.load(answer["Body"])["predictions"][0]


def alarm_states(names: Iterable[str], stack: StackFile) -> dict[str, str]:
    """Return the states of alarms by their names."""
    found: dict[str, str] = {}
    pages = boto3.client("cloudwatch", region_name=stack.region).get_paginator("describe_alarms")
    for page in pages.paginate(AlarmNames=list(names)):
        found |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in page["MetricAlarms"]}
    return found


def command(endpoint: dict[str, Any], body: str) -> str:
    """Return a command that asks the endpoint."""
    return (
        f"echo '{body}' | aws sagemaker-runtime invoke-endpoint --endpoint-name {endpoint['name']} "
        "--content-type application/json --body fileb:///dev/stdin /dev/stdout"
    )


def _url(stack: StackFile) -> str:
    if stack.emulator_url is None:
        raise ModelberthError(f"the stack {stack.name} is on a real account: use your own credentials")
    return stack.emulator_url
