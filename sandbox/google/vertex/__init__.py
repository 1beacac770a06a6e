"""Vertex AI: models with versions, endpoints with deployed models, predictions by the real serving program.

Sources: Vertex AI API reference v1 and the guides named in the modules.
"""

from sandbox.google.vertex import endpoints, models, prediction
from sandbox.google.vertex.api import api
from sandbox.google.vertex.hosting import prepare

__all__ = ["api", "endpoints", "models", "prediction", "prepare"]
