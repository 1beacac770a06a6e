"""Google's errors, as its APIs answer them.

Source: Google Cloud API design guide, "Errors" (google.rpc.Status, the codes and their HTTP mapping, the details'
types BadRequest, ErrorInfo, Help and QuotaFailure).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
RPC_CODE = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
_TYPE = "type.googleapis.com/google.rpc."

Violation = tuple[str, str]
"""A field's path and what is wrong with it."""


class GoogleError(Exception):
    """An error of an API: `status` is a name of google.rpc.Code, `reason` the older APIs' word for it."""

    def __init__(
        self,
        status: str,
        message: str,
        details: Sequence[dict[str, Any]] = (),
        *,
        http: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = list(details)
        self.http = http or HTTP_STATUS[status]
        self.reason = reason

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body."""
        error: dict[str, Any] = {"code": self.http, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = self.details
        return {"error": error}

    @property
    def rpc(self) -> dict[str, Any]:
        """The error as a google.rpc.Status, such as a failed operation holds."""
        found: dict[str, Any] = {"code": RPC_CODE[self.status], "message": self.message}
        return found | ({"details": self.details} if self.details else {})


def invalid(message: str, violations: Sequence[Violation] = ()) -> GoogleError:
    """An INVALID_ARGUMENT, with the fields it is about."""
    return GoogleError("INVALID_ARGUMENT", message, [bad_request(violations)] if violations else [])


def precondition(message: str) -> GoogleError:
    """A FAILED_PRECONDITION."""
    return GoogleError("FAILED_PRECONDITION", message)


def bad_request(violations: Sequence[Violation]) -> dict[str, Any]:
    """The detail that names fields."""
    found = [{"field": field, "description": text} if field else {"description": text} for field, text in violations]
    return {"@type": f"{_TYPE}BadRequest", "fieldViolations": found}


def error_info(reason: str, domain: str, **metadata: str) -> dict[str, Any]:
    """The detail that names the cause for machines."""
    return {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata}


def help_link(description: str, url: str) -> dict[str, Any]:
    """The detail that tells where to go."""
    return {"@type": f"{_TYPE}Help", "links": [{"description": description, "url": url}]}
