"""The APIs that the resources are made by. Source of the addresses: the Terraform provider's products."""

from sandbox.providers.gcp.cloud import Service

ARTIFACT_REGISTRY = Service(
    "Artifact Registry", "artifactregistry.v1", "artifactRegistry", "https://artifactregistry.googleapis.com/v1/"
)
BIGQUERY = Service("BigQuery", "bigquery.v2", "bigQuery", "https://bigquery.googleapis.com/bigquery/v2/")
COLAB = Service("Vertex AI schedules", "aiplatform.v1", "colab", "https://{region}-aiplatform.googleapis.com/v1/")
DASHBOARDS = Service("Cloud Monitoring dashboards", "monitoring.v1", "monitoring", "https://monitoring.googleapis.com/")
EVENTARC = Service("Eventarc", "eventarc.v1", "eventarc", "https://eventarc.googleapis.com/v1/")
IAM = Service("IAM", "iam.v1", "iam", "https://iam.googleapis.com/v1/")
KMS = Service("Cloud KMS", "cloudkms.v1", "kms", "https://cloudkms.googleapis.com/v1/")
LOGGING = Service("Cloud Logging", "logging.v2", "logging", "https://logging.googleapis.com/v2/")
MONITORING = Service("Cloud Monitoring", "monitoring.v3", "monitoring", "https://monitoring.googleapis.com/")
PUBSUB = Service("Pub/Sub", "pubsub.v1", "pubsub", "https://pubsub.googleapis.com/v1/")
RESOURCE_MANAGER = Service(
    "Resource Manager", "cloudresourcemanager.v1", "resourceManager", "https://cloudresourcemanager.googleapis.com/v1/"
)
SCHEDULER = Service(
    "Cloud Scheduler", "cloudscheduler.v1", "cloudScheduler", "https://cloudscheduler.googleapis.com/v1/"
)
SERVICE_USAGE = Service("Service Usage", "serviceusage.v1", "serviceUsage", "https://serviceusage.googleapis.com/v1/")
STORAGE = Service("Cloud Storage", "storage.v1", "storage", "https://storage.googleapis.com/storage/v1/")
VERTEX = Service("Vertex AI", "aiplatform.v1", "vertexAi", "https://{region}-aiplatform.googleapis.com/v1/")
WORKFLOWS = Service("Workflows", "workflows.v1", "workflows", "https://workflows.googleapis.com/v1/")

SERVICES = {
    service.title: service
    for service in (
        ARTIFACT_REGISTRY,
        BIGQUERY,
        COLAB,
        DASHBOARDS,
        EVENTARC,
        IAM,
        KMS,
        LOGGING,
        MONITORING,
        PUBSUB,
        RESOURCE_MANAGER,
        SCHEDULER,
        SERVICE_USAGE,
        STORAGE,
        VERTEX,
        WORKFLOWS,
    )
}
"""By the name that a resource's rules have."""
