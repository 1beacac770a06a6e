"""Vertex AI: models with versions, endpoints with deployed models, predictions by the real serving program.

Sources: Vertex AI API reference v1 and the guides named in the modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.google.vertex import endpoints, jobs, metrics, models, monitors, pipelines, prediction, schedules
from sandbox.google.vertex.api import api
from sandbox.google.vertex.hosting import hosting_of

if TYPE_CHECKING:
    from sandbox.google.emulator import Emulator

__all__ = [
    "api",
    "endpoints",
    "jobs",
    "metrics",
    "models",
    "monitors",
    "pipelines",
    "prediction",
    "prepare",
    "schedules",
]


def prepare(emulator: Emulator) -> None:
    """Look after the containers, report what they use, and start what is due, while the emulator runs."""
    emulator.in_background(hosting_of(emulator).watch)
    emulator.in_background(lambda: metrics.watch(emulator))
    emulator.in_background(lambda: schedules.watch(emulator))
