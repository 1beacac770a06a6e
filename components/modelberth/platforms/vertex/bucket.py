"""A bucket of Cloud Storage: versioned, encrypted, private, with what was deleted kept for a while."""

from datetime import timedelta

import pulumi
import pulumi_gcp as gcp
from pydantic import ValidationError

from ...args import ArtifactBucketArgs
from ...errors import problems_of
from ...outputs import BucketOutputs
from ...quantities import Duration
from . import values
from .place import PlaceOptions, here

_DAY = timedelta(days=1)


class Options(PlaceOptions):
    """`bucket.vertex`: where the bucket lies and how long it keeps what was deleted."""

    bucket_location: values.BucketLocation | None = None
    """A region, such as europe-west4, or EU, US or ASIA; the model's region if left out. Vertex AI reads a bucket
    fastest in its own region."""
    soft_delete: Duration | None = None
    """How long a deleted object, or the whole bucket, can still be restored: `0s`, or 7 to 90 days. A week if left
    out, and nothing in development."""


def check(args: ArtifactBucketArgs, where: str) -> list[str]:
    """Return what Cloud Storage can't do with these arguments."""
    problems = values.check_tags(args.tags, where)
    if args.keep_noncurrent < _DAY or args.keep_noncurrent % _DAY:
        problems.append(f"{where}.keep_noncurrent: Cloud Storage counts in whole days, at least 1d")
    try:
        options = Options.model_validate(args.options.get(args.platform, {}))
    except ValidationError as error:
        return [
            *problems,
            *values.check_key(args.encryption_key, f"{where}.encryption_key"),
            *problems_of(error, Options, f"{where}.{args.platform}"),
        ]
    kept = options.soft_delete
    if kept is not None and kept and not (7 * _DAY <= kept <= 90 * _DAY):
        problems.append(
            f"{where}.{args.platform}.soft_delete: Cloud Storage keeps what was deleted for 0s, or for 7d to 90d"
        )
    location = options.bucket_location or options.location
    return problems + values.check_key(args.encryption_key, f"{where}.encryption_key", location)


def provision(component: pulumi.ComponentResource, name: str, args: ArtifactBucketArgs) -> BucketOutputs:
    """Make the bucket."""
    options = Options.model_validate(args.options.get(args.platform, {}))
    place = here(component, options)
    kept = options.soft_delete
    if kept is None:
        kept = timedelta(0) if args.development else 7 * _DAY
    bucket = gcp.storage.Bucket(
        name,
        project=place.apply(lambda at: at.project),
        location=options.bucket_location or place.apply(lambda at: at.location.upper()),
        uniform_bucket_level_access=True,
        public_access_prevention="enforced",
        versioning={"enabled": True},
        soft_delete_policy={"retention_duration_seconds": round(kept.total_seconds())},
        lifecycle_rules=[
            {
                "action": {"type": "Delete"},
                "condition": {
                    "days_since_noncurrent_time": args.keep_noncurrent // _DAY,
                    "with_state": "ARCHIVED",
                },
            },
            {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}},
        ],
        encryption={"default_kms_key_name": args.encryption_key} if args.encryption_key is not None else None,
        force_destroy=args.development,
        labels=values.labels(args.tags),
        opts=pulumi.ResourceOptions(parent=component, protect=not args.development),
    )
    return BucketOutputs(url=pulumi.Output.concat("gs://", bucket.name), name=bucket.name)
