"""Every resource type that the provider knows."""

from sandbox.providers.gcp.resources import bigquery, iam, kms, messages, monitoring, projects, storage, vertex
from sandbox.providers.resource import Resource

_MODULES = (bigquery, iam, kms, messages, monitoring, projects, storage, vertex)
RESOURCES: dict[str, Resource] = {rules.token: rules for module in _MODULES for rules in module.RESOURCES}
