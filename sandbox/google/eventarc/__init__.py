"""Eventarc: triggers that hand the messages of a topic to a workflow.

Sources: Eventarc API v1, projects.locations.triggers; "Route Pub/Sub events to Workflows"; "Event retry policy" (24
hours). Other events than messages of Pub/Sub, other destinations than workflows, and channels are not emulated.
"""

from sandbox.google.eventarc import triggers
from sandbox.google.eventarc.triggers import api

__all__ = ["api", "triggers"]
