"""An ECR repository for the container image, unless the stack's configuration names an image elsewhere."""

import json

import pulumi
import pulumi_aws as aws

from ...names import physical_name
from ...spec import StackSpec
from .policies import image_repository

_KEPT_IMAGES = 20


def is_own(image: object) -> bool:
    """Whether an image lies in the repository that `provision` makes, so that the stack must keep it."""
    arn = image_repository(image) if isinstance(image, str) else None
    return arn is not None and arn.endswith(f":repository/{_name()}")


def _name() -> str:
    return physical_name("modelberth", longest=100)


def provision(name: str, spec: StackSpec) -> pulumi.Output[str]:
    """Make the repository and return its address, for `modelberth image build --push --repository`."""
    repository = aws.ecr.Repository(
        name,
        name=_name(),
        # A tag always means the same image, so that what was deployed can be told from its reference.
        image_tag_mutability="IMMUTABLE",
        image_scanning_configuration={"scan_on_push": True},
        force_delete=spec.development,
        tags=spec.tags,
        opts=pulumi.ResourceOptions(protect=not spec.development),
    )
    aws.ecr.LifecyclePolicy(
        f"{name}-expiry",
        repository=repository.name,
        policy=json.dumps(
            {
                "rules": [
                    {
                        "rulePriority": 1,
                        "description": f"Keep the newest {_KEPT_IMAGES} images",
                        "selection": {
                            "tagStatus": "any",
                            "countType": "imageCountMoreThan",
                            "countNumber": _KEPT_IMAGES,
                        },
                        "action": {"type": "expire"},
                    }
                ]
            }
        ),
    )
    return repository.repository_url
