"""Each platform's routes, one module each.

A contract is a module with `routes(service) -> list[Route]`. It reads the platform's paths and
envelopes, and leaves rows, predictions and readiness to the service. All contracts are served at once,
because their paths do not collide; only Vertex's are the user's to choose, and come first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import Route

    from model_packaging.serving.service import Service

CONTRACTS = {
    "vertex": "model_packaging.serving.contracts.vertex",
    "azure": "model_packaging.serving.contracts.azure",
    "kserve_v1": "model_packaging.serving.contracts.kserve_v1",
    "open_inference": "model_packaging.serving.contracts.open_inference",
    "sagemaker": "model_packaging.serving.contracts.sagemaker",
}


def routes(service: Service) -> list[Route]:
    """The routes of every contract."""
    return [route for module in CONTRACTS.values() for route in import_module(module).routes(service)]
