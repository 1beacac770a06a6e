"""Every resource type that the provider knows."""

from sandbox.providers.gcp.resources import iam, storage, vertex
from sandbox.providers.resource import Resource

RESOURCES: dict[str, Resource] = {rules.token: rules for module in (iam, storage, vertex) for rules in module.RESOURCES}
