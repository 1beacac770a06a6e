"""The APIs that the resources are made by."""

from sandbox.providers.gcp.cloud import Service

IAM = Service("IAM", "iam.v1", "iam", "https://iam.googleapis.com/v1/")
RESOURCE_MANAGER = Service(
    "Resource Manager", "cloudresourcemanager.v1", "resourceManager", "https://cloudresourcemanager.googleapis.com/v1/"
)
STORAGE = Service("Cloud Storage", "storage.v1", "storage", "https://storage.googleapis.com/storage/v1/")
VERTEX = Service("Vertex AI", "aiplatform.v1", "vertexAi", "https://{region}-aiplatform.googleapis.com/v1/")

SERVICES = {service.title: service for service in (IAM, RESOURCE_MANAGER, STORAGE, VERTEX)}
"""By the name that a resource's rules have."""
