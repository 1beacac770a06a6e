"""Custom jobs of Vertex AI, as plain dictionaries: what the schedule posts, and what an alarm starts.

Source: Vertex AI REST reference v1, projects.locations.customJobs.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

Json = dict[str, Any]

MOST_RUNTIME = timedelta(days=7)
"""How long a custom job may run at the most, if nothing else is agreed."""


@dataclass(frozen=True)
class Job:
    """One program that runs to its end.

    Attributes:
        name: The name that people see, and by which all runs of the same job are found.
        image: What runs.
        arguments: What follows `modelberth`.
        environment: Its variables.
        machine: The machine.
        disk_gb: Its disk, in GB.
        timeout: When a run is ended.
        account: The email of the account that it runs as.
        labels: What the run is found by.
        key: The customer's key that encrypts the run's disk, if there is one.
    """

    name: str
    image: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    machine: str
    disk_gb: int
    timeout: timedelta
    account: str
    labels: Mapping[str, str]
    key: str | None = None


def body(job: Job) -> Json:
    """Return the request's body that starts a run."""
    # The platform's own name of a run, which Vertex AI fills in.
    variables = {**job.environment, "MODELBERTH_EXECUTION": "$(CLOUD_ML_JOB_ID)"}
    found: Json = {
        "displayName": job.name,
        "labels": dict(job.labels),
        "jobSpec": {
            "workerPoolSpecs": [
                {
                    "machineSpec": {"machineType": job.machine},
                    "replicaCount": "1",
                    "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": job.disk_gb},
                    "containerSpec": {
                        "imageUri": job.image,
                        "command": ["modelberth"],
                        "args": list(job.arguments),
                        "env": [{"name": key, "value": variables[key]} for key in sorted(variables)],
                    },
                }
            ],
            "scheduling": {"timeout": f"{round(job.timeout.total_seconds())}s"},
            "serviceAccount": job.account,
        },
    }
    if job.key is not None:
        found["encryptionSpec"] = {"kmsKeyName": job.key}
    return found


def encoded(job: Json) -> str:
    """Return a request's body as Cloud Scheduler keeps it."""
    return base64.b64encode(json.dumps(job, sort_keys=True).encode()).decode()


def workflow(address: str, job: Json) -> Json:
    """Return the workflow that starts a run when an alert opens, of the message that Cloud Monitoring publishes.

    Args:
        address: Where runs are started.
        job: The request's body.
    """
    return {
        "main": {
            "params": ["event"],
            "steps": [
                {
                    "read": {
                        "assign": [
                            {"notification": "${json.decode(base64.decode(event.data.message.data))}"},
                            # As text, in which nothing is taken for an expression.
                            {"job": encoded(job)},
                        ]
                    }
                },
                {
                    "only_opened": {
                        "switch": [{"condition": '${notification.incident.state != "open"}', "return": "not open"}]
                    }
                },
                {
                    "start": {
                        "try": {
                            "call": "http.post",
                            "args": {
                                "url": address,
                                "auth": {"type": "OAuth2"},
                                "body": "${json.decode(base64.decode(job))}",
                            },
                            "result": "started",
                        },
                        "retry": "${http.default_retry}",
                    }
                },
                {"done": {"return": "${started.body.name}"}},
            ],
        }
    }
