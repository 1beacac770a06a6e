"""What the guide to AWS says of permissions, names and numbers is what the code does."""

import fnmatch
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from modelberth.model_deployment import ROLLBACK_ALARMS
from modelberth.platforms.sagemaker.machines import smallest
from modelberth.spec import ComputeSpec, RetrainingSpec

from sandbox.settings import ROOT
from tests.docs.test_stacks import deployed

GUIDES = ROOT / "docs" / "guides"
GUIDE = (GUIDES / "deploy-to-aws.md").read_text()
POLICY = json.loads((GUIDES / "deploy-to-aws-policy.json").read_text())
PLATFORM = ROOT / "components" / "modelberth" / "platforms" / "sagemaker"
RESOURCES = ROOT / "sandbox" / "providers" / "aws" / "resources"

# The file of the stand-in provider by the SDK's module, where it is another, and what IAM calls the service.
SERVICES = {
    "appautoscaling": ("appautoscaling", "application-autoscaling"),
    "cloudwatch": ("cloudwatch", "cloudwatch"),
    "ecr": ("ecr", "ecr"),
    "iam": ("iam", "iam"),
    "s3": ("s3", "s3"),
    "sagemaker": ("sagemaker", "sagemaker"),
    "scheduler": ("scheduler", "scheduler"),
    "sns": ("sns", "sns"),
    "sqs": ("sqs", "sqs"),
}
# What IAM calls by another name than the API. Source: Service Authorization Reference, Amazon S3.
RENAMED = {
    "s3:DeleteBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketOwnershipControls": "s3:PutBucketOwnershipControls",
    "s3:DeleteBucketTagging": "s3:PutBucketTagging",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}
# Operations of resources that the components do not make, or with options that they do not set.
UNUSED = {
    "cloudwatch:PutCompositeAlarm",
    "iam:AttachRolePolicy",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "s3:PutObjectAcl",
}


def allowed(policy: dict[str, Any]) -> Iterator[str]:
    for statement in policy["Statement"]:
        actions = statement["Action"]
        yield from [actions] if isinstance(actions, str) else actions


def called(file: str, service: str, prefix: str) -> set[str]:
    """The actions that a file of the stand-in provider needs: the operations of the API that it names."""
    session = botocore.session.get_session()
    operations = {xform_name(name): name for name in session.get_service_model(service).operation_names}
    quoted = set(re.findall(r'"([a-z]+(?:_[a-z0-9]+)+)"', (RESOURCES / f"{file}.py").read_text()))
    return {f"{prefix}:{operations[name]}" for name in quoted & operations.keys()}


def used_modules() -> set[str]:
    sources = "".join(path.read_text() for path in PLATFORM.glob("*.py"))
    return set(re.findall(r"\baws\.(\w+)\.[A-Z]\w+\(", sources))


def test_every_service_of_the_components_is_known_here() -> None:
    assert used_modules() == SERVICES.keys()


@pytest.mark.parametrize("module", [*SERVICES, "events"])
def test_the_policy_allows_what_the_resources_need(module: str) -> None:
    file, prefix = SERVICES.get(module, (module, module))
    needed = {RENAMED.get(action, action) for action in called(file, prefix, prefix)} - UNUSED
    assert len(needed) >= 3, f"nothing found in {file}.py: its operations are written in another way now"
    patterns = list(allowed(POLICY))
    assert {action for action in needed if not any(fnmatch.fnmatchcase(action, one) for one in patterns)} == set()


def test_the_policy_allows_what_the_program_itself_asks() -> None:
    source = (PLATFORM / "live.py").read_text()
    asked = {
        "sagemaker": ["DescribeEndpoint"],
        "cloudwatch": ["DescribeAlarms"],
        "logs": ["DescribeLogStreams", "GetLogEvents"],
    }
    for service, operations in asked.items():
        for operation in operations:
            assert f".{xform_name(operation)}(" in source
            assert f"{service}:{operation}" in set(allowed(POLICY))


def test_the_policy_is_a_policy() -> None:
    # 6,144 characters, white space not counted: IAM quotas, managed policies.
    assert len(json.dumps(POLICY, separators=(",", ":"))) <= 6144
    assert list(allowed(POLICY)).count("iam:PassRole") == 1
    for statement in POLICY["Statement"]:
        actions = statement["Action"]
        if isinstance(actions, list):
            assert actions == sorted(set(actions), key=str.lower), statement["Sid"]


def test_roles_are_handed_to_the_services_that_the_policy_names(project: Path) -> None:
    made = deployed("prod", project / "packages" / "churn")
    trusted = {one.json("assumeRolePolicy")["Statement"][0]["Principal"]["Service"] for one in made.of("iam/role:Role")}
    (statement,) = (one for one in POLICY["Statement"] if one["Action"] == "iam:PassRole")
    assert set(statement["Condition"]["StringEquals"]["iam:PassedToService"]) == trusted


def test_names_in_the_guide_are_those_of_the_resources(project: Path) -> None:
    made = deployed("prod", project / "packages" / "churn")
    names = {
        str(one.inputs[key]).replace("shop-prod", "modelberth-prod")
        for one in made.children
        for key in ("name", "pipelineName", "dashboardName")
        if key in one.inputs
    }
    told = set(re.findall(r"modelberth-prod-[a-z-]+[a-z]", GUIDE))
    assert len(told) >= 5
    assert told - names == set()


def test_numbers_in_the_guide_are_those_of_the_code(project: Path) -> None:
    made = deployed("prod", project / "packages" / "churn")
    assert "Six IAM roles" in GUIDE
    assert len(made.of("iam/role:Role")) == 6
    assert all(f"`{alarm}`" in GUIDE for alarm in ROLLBACK_ALARMS)
    assert {one.inputs["messageRetentionSeconds"] for one in made.of("sqs/queue:Queue")} == {14 * 86400}
    assert "14 days" in GUIDE
    training = RetrainingSpec.model_fields["compute"].get_default(call_default_factory=True)
    assert smallest(training, "training") == smallest(training, "processing") == "ml.m5.large"
    assert isinstance(training, ComputeSpec)


def test_the_key_policy_names_the_services_that_act_by_no_role(project: Path) -> None:
    policy = json.loads((GUIDES / "deploy-to-aws-key-policy.json").read_text())
    services = {one["Principal"].get("Service"): set(one["Action"]) for one in policy["Statement"][1:]}
    made = deployed("prod", project / "packages" / "churn")
    # Those that the topic's and the queues' own policies let in, and that therefore come without a role of ours.
    let_in = {
        statement["Principal"]["Service"]
        for token in ("sns/topicPolicy:TopicPolicy", "sqs/queuePolicy:QueuePolicy")
        for one in made.of(token)
        for statement in one.json("policy")["Statement"]
        if statement["Effect"] == "Allow"
    }
    assert services.keys() == let_in
    assert services["cloudwatch.amazonaws.com"] == {"kms:Decrypt", "kms:GenerateDataKey*"}
