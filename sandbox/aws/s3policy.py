"""Bucket policies with their conditions.

moto ignores `Condition`, so the usual "deny what is not sent over TLS" locks everyone out. Source: Amazon S3
user guide, "Bucket policies", and IAM user guide, "IAM JSON policy elements: Condition operators".

The sandbox speaks plain http on loopback, where nothing crosses a wire: such a request counts as sent over TLS
(`aws:SecureTransport` is true). A request with the header `X-Sandbox-Secure-Transport: false` says of itself that
it is insecure, and is judged so. moto asks for the policy when objects are read, written or deleted, not for
actions on the bucket itself.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket

_current = threading.local()


@contextmanager
def request(environ: dict[str, Any]) -> Iterator[None]:
    """Judge bucket policies by this request while it runs."""
    _current.environ = environ
    try:
        yield
    finally:
        _current.environ = {}


def _context() -> dict[str, str]:
    environ: dict[str, Any] = getattr(_current, "environ", {})
    insecure = environ.get("HTTP_X_SANDBOX_SECURE_TRANSPORT", "").lower() == "false"
    found = {"aws:securetransport": "false" if insecure else "true", "aws:sourceip": "127.0.0.1"}
    for name, value in environ.items():
        if name.startswith("HTTP_X_AMZ_"):
            found["s3:" + name.removeprefix("HTTP_").replace("_", "-").lower()] = str(value)
    return found


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _matches(patterns: Any, value: str, ignore_case: bool = False) -> bool:
    fold = str.lower if ignore_case else str
    return any(fnmatch.fnmatchcase(fold(value), fold(pattern).replace("[", "[[]")) for pattern in _list(patterns))


def _condition_holds(operator: str, key: str, expected: Any, context: dict[str, str]) -> bool:
    if_exists = operator.endswith("IfExists")
    name = operator.removesuffix("IfExists")
    actual = context.get(key.lower())
    if name == "Null":
        return (actual is None) == (_list(expected)[0].lower() == "true")
    if actual is None:
        # An absent key fails every operator but the negated ones.
        return if_exists or "Not" in name
    wanted = _list(expected)
    match name:
        case "Bool":
            return actual.lower() in [item.lower() for item in wanted]
        case "StringEquals" | "ArnEquals":
            return actual in wanted
        case "StringNotEquals":
            return actual not in wanted
        case "StringEqualsIgnoreCase":
            return actual.lower() in [item.lower() for item in wanted]
        case "StringLike" | "ArnLike":
            return _matches(wanted, actual)
        case "StringNotLike":
            return not _matches(wanted, actual)
        case "NumericLessThan":
            return float(actual) < float(wanted[0])
        case _:
            # TLS versions, dates and networks: nothing on loopback violates them.
            return False


def decide(policy: dict[str, Any], action: str, resource: str, context: dict[str, str]) -> PermissionResult:
    """What a bucket policy says about an action: an explicit Deny wins over any Allow."""
    statements = policy.get("Statement", [])
    result = PermissionResult.NEUTRAL
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", "*")
        everyone = principal == "*" or (isinstance(principal, dict) and "*" in _list(principal.get("AWS", [])))
        acted = (
            _matches(statement["Action"], action, ignore_case=True)
            if "Action" in statement
            else not _matches(statement.get("NotAction", []), action, ignore_case=True)
        )
        concerned = (
            _matches(statement["Resource"], resource)
            if "Resource" in statement
            else not _matches(statement.get("NotResource", []), resource)
        )
        holds = all(
            _condition_holds(operator, key, expected, context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        )
        if not (everyone and acted and concerned and holds):
            continue
        if statement.get("Effect") == "Deny":
            return PermissionResult.DENIED
        result = PermissionResult.PERMITTED
    return result


def _get_permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    # S3 reads of an object's head are GetObject's; moto asks for an action that does not exist.
    asked = "s3:GetObject" if action == "s3:HeadObject" else action
    result = decide(json.loads(bucket.policy), asked, resource, _context())
    method = getattr(_current, "environ", {}).get("REQUEST_METHOD")
    if result == PermissionResult.DENIED and method != "POST":
        # moto would answer an empty 403. DeleteObjects, a POST, tells each key's refusal in its answer.
        raise S3AccessDeniedError
    return result


FakeBucket.get_permission = _get_permission
