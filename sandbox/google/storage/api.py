"""The API's line, and its form of errors. Source: "Cloud Storage JSON API, HTTP status and error codes"."""

from __future__ import annotations

from typing import Any

from sandbox.google.api import Api
from sandbox.google.errors import GoogleError

_REASONS = {
    "INVALID_ARGUMENT": "invalid",
    "UNAUTHENTICATED": "required",
    "PERMISSION_DENIED": "forbidden",
    "NOT_FOUND": "notFound",
    "ALREADY_EXISTS": "conflict",
    "FAILED_PRECONDITION": "conditionNotMet",
    "RESOURCE_EXHAUSTED": "rateLimitExceeded",
    "INTERNAL": "internalError",
    "UNAVAILABLE": "backendError",
}


def _error(error: GoogleError) -> dict[str, Any]:
    reason = error.reason or _REASONS.get(error.status, "backendError")
    one = {"message": error.message, "domain": "global", "reason": reason}
    return {"error": {"code": error.http, "message": error.message, "errors": [one]}}


# With STORAGE_EMULATOR_HOST set Google's clients send no credentials, so none are asked for.
api = Api("storage", "v1", "google.storage.v1", anonymous=True, error_body=_error, merges=True)


def not_found(message: str) -> GoogleError:
    return GoogleError("NOT_FOUND", message)


def condition_not_met(message: str = "At least one of the pre-conditions you specified did not hold.") -> GoogleError:
    return GoogleError("FAILED_PRECONDITION", message, http=412)


def not_modified() -> GoogleError:
    return GoogleError("FAILED_PRECONDITION", "Not Modified", http=304)


def conflict(message: str) -> GoogleError:
    return GoogleError("ALREADY_EXISTS", message)
