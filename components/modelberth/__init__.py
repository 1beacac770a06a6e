"""The same model endpoint, bucket, alarms and retraining on every platform."""

from .args import (
    ArtifactBucketArgs,
    ModelDeploymentArgs,
    ModelEndpointArgs,
    MonitoringAlarmsArgs,
    RetrainingScheduleArgs,
)
from .artifact_bucket import ArtifactBucket
from .errors import SpecificationError
from .model_deployment import ModelDeployment
from .model_endpoint import ModelEndpoint
from .monitoring_alarms import MonitoringAlarms
from .retraining_schedule import RetrainingSchedule
from .stack import deploy_stack

__all__ = [
    "ArtifactBucket",
    "ArtifactBucketArgs",
    "ModelDeployment",
    "ModelDeploymentArgs",
    "ModelEndpoint",
    "ModelEndpointArgs",
    "MonitoringAlarms",
    "MonitoringAlarmsArgs",
    "RetrainingSchedule",
    "RetrainingScheduleArgs",
    "SpecificationError",
    "deploy_stack",
]
