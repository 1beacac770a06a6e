"""One of each resource: its inputs, and what is changed in them."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.gcp_provider.conftest import PROJECT, REGION

Values = dict[str, Any]
DASHBOARD = {"displayName": "one", "gridLayout": {"widgets": [{"title": "a", "text": {"content": "b"}}]}}
PIPELINE = {
    "pipelineInfo": {"name": "retrain"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.14.0",
    "root": {"dag": {"tasks": {"one": {"taskInfo": {"name": "one"}, "componentRef": {"name": "comp-one"}}}}},
    "components": {"comp-one": {"executorLabel": "exec-one"}},
    "deploymentSpec": {
        "executors": {"exec-one": {"container": {"image": f"{REGION}-docker.pkg.dev/{PROJECT}/images/modelberth:1"}}}
    },
}
POLICY: Values = {
    "displayName": "errors",
    "combiner": "OR",
    "conditions": [
        {
            "displayName": "many",
            "conditionThreshold": {
                "filter": (
                    'resource.type = "aiplatform.googleapis.com/Endpoint" AND metric.type = '
                    '"aiplatform.googleapis.com/prediction/online/error_count"'
                ),
                "comparison": "COMPARISON_GT",
                "thresholdValue": 0.0,
                "duration": "0s",
                "aggregations": [{"alignmentPeriod": "60s", "perSeriesAligner": "ALIGN_RATE"}],
            },
        }
    ],
    "documentation": {"content": "Look.", "mimeType": "text/markdown"},
    "alertStrategy": {"autoClose": "1800s"},
    "userLabels": {"team": "ml"},
}
SAMPLES: dict[str, tuple[Values, Values]] = {
    "gcp:artifactregistry/repository:Repository": (
        {
            "repositoryId": "images",
            "location": REGION,
            "format": "DOCKER",
            "dockerConfig": {"immutableTags": True},
            "cleanupPolicies": [{"id": "keep", "action": "KEEP", "mostRecentVersions": {"keepCount": 20}}],
        },
        {"description": "images", "labels": {"team": "ml"}},
    ),
    "gcp:bigquery/dataset:Dataset": (
        {"datasetId": "requests", "location": REGION, "labels": {"team": "ml"}, "defaultTableExpirationMs": 3600000},
        {"description": "requests and answers", "defaultTableExpirationMs": 7200000},
    ),
    "gcp:bigquery/table:Table": (
        {
            "datasetId": "holder",
            "tableId": "rows",
            "schema": json.dumps([{"name": "at", "type": "TIMESTAMP"}, {"name": "count", "type": "INT64"}]),
            "timePartitioning": {"type": "DAY", "field": "at"},
            "deletionProtection": False,
        },
        {"description": "rows", "labels": {"team": "ml"}},
    ),
    "gcp:cloudscheduler/job:Job": (
        {
            "name": "weekly",
            "schedule": "0 3 * * 1",
            "timeZone": "Europe/Prague",
            "pubsubTarget": {"topicName": f"projects/{PROJECT}/topics/scheduled", "data": "e30="},
        },
        {"schedule": "0 4 * * 1", "paused": True},
    ),
    "gcp:colab/schedule:Schedule": (
        {
            "displayName": "weekly",
            "location": REGION,
            "cron": "0 3 * * 1",
            "maxConcurrentRunCount": "1",
            "createPipelineJobRequest": {
                "pipelineJob": {
                    "displayName": "retrain",
                    "runtimeConfig": {"gcsOutputDirectory": "gs://holder/runs"},
                    "pipelineSpec": json.dumps(PIPELINE),
                }
            },
        },
        {"cron": "0 4 * * 1", "desiredState": "PAUSED"},
    ),
    "gcp:eventarc/trigger:Trigger": (
        {
            "name": "drift",
            "location": REGION,
            "matchingCriterias": [{"attribute": "type", "value": "google.cloud.pubsub.topic.v1.messagePublished"}],
            "destination": {"workflow": f"projects/{PROJECT}/locations/{REGION}/workflows/retrain"},
            "serviceAccount": f"starter@{PROJECT}.iam.gserviceaccount.com",
        },
        {"labels": {"team": "ml"}},
    ),
    "gcp:kms/cryptoKey:CryptoKey": (
        {"name": "models", "keyRing": f"projects/{PROJECT}/locations/{REGION}/keyRings/holder"},
        {"labels": {"team": "ml"}, "rotationPeriod": "7776000s"},
    ),
    "gcp:logging/metric:Metric": (
        {"name": "errors/count", "filter": "severity>=ERROR"},
        {"filter": "severity>=CRITICAL", "description": "errors"},
    ),
    "gcp:monitoring/alertPolicy:AlertPolicy": (
        POLICY,
        {"enabled": False, "userLabels": {"team": "other"}, "alertStrategy": None},
    ),
    "gcp:monitoring/dashboard:Dashboard": (
        {"dashboardJson": json.dumps(DASHBOARD)},
        {"dashboardJson": json.dumps(DASHBOARD | {"displayName": "two"})},
    ),
    "gcp:monitoring/metricDescriptor:MetricDescriptor": (
        {
            "type": "custom.googleapis.com/modelberth/drift",
            "metricKind": "GAUGE",
            "valueType": "DOUBLE",
            "labels": [{"key": "feature", "valueType": "STRING", "description": "which"}],
            "description": "one",
        },
        {"description": "two"},
    ),
    "gcp:monitoring/notificationChannel:NotificationChannel": (
        {"type": "email", "displayName": "ml", "labels": {"email_address": "ml@example.org"}},
        {"displayName": "other", "enabled": False},
    ),
    "gcp:projects/iAMCustomRole:IAMCustomRole": (
        {"roleId": "predict", "title": "predict", "permissions": ["aiplatform.endpoints.predict"]},
        {"permissions": ["aiplatform.endpoints.get", "aiplatform.endpoints.predict"], "description": "asks"},
    ),
    "gcp:projects/service:Service": ({"service": "run.googleapis.com"}, {"disableOnDestroy": True}),
    "gcp:pubsub/subscription:Subscription": (
        {"name": "listener", "topic": "holder", "ackDeadlineSeconds": 20, "labels": {"team": "ml"}},
        {"ackDeadlineSeconds": 30, "labels": {}},
    ),
    "gcp:pubsub/topic:Topic": (
        {"name": "alerts", "labels": {"team": "ml"}, "messageRetentionDuration": "600s"},
        {"labels": {}, "messageRetentionDuration": "1200s"},
    ),
    "gcp:serviceaccount/account:Account": (
        {"accountId": "serve-flights", "displayName": "serve"},
        {"displayName": "serves", "description": "serves flights", "disabled": True},
    ),
    "gcp:vertex/aiEndpoint:AiEndpoint": (
        {"name": "42", "displayName": "one", "location": REGION, "labels": {"team": "ml"}},
        {"displayName": "two", "labels": {"stage": "dev"}},
    ),
}
"""By token: the inputs, and the changes of a later update."""
HOLDERS: dict[str, list[tuple[str, Values]]] = {
    "gcp:bigquery/table:Table": [("gcp:bigquery/dataset:Dataset", {"datasetId": "holder"})],
    "gcp:cloudscheduler/job:Job": [("gcp:pubsub/topic:Topic", {"name": "scheduled"})],
    "gcp:eventarc/trigger:Trigger": [
        ("gcp:serviceaccount/account:Account", {"accountId": "starter"}),
        (
            "gcp:workflows/workflow:Workflow",
            {"name": "retrain", "sourceContents": "main:\n  steps:\n    - end:\n        return: done\n"},
        ),
    ],
    "gcp:kms/cryptoKey:CryptoKey": [("gcp:kms/keyRing:KeyRing", {"name": "holder", "location": REGION})],
    "gcp:pubsub/subscription:Subscription": [("gcp:pubsub/topic:Topic", {"name": "holder"})],
}
"""By token: what must be there before."""
STAYS = {"gcp:kms/cryptoKey:CryptoKey"}
"""What Google keeps for ever."""
