"""A Pulumi program with what a model on Vertex AI is made of, by the Google Cloud provider and the project's own."""

import json

import pulumi
import pulumi_gcp as gcp
from modelberth import vertex

config = pulumi.Config()
revision = config.get("revision") or "one"
project, region = gcp.config.project, gcp.config.region
agent = gcp.storage.get_project_service_account()

bucket = gcp.storage.Bucket(
    "models",
    location=region,
    uniform_bucket_level_access=True,
    public_access_prevention="enforced",
    versioning={"enabled": True},
    soft_delete_policy={"retention_duration_seconds": 0},
    lifecycle_rules=[
        {"action": {"type": "Delete"}, "condition": {"days_since_noncurrent_time": 30, "with_state": "ARCHIVED"}},
        {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}},
    ],
    force_destroy=True,
    labels={"revision": revision},
)
files = [
    gcp.storage.BucketObject("text", bucket=bucket.name, name="model/text.txt", content=revision),
    gcp.storage.BucketObject("asset", bucket=bucket.name, name="model/asset", source=pulumi.StringAsset(revision)),
]
gcp.storage.BucketIAMMember(
    "reader",
    bucket=bucket.name,
    role="roles/storage.objectViewer",
    member=agent.member,
    condition={
        "title": "models",
        "expression": bucket.name.apply(lambda name: f'resource.name.startsWith("projects/_/buckets/{name}/objects/")'),
    },
)
topic = gcp.pubsub.Topic("alerts", labels={"revision": revision})
gcp.pubsub.Subscription("alerts", topic=topic.id, ack_deadline_seconds=20)
gcp.pubsub.TopicIAMMember("alerts", topic=topic.name, role="roles/pubsub.publisher", member=agent.member)
gcp.cloudscheduler.Job(
    "weekly",
    schedule="0 3 * * 1" if revision == "one" else "0 4 * * 1",
    time_zone="Europe/Prague",
    pubsub_target={"topic_name": topic.id, "data": "e30="},
)
channel = gcp.monitoring.NotificationChannel("mail", type="email", labels={"email_address": "ml@example.org"})
endpoint = gcp.vertex.AiEndpoint(
    "endpoint",
    name="4242",
    display_name=revision,
    location=region,
    opts=pulumi.ResourceOptions(ignore_changes=["trafficSplit"]),
)
policy = gcp.monitoring.AlertPolicy(
    "errors",
    display_name="errors",
    combiner="OR",
    conditions=[
        {
            "display_name": "errors",
            "condition_threshold": {
                "filter": endpoint.name.apply(
                    lambda name: (
                        'resource.type = "aiplatform.googleapis.com/Endpoint" AND resource.labels.endpoint_id = '
                        f'"{name}" AND metric.type = "aiplatform.googleapis.com/prediction/online/error_count"'
                    )
                ),
                "comparison": "COMPARISON_GT",
                "threshold_value": 1 if revision == "one" else 2,
                "duration": "0s",
                "aggregations": [{"alignment_period": "60s", "per_series_aligner": "ALIGN_DELTA"}],
            },
        }
    ],
    notification_channels=[channel.name],
)
gcp.monitoring.Dashboard(
    "dashboard", dashboard_json=json.dumps({"displayName": revision, "gridLayout": {"widgets": [{"title": "a"}]}})
)
gcp.monitoring.MetricDescriptor(
    "drift", type="custom.googleapis.com/drift", metric_kind="GAUGE", value_type="DOUBLE", description=revision
)
dataset = gcp.bigquery.Dataset("requests", dataset_id="requests", location=region, description=revision)
gcp.bigquery.Table(
    "requests",
    dataset_id=dataset.dataset_id,
    table_id="requests",
    schema=json.dumps([{"name": "at", "type": "TIMESTAMP"}]),
    deletion_protection=False,
)
gcp.projects.Service("run", service="run.googleapis.com")

model = vertex.Model(
    "model",
    display_name="model",
    project=project,
    location=region,
    container_spec=vertex.ContainerSpecArgs(image_uri=config.require("image")),
    opts=pulumi.ResourceOptions(depends_on=files),
)
deployed = vertex.DeployedModel(
    "model",
    endpoint=endpoint.id,
    model=model.version_name,
    project=project,
    location=region,
    dedicated_resources=vertex.DedicatedResourcesArgs(
        machine_spec=vertex.MachineSpecArgs(machine_type="n1-standard-2"), min_replica_count=1
    ),
)
pulumi.export("bucket", bucket.name)
pulumi.export("endpoint", endpoint.name)
pulumi.export("policy", policy.name)
