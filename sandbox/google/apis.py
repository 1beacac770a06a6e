"""Every API that the emulator answers, in the order in which a path without a host is looked up."""

from __future__ import annotations

from sandbox.google import (
    bigquery,
    eventarc,
    iam,
    kms,
    logs,
    monitoring,
    pubsub,
    resourcemanager,
    scheduler,
    services,
    storage,
    vertex,
    workflows,
)
from sandbox.google.emulator import Emulator

MODULES = (
    storage,
    bigquery,
    vertex,
    services,
    monitoring,
    pubsub,
    scheduler,
    iam,
    resourcemanager,
    kms,
    workflows,
    eventarc,
    logs,
)


def prepare(emulator: Emulator) -> None:
    """Give each API its state in an emulator."""
    for module in MODULES:
        if hasattr(module, "prepare"):
            module.prepare(emulator)
