"""A bucket in an S3-compatible object store on site, and the Secret by which a model's pods reach it."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import ValidationError

from ...args import ArtifactBucketArgs
from ...errors import problems_of
from ...names import physical_name
from ...outputs import BucketOutputs
from . import objects, store, values
from .objects import NamespaceOptions


class Options(NamespaceOptions):
    """`bucket.kubernetes`: the object store."""

    endpoint_url: values.Origin | None = None
    """The store's address as pods reach it, such as https://objects.example.org; AWS_ENDPOINT_URL_S3 in the Secret if
    left out."""
    external_url: values.Origin | None = None
    """Its address as the machine reaches it that runs `pulumi up`; MODELBERTH_STORE_EXTERNAL_URL in the Secret, or the
    same, if left out."""
    secret: values.SecretName
    """An existing Secret, `<name>` or `<namespace>/<name>`, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a user
    of the store that may make the bucket, read and write it."""
    bucket: values.Bucket | None = None
    """The bucket's name; made of project, stack and component if left out."""
    region: str | None = None
    """What requests are signed for; AWS_REGION in the Secret, or us-east-1, if left out."""
    ca_file: Path | None = None
    """Certificates, in PEM, that the store's own is checked against."""


def check(args: ArtifactBucketArgs, where: str) -> list[str]:
    """Return what a store on site can't do with these arguments."""
    problems = objects.check_tags(args, where)
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return problems + problems_of(error, Options, f"{where}.{args.platform}")
    key = f"{where}.{args.platform}"
    if args.keep_noncurrent < timedelta(days=1) or args.keep_noncurrent % timedelta(days=1):
        problems.append(f"{where}.keep_noncurrent: S3 counts in whole days, at least 1d")
    for name in ("endpoint_url", "external_url"):
        address = getattr(options, name)
        if address is not None and urlsplit(str(address)).scheme == "http" and not args.development:
            problems.append(
                f"{key}.{name}: {address!r} is not encrypted in transit: write https://…, or set development on a "
                "stack whose data nobody needs to keep secret"
            )
    if options.ca_file is not None and not options.ca_file.is_file():
        problems.append(
            f"{key}.ca_file: {str(options.ca_file)!r} does not exist; a path is relative to the project's folder"
        )
    if not isinstance(args.encryption_key, str | None):
        problems.append(f"{where}.encryption_key: must be known when the program runs: the store is asked by it")
    return problems


def provision(component: pulumi.ComponentResource, name: str, args: ArtifactBucketArgs) -> BucketOutputs:
    """Make the bucket, and the Secret that bears its name."""
    options = Options.model_validate(args.options.get(args.platform, {}))
    child = pulumi.ResourceOptions(parent=component)
    bucket = options.bucket or physical_name(name)
    given = kubernetes.core.v1.Secret.get(f"{name}-credentials", _address(options), child)
    reached = given.data.apply(lambda data: _access(options, data))
    secret = kubernetes.core.v1.Secret(
        f"{name}-access",
        metadata=objects.metadata(args, options, bucket, "bucket", bucket),
        type="Opaque",
        data=reached.apply(store.secret_data),
        opts=child,
    )
    ready = pulumi.Output.unsecret(
        pulumi.Output.all(reached, secret.id).apply(lambda known: _ensure(component, bucket, options, args, known[0]))
    )
    return BucketOutputs(url=pulumi.Output.concat("s3://", ready), name=ready)


async def _ensure(
    component: pulumi.Resource, bucket: str, options: Options, args: ArtifactBucketArgs, access: store.Access
) -> str:
    if not pulumi.runtime.is_dry_run():
        wanted = store.Wanted(args.keep_noncurrent.days, _text(args.encryption_key))
        if urlsplit(access.endpoint_url).scheme == "http" and not args.development:
            raise store.ModelberthError(
                f"the Secret {options.secret} names the store {access.endpoint_url}, which is not encrypted in transit"
            )
        for sentence in await asyncio.to_thread(store.ensure, bucket, wanted, access):
            pulumi.log.warn(sentence, component)
    return bucket


def _access(options: Options, data: Mapping[str, str]) -> store.Access:
    return store.access_from(
        data,
        options.secret,
        endpoint_url=options.endpoint_url,
        external_url=options.external_url,
        region=options.region,
        certificates=options.ca_file.read_text() if options.ca_file else None,
    )


def _address(options: Options) -> pulumi.Input[str]:
    if "/" in options.secret or options.namespace is None:
        return options.secret
    return pulumi.Output.concat(options.namespace, "/", options.secret)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
