"""Bucket policies with conditions. Sources stand in sandbox/aws/s3policy.py."""

import json
from typing import Any

import pytest
from moto.iam.access_control import PermissionResult

from sandbox.aws.s3policy import decide
from tests.unit.aws_emulator.conftest import Account, refused


def test_a_tls_only_policy_keeps_out_only_what_is_insecure(account: Account) -> None:
    bucket = account.name("tls-bucket")
    s3 = account.handle.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    # The statement of the S3 user guide, "Restricting access to only HTTPS requests".
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    # Plain http on loopback counts as secure: no wire is crossed.
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"
    insecure = account.handle.client("s3")

    def mark(request: Any, **_: Any) -> None:
        request.headers["X-Sandbox-Secure-Transport"] = "false"

    insecure.meta.events.register("before-send.s3", mark)
    assert refused(insecure.get_object, Bucket=bucket, Key="k")[0] == "AccessDenied"
    assert refused(insecure.put_object, Bucket=bucket, Key="k", Body=b"w")[0] == "AccessDenied"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"


@pytest.mark.parametrize(
    ("condition", "context", "denied"),
    [
        ({}, {}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:securetransport": "true"}, False),
        ({"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}, {}, True),
        (
            {"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
            {"s3:x-amz-server-side-encryption": "aws:kms"},
            False,
        ),
        ({"Null": {"s3:x-amz-server-side-encryption": "true"}}, {}, True),
        ({"StringLike": {"aws:userid": "A*"}}, {"aws:userid": "ABC"}, True),
        ({"StringEquals": {"aws:userid": "ABC"}}, {}, False),
        ({"StringEqualsIfExists": {"aws:userid": "ABC"}}, {}, True),
    ],
)
def test_conditions_decide(condition: dict[str, Any], context: dict[str, str], denied: bool) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": "*", "Condition": condition}
    allow = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    found = decide({"Statement": [allow, statement]}, "s3:PutObject", "arn:aws:s3:::b/k", context)
    assert found == (PermissionResult.DENIED if denied else PermissionResult.PERMITTED)
