"""Pieces of IAM policies: each function returns plain statements, and `document` puts them together.

Actions and condition keys are those of AWS's "Service Authorization Reference". Resources are always named, except
for the few actions that know no resource, which say so where they stand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Statement = dict[str, Any]
Document = dict[str, Any]

_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    r"/(?P<repository>[^:@\s]+)(?:[:@]\S+)?"
)
_KEY = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/\S+")


@dataclass(frozen=True)
class Place:
    """Where resources are: what every ARN begins with."""

    partition: str
    region: str
    account: str

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def bucket(self, name: str) -> str:
        """Return a bucket's ARN, which names neither account nor Region."""
        return f"arn:{self.partition}:s3:::{name}"


def document(*parts: Sequence[Statement]) -> Document:
    """Return a policy of all the statements of `parts`."""
    return {"Version": "2012-10-17", "Statement": [statement for part in parts for statement in part]}


def trust(service: str, account: str, source_arn: str | None = None) -> Document:
    """Return the trust policy of a role that an AWS service takes on.

    Args:
        service: The service's principal, such as `sagemaker.amazonaws.com`.
        account: The only account on whose behalf it may do so ("The confused deputy problem", IAM User Guide).
        source_arn: The only resource on whose behalf it may do so; a pattern with `*`.
    """
    conditions: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": account}}
    if source_arn is not None:
        conditions["ArnLike"] = {"aws:SourceArn": source_arn}
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sts:AssumeRole",
                "Condition": conditions,
            }
        ]
    )


def image_repository(image: str, partition: str = "aws") -> str | None:
    """Return the ARN of the ECR repository that an image reference names; nothing if it is no reference to ECR."""
    match = _IMAGE.fullmatch(image)
    if match is None:
        return None
    return f"arn:{partition}:ecr:{match['region']}:{match['account']}:repository/{match['repository']}"


def ecr_pull(image_repository_arn: str | None) -> list[Statement]:
    """Let images of one repository be pulled; no repository, no statement."""
    if image_repository_arn is None:
        return []
    return [
        {
            "Sid": "PullImage",
            "Effect": "Allow",
            "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": image_repository_arn,
        },
        # The token is the account's, not a repository's: this action knows no resource.
        {"Sid": "LogInToRegistry", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    ]


def logs_write(place: Place, *groups: str) -> list[Statement]:
    """Let logs be written to groups, such as `/aws/sagemaker/Endpoints/churn`; `*` may end a name."""
    return [
        {
            "Sid": "WriteLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            "Resource": [place.arn("logs", f"log-group:{group}{end}") for group in groups for end in ("", ":*")],
        }
    ]


def bucket_read(bucket_arn: str, prefixes: Sequence[str]) -> list[Statement]:
    """Let objects below `prefixes` be listed and read."""
    return [
        {
            "Sid": "ReadObjects",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"{bucket_arn}/{prefix}*" for prefix in prefixes],
        },
        {
            "Sid": "ListObjects",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket_arn,
            "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}},
        },
    ]


def bucket_write(bucket_arn: str, prefixes: Sequence[str]) -> list[Statement]:
    """Let objects below `prefixes` be written, in parts too. Nothing may be deleted."""
    return [
        {
            "Sid": "WriteObjects",
            "Effect": "Allow",
            "Action": ["s3:AbortMultipartUpload", "s3:PutObject"],
            "Resource": [f"{bucket_arn}/{prefix}*" for prefix in prefixes],
        }
    ]


def use_key(key_arn: str | None) -> list[Statement]:
    """Let data be encrypted and decrypted under a customer's key; no key, no statement.

    The grant is for the volumes of SageMaker's machines, which EC2 attaches on the role's behalf.
    """
    if key_arn is None:
        return []
    return [
        {
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
            "Resource": key_arn,
        },
        {
            "Sid": "LendKeyToVolumes",
            "Effect": "Allow",
            "Action": "kms:CreateGrant",
            "Resource": key_arn,
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
    ]


def check_key(key: object, where: str) -> list[str]:
    """Say what is wrong with a customer's key that is known already. IAM policies take a key by its own ARN only."""
    if not isinstance(key, str) or _KEY.fullmatch(key):
        return []
    return [f"{where}: {key!r} is no ARN of a KMS key: write arn:aws:kms:<region>:<account>:key/<id>, no alias"]


def metrics_write(*namespaces: str) -> list[Statement]:
    """Let metrics of these namespaces be written. The action knows no resource; the condition stands in for it."""
    return [
        {
            "Sid": "WriteMetrics",
            "Effect": "Allow",
            "Action": "cloudwatch:PutMetricData",
            "Resource": "*",
            "Condition": {"StringEquals": {"cloudwatch:namespace": list(namespaces)}},
        }
    ]


def pass_role(role_arn: str, service: str) -> list[Statement]:
    """Let a role be handed to one service."""
    return [
        {
            "Sid": "PassRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": role_arn,
            "Condition": {"StringEquals": {"iam:PassedToService": service}},
        }
    ]


def refuse_plain_text(action: str, resource_arn: str) -> list[Statement]:
    """Refuse requests that are not encrypted in transit; for the policy of a topic, a queue or a bucket."""
    return [
        {
            "Sid": "RefusePlainText",
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": resource_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
