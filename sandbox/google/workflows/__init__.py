"""Workflows: programs of steps that call APIs, and their executions.

Sources: Workflows API v1, Workflow Executions API v1 and the guides named in the modules.
"""

from sandbox.google.workflows import definitions, executions
from sandbox.google.workflows.api import api, running

__all__ = ["api", "definitions", "executions", "running"]
