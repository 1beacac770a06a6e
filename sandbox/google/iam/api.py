"""The API's line."""

from __future__ import annotations

from sandbox.google.api import Api

ACCOUNTS = "projects.serviceAccounts"
ROLES = "projects.roles"
KEYS = "projects.serviceAccounts.keys"


def not_found(kind: str, name: str) -> str:
    """What IAM answers for an account or key that does not exist."""
    return "Unknown service account" if kind == "service account" else f"{kind.capitalize()} {name} does not exist."


api = Api("iam", "v1", "google.iam.admin.v1", not_found=not_found)
