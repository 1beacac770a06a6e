"""Vertex AI."""

from sandbox.google.api import Api

api = Api("aiplatform", "v1", "google.cloud.aiplatform.v1", "GoogleCloudAiplatformV1", numbered=True)
