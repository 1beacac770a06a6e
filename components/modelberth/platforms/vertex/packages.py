"""Packages, sources and data in a bucket of Cloud Storage: each file an object of its own."""

import pulumi
import pulumi_gcp as gcp

from model_packaging.package import Package

from ...args import CommonArgs
from ...uploads import Upload, package_prefix


def upload_package(
    name: str, package: Package, bucket: pulumi.Output[str], args: CommonArgs, component: pulumi.ComponentResource
) -> list[gcp.storage.BucketObject]:
    """Put a package's files into the bucket, the manifest last: who sees it sees a whole package.

    A replaced package stays there, so that an endpoint can go back to it.
    """

    def put(path: str, after: list[gcp.storage.BucketObject]) -> gcp.storage.BucketObject:
        source = pulumi.FileAsset(str((package.path / path).resolve()))
        return _object(f"{name}-{path}", bucket, package_prefix(package) + path, source, args, component, after)

    files = [put(path, []) for path in sorted(package.files) if path != "manifest.json"]
    return [*files, put("manifest.json", files)]


def upload_files(
    name: str, upload: Upload, bucket: pulumi.Output[str], args: CommonArgs, component: pulumi.ComponentResource
) -> pulumi.Output[str]:
    """Keep files in the bucket, and return the address of their folder once they are there.

    What a run was made of stays when the next version comes, so that the run can be repeated.
    """
    content = upload.prefix.rstrip("/").rpartition("/")[2][:12]
    objects = [
        _object(
            f"{name}-{content}-{key}",
            bucket,
            upload.prefix + key,
            pulumi.FileAsset(str(file.resolve())),
            args,
            component,
        )
        for key, file in upload.files.items()
    ]
    return pulumi.Output.all(bucket, *(kept.id for kept in objects)).apply(
        lambda known: f"gs://{known[0]}/{upload.prefix.rstrip('/')}"
    )


def _object(
    name: str,
    bucket: pulumi.Output[str],
    key: str,
    source: pulumi.Asset,
    args: CommonArgs,
    component: pulumi.ComponentResource,
    after: list[gcp.storage.BucketObject] | None = None,
) -> gcp.storage.BucketObject:
    return gcp.storage.BucketObject(
        name,
        bucket=bucket,
        name=key,
        source=source,
        kms_key_name=args.encryption_key,
        opts=pulumi.ResourceOptions(parent=component, depends_on=after or [], retain_on_delete=True),
    )
