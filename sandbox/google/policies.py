"""IAM policies of resources. Source: Cloud IAM reference, Policy."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import threading
from collections.abc import Callable, Collection
from typing import Any

from sandbox.google.errors import GoogleError, invalid

_MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers|(deleted:)?(user|serviceAccount|group|domain):[^\s:]+(\?uid=\d+)?"
    r"|project(Owner|Editor|Viewer):[^\s:]+|principal(Set)?://\S+"
)
_ROLE = re.compile(r"roles/[\w.]+|(projects|organizations)/[^/]+/roles/[\w.]+")


class Policies:
    """The policies, by full resource name."""

    def __init__(self) -> None:
        self._policies: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.knows_account: Callable[[str], bool] = lambda email: True
        """Whether a service account exists."""
        self.knows_role: Callable[[str], bool] = lambda role: True
        """Whether a custom role exists."""

    def get(self, resource: str) -> dict[str, Any]:
        """The policy; an empty one with its etag where none was set."""
        with self._lock:
            return copy.deepcopy(self._policies.get(resource, {"version": 1, "etag": "ACAB"}))

    def set(self, resource: str, given: dict[str, Any]) -> dict[str, Any]:
        """Replace the policy. Raises ABORTED for an etag of another state, INVALID_ARGUMENT for a bad binding."""
        for binding in given.get("bindings", []):
            role = str(binding.get("role", ""))
            if not _ROLE.fullmatch(role):
                raise invalid(f"Role {role} is not supported for this resource.")
            if not self.knows_role(role):
                raise invalid(f"Role ({role}) does not exist in the resource's hierarchy.")
            for member in binding.get("members", []):
                if not _MEMBER.fullmatch(member):
                    raise invalid(f"The member {member} is of an unknown type. Please set a valid type prefix.")
                kind, _, email = member.partition(":")
                if kind == "serviceAccount" and not self.knows_account(email):
                    raise invalid(f"Service account {email} does not exist.")
        with self._lock:
            current = self._policies.get(resource, {"version": 1, "etag": "ACAB"})
            if given.get("etag") and given["etag"] != current["etag"]:
                raise GoogleError(
                    "ABORTED",
                    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
                    "backoff.",
                )
            bindings = [binding for binding in given.get("bindings", []) if binding.get("members")]
            content = {**given, "bindings": bindings, "version": given.get("version") or 1}
            content.pop("etag", None)
            tag = hashlib.sha256((current["etag"] + json.dumps(content, sort_keys=True)).encode()).digest()[:8]
            self._policies[resource] = {**content, "etag": base64.b64encode(tag).decode()}
            return copy.deepcopy(self._policies[resource])

    def grants(self, member: str, roles: Collection[str], *resources: str) -> bool:
        """Whether the policy of one of the resources gives a member one of the roles, without a condition."""
        with self._lock:
            return any(
                binding["role"] in roles and member in binding["members"] and not binding.get("condition")
                for resource in resources
                for binding in self._policies.get(resource, {}).get("bindings", [])
            )

    def mark_deleted(self, email: str, number: str) -> None:
        """A service account is gone: the policies name it as a deleted one."""
        member = f"serviceAccount:{email}"
        with self._lock:
            for policy in self._policies.values():
                for binding in policy["bindings"]:
                    binding["members"] = [
                        f"deleted:{one}?uid={number}" if one == member else one for one in binding["members"]
                    ]

    def forget(self, resource: str) -> None:
        """A resource is gone, and with it its policy."""
        with self._lock:
            self._policies.pop(resource, None)
