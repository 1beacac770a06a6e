"""Every resource type that the provider knows, by its token."""

from sandbox.providers.aws.resources import (
    appautoscaling,
    cloudwatch,
    ecr,
    events,
    iam,
    kms,
    logs,
    s3,
    sagemaker,
    scheduler,
    sns,
    sqs,
)
from sandbox.providers.resource import Resource

RESOURCES: dict[str, Resource] = {
    resource.token: resource
    for module in (
        appautoscaling,
        cloudwatch,
        ecr,
        events,
        iam,
        kms,
        logs,
        s3,
        sagemaker,
        scheduler,
        sns,
        sqs,
    )
    for resource in module.RESOURCES
}
