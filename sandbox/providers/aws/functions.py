"""The provider's functions (data sources)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sandbox.providers.aws.cloud import Call, Cloud
from sandbox.providers.aws.resources.s3 import partition

Values = dict[str, Any]

_SUFFIXES = {"aws": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-us-gov": "amazonaws.com"}


def _caller_identity(cloud: Cloud, arguments: Values) -> Values:
    answer = Call(cloud, "sts", "caller identity").do("get_caller_identity")
    account = answer["Account"]
    return {"accountId": account, "arn": answer["Arn"], "userId": answer["UserId"], "id": account}


def _region(cloud: Cloud, arguments: Values) -> Values:
    region = arguments.get("region") or arguments.get("name") or cloud.settings.region
    suffix = _SUFFIXES[partition(region)]
    return {
        "region": region,
        "name": region,
        "id": region,
        "endpoint": f"ec2.{region}.{suffix}",
        "description": _description(region),
    }


def _description(region: str) -> str:
    """The region's name for people, from botocore's own list."""
    import botocore.session

    endpoints = botocore.session.get_session().get_data("endpoints")
    for entry in endpoints["partitions"]:
        if region in entry["regions"]:
            return entry["regions"][region]["description"]
    return region


def _partition(cloud: Cloud, arguments: Values) -> Values:
    name = partition(cloud.settings.region)
    suffix = _SUFFIXES[name]
    reverse = ".".join(reversed(suffix.split(".")))
    return {"partition": name, "dnsSuffix": suffix, "reverseDnsPrefix": reverse, "id": name}


def _policy_document(cloud: Cloud, arguments: Values) -> Values:
    document: Values = {"Version": arguments.get("version") or "2012-10-17"}
    if arguments.get("policyId"):
        document["Id"] = arguments["policyId"]
    statements: list[Values] = []
    for source in _sources(arguments, "sourceJson", "sourcePolicyDocuments"):
        _overlay(document, statements, source)
    for statement in arguments.get("statements") or []:
        _put(statements, _statement(statement))
    for source in _sources(arguments, "overrideJson", "overridePolicyDocuments"):
        _overlay(document, statements, source)
    document["Statement"] = statements
    text = json.dumps(document, indent=2)
    minified = json.dumps(document, separators=(",", ":"))
    digest = 0
    for byte in text.encode():
        digest = (digest * 31 + byte) % 2**32
    return {**arguments, "json": text, "minifiedJson": minified, "id": str(digest)}


def _sources(arguments: Values, single: str, several: str) -> list[Values]:
    texts = [arguments.get(single), *(arguments.get(several) or [])]
    return [json.loads(text) for text in texts if text]


def _overlay(document: Values, statements: list[Values], source: Values) -> None:
    for key in ("Version", "Id"):
        if source.get(key):
            document[key] = source[key]
    own = source.get("Statement") or []
    for statement in own if isinstance(own, list) else [own]:
        _put(statements, statement)


def _put(statements: list[Values], statement: Values) -> None:
    """Add a statement; one with the Sid of an earlier one takes its place."""
    sid = statement.get("Sid")
    for index, other in enumerate(statements):
        if sid and other.get("Sid") == sid:
            statements[index] = statement
            return
    statements.append(statement)


def _statement(statement: Values) -> Values:
    result: Values = {}
    if statement.get("sid"):
        result["Sid"] = statement["sid"]
    result["Effect"] = statement.get("effect") or "Allow"
    for name, member in (
        ("actions", "Action"),
        ("notActions", "NotAction"),
        ("resources", "Resource"),
        ("notResources", "NotResource"),
    ):
        if statement.get(name):
            result[member] = _one_or_many(sorted(statement[name], reverse=True))
    for name, member in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
        if statement.get(name):
            result[member] = _principals(statement[name])
    if statement.get("conditions"):
        conditions: Values = {}
        for condition in statement["conditions"]:
            values = conditions.setdefault(condition["test"], {})
            values[condition["variable"]] = _one_or_many(condition["values"])
        result["Condition"] = conditions
    return result


def _one_or_many(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _principals(principals: list[Values]) -> Any:
    result: dict[str, list[str]] = {}
    for principal in principals:
        if principal["type"] == "*" and principal["identifiers"] == ["*"]:
            return "*"
        result.setdefault(principal["type"], []).extend(principal["identifiers"])
    return {kind: _one_or_many(sorted(names, reverse=True)) for kind, names in result.items()}


FUNCTIONS: dict[str, Callable[[Cloud, Values], Values]] = {
    "aws:iam/getPolicyDocument:getPolicyDocument": _policy_document,
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getPartition:getPartition": _partition,
    "aws:index/getRegion:getRegion": _region,
}
