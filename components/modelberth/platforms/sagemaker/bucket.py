"""An S3 bucket: versioned, encrypted, private, reached by TLS only."""

from datetime import timedelta

import pulumi
import pulumi_aws as aws
from pydantic import ValidationError

from ...args import ArtifactBucketArgs
from ...errors import problems_of
from ...outputs import BucketOutputs
from ...spec import Spec
from . import policies


class Options(Spec):
    """`bucket.sagemaker`: nothing beyond the neutral specification."""


def check(args: ArtifactBucketArgs, where: str) -> list[str]:
    """Return what S3 can't do with these arguments."""
    problems = policies.check_key(args.encryption_key, f"{where}.encryption_key")
    try:
        Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        problems += problems_of(error, Options, f"{where}.{args.platform}")
    if args.keep_noncurrent < timedelta(days=1) or args.keep_noncurrent % timedelta(days=1):
        problems.append(f"{where}.keep_noncurrent: S3 counts in whole days, at least 1d")
    return problems


def tls_only(bucket_arn: str) -> dict[str, object]:
    """Return the bucket policy that refuses every request not made over TLS.

    Source: AWS Config rule `s3-bucket-ssl-requests-only`.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DenyInsecureTransport",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


def provision(component: pulumi.ComponentResource, name: str, args: ArtifactBucketArgs) -> BucketOutputs:
    """Make the bucket and everything that keeps it private."""
    # What keeps the bucket private stays as long as the bucket does.
    child = pulumi.ResourceOptions(parent=component, protect=not args.development)
    bucket = aws.s3.Bucket(name, force_destroy=args.development, tags=args.tags, opts=child)
    private = aws.s3.BucketPublicAccessBlock(
        f"{name}-private",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=child,
    )
    aws.s3.BucketOwnershipControls(
        f"{name}-ownership", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
    )
    encryption: aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgsDict = (
        {"sse_algorithm": "AES256"}
        if args.encryption_key is None
        else {"sse_algorithm": "aws:kms", "kms_master_key_id": args.encryption_key}
    )
    encrypted = aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.id,
        # A bucket key keeps the number of calls to KMS, and their cost, down; it has no meaning without KMS.
        rules=[
            {
                "apply_server_side_encryption_by_default": encryption,
                "bucket_key_enabled": args.encryption_key is not None,
            }
        ],
        opts=child,
    )
    versioned = aws.s3.BucketVersioning(
        f"{name}-versioning", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=child
    )
    aws.s3.BucketLifecycleConfiguration(
        f"{name}-lifecycle",
        bucket=bucket.id,
        rules=[
            {
                "id": "expire-noncurrent",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "noncurrent_version_expiration": {"noncurrent_days": args.keep_noncurrent.days},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
            }
        ],
        # S3 looks at versioning when it takes a rule about noncurrent versions.
        opts=child.merge(pulumi.ResourceOptions(depends_on=[versioned])),
    )
    policy = aws.s3.BucketPolicy(
        f"{name}-tls-only",
        bucket=bucket.id,
        policy=pulumi.Output.json_dumps(bucket.arn.apply(tls_only)),
        # A policy that is set while public access is still being blocked is answered with a conflict.
        opts=child.merge(pulumi.ResourceOptions(depends_on=[private])),
    )
    # Whoever uses the outputs finds a bucket that is private, encrypted and versioned already.
    ready = pulumi.Output.all(bucket.id, private.id, encrypted.id, versioned.id, policy.id).apply(
        lambda ids: str(ids[0])
    )
    return BucketOutputs(url=pulumi.Output.concat("s3://", ready), name=ready)
