"""Least privilege: every policy that a whole deployment makes, judged by rules and by a list of what it may do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from modelberth import ModelDeployment

from model_packaging.package import Package
from tests.unit.components.cloud import ACCOUNT, IMAGE, KEY, Deployed, deploy

Statement = dict[str, Any]

# "Service Authorization Reference": these two know no resource.
WITHOUT_RESOURCE = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
ALLOWED = {
    "churn-endpoint-serve": {"ecr", "logs", "s3:read", "s3:write", "cloudwatch", "kms"},
    "churn-alarms-monitor-job-policy": {"ecr", "logs", "s3:read", "s3:write", "cloudwatch", "kms", "sagemaker", "iam"},
    "churn-alarms-monitor-schedule-policy": {"sagemaker", "sqs", "kms"},
    "churn-retraining-job-policy": {"ecr", "logs", "s3:read", "s3:write", "cloudwatch", "kms", "sagemaker", "iam"},
    "churn-retraining-schedule-policy": {"sagemaker", "sqs", "kms"},
    "churn-retraining-drift-rule-policy": {"sagemaker", "sqs", "kms"},
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def cached() -> dict[str, Deployed]:
    return {}


@pytest.fixture
def whole(original: Package, source: Path, cached: dict[str, Deployed]) -> Deployed:
    args: dict[str, Any] = {
        "platform": "sagemaker",
        "package": original,
        "image": IMAGE,
        "encryption_key": KEY,
        "endpoint": {"capture": {}, "scale": {"min": 1, "max": 2}},
        "alarms": {"drift.psi": {"above": 0.2}, "error_rate": {"above": "1%"}, "notify": ["mailto:ml@example.org"]},
        "retraining": {"schedule": "0 3 * * 1", "source": source, "entrypoint": "train.py", "on": ["drift"]},
    }
    if "whole" not in cached:
        cached["whole"] = deploy(lambda: ModelDeployment("churn", args))
    return cached["whole"]


def documents(deployed: Deployed) -> dict[str, list[Statement]]:
    """Every policy document of any resource, by the resource's name and the input's."""
    return {
        f"{one.name}.{key}": one.json(key)["Statement"]
        for one in deployed.children
        for key in ("policy", "assumeRolePolicy")
        if key in one.inputs
        and isinstance(one.inputs[key], str)
        and one.inputs[key].startswith("{")
        and "Statement" in one.inputs[key]
    }


def allowed(deployed: Deployed) -> Iterator[tuple[str, Statement]]:
    for name, statements in documents(deployed).items():
        for statement in statements:
            if statement["Effect"] == "Allow":
                yield name, statement


def test_all_policies_are_seen(whole: Deployed) -> None:
    roles = {one.name for one in whole.of("iam/rolePolicy:RolePolicy")}
    assert roles == set(ALLOWED)
    assert len(documents(whole)) == 2 * len(ALLOWED) + len(
        {"bucket", "topic", "queue of monitor", "queue of retraining"}
    )


def test_no_action_is_a_wildcard_and_no_statement_allows_by_exclusion(whole: Deployed) -> None:
    for name, statement in allowed(whole):
        assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.keys(), name
        for action in listed(statement["Action"]):
            assert "*" not in action and "?" not in action, (name, action)


def test_only_two_actions_stand_for_all_resources(whole: Deployed) -> None:
    for name, statement in allowed(whole):
        if name.endswith(".assumeRolePolicy"):
            continue
        resources = listed(statement["Resource"])
        if "*" in resources:
            assert set(listed(statement["Action"])) <= WITHOUT_RESOURCE, name
        if "cloudwatch:PutMetricData" in listed(statement["Action"]):
            namespaces = statement["Condition"]["StringEquals"]["cloudwatch:namespace"]
            assert namespaces and "*" not in str(namespaces), name
        for resource in resources:
            prefix = resource.partition("*")[0]
            assert resource == "*" or not prefix.endswith(":") or ":log-group:" in prefix, (name, resource)


def test_each_identity_does_only_what_it_is_for(whole: Deployed) -> None:
    for role in whole.of("iam/rolePolicy:RolePolicy"):
        kinds: set[str] = set()
        for statement in role.json("policy")["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                service, _, verb = action.partition(":")
                if service == "s3":
                    service += ":read" if verb.startswith(("Get", "List")) else ":write"
                kinds.add(service)
        assert kinds == ALLOWED[role.name], role.name


def test_the_only_right_over_identities_is_to_hand_on_the_jobs_own(whole: Deployed) -> None:
    for name, statement in allowed(whole):
        if any(action.startswith("iam:") for action in listed(statement["Action"])):
            assert statement["Action"] == "iam:PassRole", name
            assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
            role = name.partition(".")[0].removesuffix("-policy")
            assert statement["Resource"].endswith(f":role/shop-dev-{role}"), name


def test_nothing_may_be_deleted_and_no_object_is_reached_outside_the_models_own(whole: Deployed) -> None:
    bucket = "arn:aws:s3:::churn-bucket-1a2b3c4"
    for name, statement in allowed(whole):
        actions = [action for action in listed(statement["Action"]) if action.startswith("s3:")]
        assert not any("Delete" in action or "Acl" in action for action in actions), name
        if not actions:
            continue
        for resource in listed(statement["Resource"]):
            if resource == bucket:
                assert actions == ["s3:ListBucket"], name
                assert statement["Condition"]["StringLike"]["s3:prefix"], name
            else:
                path = resource.removeprefix(f"{bucket}/")
                assert "churn" in path.split("/")[1], (name, resource)
                assert path.endswith("/*"), (name, resource)


def test_a_monitor_and_a_server_write_where_they_must(whole: Deployed) -> None:
    def written(role: str) -> list[str]:
        policy = whole.one("iam/rolePolicy:RolePolicy", role).json("policy")
        return [
            resource.partition("1a2b3c4/")[2]
            for statement in policy["Statement"]
            if "s3:PutObject" in listed(statement["Action"])
            for resource in listed(statement["Resource"])
        ]

    assert written("churn-endpoint-serve") == ["capture/shop-dev-churn-endpoint/*"]
    assert written("churn-alarms-monitor-job-policy") == ["monitoring/churn/*"]
    assert written("churn-retraining-job-policy") == ["pipelines/churn/*", "packages/churn/*", "candidates/churn/*"]


def test_without_capture_the_server_writes_no_object(original: Package) -> None:
    args = {"platform": "sagemaker", "package": original, "image": IMAGE}
    deployed = deploy(lambda: ModelDeployment("churn", args))
    policy = deployed.one("iam/rolePolicy:RolePolicy", "churn-endpoint-serve").inputs["policy"]
    assert "PutObject" not in policy and "kms:" not in policy


def test_every_role_is_taken_on_by_one_service_for_this_account(whole: Deployed) -> None:
    services = {
        role.name: [
            (statement["Principal"]["Service"], statement["Condition"]["StringEquals"]["aws:SourceAccount"])
            for statement in role.json("assumeRolePolicy")["Statement"]
        ]
        for role in whole.of("iam/role:Role")
    }
    sagemaker, scheduler = [("sagemaker.amazonaws.com", ACCOUNT)], [("scheduler.amazonaws.com", ACCOUNT)]
    assert services == {
        "churn-endpoint-serve": sagemaker,
        "churn-alarms-monitor-job-role": sagemaker,
        "churn-alarms-monitor-schedule-role": scheduler,
        "churn-retraining-job-role": sagemaker,
        "churn-retraining-schedule-role": scheduler,
        "churn-retraining-drift-rule-role": [("events.amazonaws.com", ACCOUNT)],
    }


def test_what_holds_messages_or_objects_refuses_plain_text(whole: Deployed) -> None:
    guarded = {
        name
        for name, statements in documents(whole).items()
        for statement in statements
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert guarded == {
        "churn-bucket-tls-only.policy",
        "churn-alarms-topic-policy.policy",
        "churn-alarms-monitor-dead-letters-policy.policy",
        "churn-retraining-dead-letters-policy.policy",
    }


def test_public_principals_are_only_refused(whole: Deployed) -> None:
    for name, statement in allowed(whole):
        assert statement.get("Principal") != "*", name
        assert "AWS" not in (statement.get("Principal") or {}), name
