"""Packages in the bucket of a stack: each file an object under the package's digest."""

import pulumi
import pulumi_aws as aws

from model_packaging.package import Package

from ...args import CommonArgs
from ...uploads import package_prefix


def check_bucket(address: object, where: str) -> list[str]:
    """Say what is wrong with a bucket's address that is known already: SageMaker reads and writes S3 only."""
    if not isinstance(address, str) or not address or address.startswith("s3://"):
        return []
    return [f"{where}: {address!r} is no bucket of S3: write s3://<name>, such as the output url of ArtifactBucket"]


def object_tags(tags: dict[str, str]) -> dict[str, str] | None:
    """Return the tags that an object bears: all or, as S3 takes ten at most, none."""
    return tags if len(tags) <= 10 else None


def upload(
    name: str,
    package: Package,
    bucket: pulumi.Output[str],
    args: CommonArgs,
    component: pulumi.ComponentResource,
) -> list[aws.s3.BucketObjectv2]:
    """Put a package's files into the bucket, the manifest last: who sees it sees a whole package.

    A replaced package stays there, so that an endpoint can go back to it.
    """

    def put(path: str, after: list[aws.s3.BucketObjectv2]) -> aws.s3.BucketObjectv2:
        return aws.s3.BucketObjectv2(
            f"{name}-{path}",
            bucket=bucket,
            key=package_prefix(package) + path,
            source=pulumi.FileAsset(str((package.path / path).resolve())),
            server_side_encryption="aws:kms" if args.encryption_key is not None else None,
            kms_key_id=args.encryption_key,
            tags=object_tags(args.tags),
            opts=pulumi.ResourceOptions(parent=component, depends_on=after, retain_on_delete=True),
        )

    files = [put(path, []) for path in sorted(package.files) if path != "manifest.json"]
    return [*files, put("manifest.json", files)]
