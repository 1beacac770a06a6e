"""The API's line, and the rules that topics and subscriptions share."""

from __future__ import annotations

import re

from sandbox.google.api import Api, Call
from sandbox.google.errors import GoogleError, invalid

TOPICS = "projects.topics"
SUBSCRIPTIONS = "projects.subscriptions"
DELETED_TOPIC = "_deleted-topic_"

_NAME = re.compile(r"projects/[^/]+/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


def not_found(kind: str, name: str) -> str:
    """What Pub/Sub answers for a resource that does not exist."""
    return f"Resource not found (resource={name.rpartition('/')[2]})."


api = Api("pubsub", "v1", "google.pubsub.v1", not_found=not_found)


def new_name(call: Call) -> str:
    """The name that a creation asks for; raises INVALID_ARGUMENT for a bad one and ALREADY_EXISTS."""
    name = call.canonical(call.name)
    if not _NAME.fullmatch(name):
        raise invalid(
            f"Invalid resource name given (name={name}). Refer to "
            "https://cloud.google.com/pubsub/docs/admin#resource_names for more information."
        )
    if name in call.table():
        raise GoogleError(
            "ALREADY_EXISTS", f"Resource already exists in the project (resource={name.rpartition('/')[2]})."
        )
    return name


def forget_policy(call: Call, resource: dict[str, object]) -> None:
    """A deleted resource has no policy."""
    call.emulator.policies.forget(f"//pubsub.googleapis.com/{resource['name']}")
