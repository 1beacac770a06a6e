"""The lines of the two APIs: workflows, and their executions."""

from __future__ import annotations

from sandbox.google.api import Api

WORKFLOWS = "projects.locations.workflows"
EXECUTIONS = f"{WORKFLOWS}.executions"


def not_found(kind: str, name: str) -> str:
    """What Google answers for what does not exist."""
    return f"Resource '{name}' was not found"


api = Api("workflows", "v1", "google.cloud.workflows.v1", not_found=not_found)
running = Api("workflowexecutions", "v1", "google.cloud.workflows.executions.v1", numbered=True, not_found=not_found)
