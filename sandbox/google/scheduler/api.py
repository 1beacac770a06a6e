"""The API's line."""

from __future__ import annotations

from sandbox.google.api import Api

JOBS = "projects.locations.jobs"
api = Api("cloudscheduler", "v1", "google.cloud.scheduler.v1", not_found=lambda kind, name: "Job not found.")
