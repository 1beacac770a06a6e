"""A bucket of Cloud Storage: what keeps it private, what it forgets and when, and what is refused."""

from typing import Any

import pytest
from modelberth import ArtifactBucket, SpecificationError

from tests.unit.components.cloud import PROJECT, Deployed
from tests.unit.components.google import KEY, google


def bucket(**args: Any) -> Deployed:
    return google(lambda: ArtifactBucket("churn", {"platform": "vertex", **args}).url)


def wrong(**args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        bucket(**args)
    return caught.value.problems


def test_a_bucket_is_private_versioned_and_protected() -> None:
    deployed = bucket()
    made = deployed.one("storage/bucket:Bucket")
    assert made.inputs["uniformBucketLevelAccess"] is True
    assert made.inputs["publicAccessPrevention"] == "enforced"
    assert made.inputs["versioning"] == {"enabled": True}
    assert made.inputs["softDeletePolicy"] == {"retentionDurationSeconds": 7 * 24 * 3600}
    assert (made.inputs["project"], made.inputs["location"]) == (PROJECT, "EUROPE-WEST4")
    assert made.inputs["forceDestroy"] is False
    assert "encryption" not in made.inputs
    assert made.request.protect
    assert deployed.result == f"gs://{made.name}-1a2b3c4"


def test_what_was_replaced_goes_in_time() -> None:
    expiry, broken_off = bucket(keep_noncurrent="30d").one("storage/bucket:Bucket").inputs["lifecycleRules"]
    assert expiry["action"] == {"type": "Delete"}
    assert expiry["condition"] == {"daysSinceNoncurrentTime": 30, "withState": "ARCHIVED"}
    assert broken_off == {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}


def test_in_development_all_of_it_may_go_at_once() -> None:
    made = bucket(development=True).one("storage/bucket:Bucket")
    assert made.inputs["forceDestroy"] is True
    assert made.inputs["softDeletePolicy"] == {"retentionDurationSeconds": 0}
    assert not made.request.protect


def test_a_key_a_place_and_labels() -> None:
    made = bucket(
        encryption_key=KEY,
        vertex={"bucket_location": "europe-west4", "soft_delete": "30d", "project": "other-project"},
        tags={"modelberth:project": "Shop", "team": "ml"},
    ).one("storage/bucket:Bucket")
    assert made.inputs["encryption"] == {"defaultKmsKeyName": KEY}
    assert made.inputs["project"] == "other-project"
    assert made.inputs["softDeletePolicy"] == {"retentionDurationSeconds": 30 * 24 * 3600}
    assert made.inputs["labels"] == {"modelberth-project": "shop", "team": "ml"}


def test_what_cloud_storage_cannot_do_is_told_at_once() -> None:
    problems = wrong(
        keep_noncurrent="36h",
        encryption_key=KEY,
        vertex={"bucket_location": "eu", "soft_delete": "2d"},
        tags={"a b": "1", "A-B": "2", "long": "x" * 64},
    )
    assert problems == [
        "churn.tags.A-B: is the same label as a b, a-b: rename one of them",
        "churn.tags.long: 64 characters are more than the 63 of a label's value",
        "churn.keep_noncurrent: Cloud Storage counts in whole days, at least 1d",
        "churn.vertex.soft_delete: Cloud Storage keeps what was deleted for 0s, or for 7d to 90d",
        f"churn.encryption_key: {KEY!r} lies in europe-west4, but what it would encrypt lies in EU: use a key there",
    ]


def test_names_that_google_does_not_take() -> None:
    assert wrong(vertex={"project": "Acme", "location": "europe-west4-a", "bucket_location": "here 1"}) == [
        "churn.vertex.project: 'Acme' is no project's id: 6 to 30 lower-case letters, digits and hyphens, a letter "
        "first",
        "churn.vertex.location: 'europe-west4-a' is no region: write one such as europe-west4, without a zone",
        "churn.vertex.bucket_location: 'here 1' is no location of a bucket: write a region such as europe-west4, or "
        "EU, US or ASIA",
    ]
    (problem,) = wrong(encryption_key="my-key")
    assert problem.startswith("churn.encryption_key: 'my-key' is no Cloud KMS key: write projects/<project>/")


def test_a_stack_that_does_not_say_where_is_told_what_to_write() -> None:
    with pytest.raises(Exception, match="gcp:project and gcp:region are missing in the stack's configuration"):
        google(lambda: ArtifactBucket("churn", {"platform": "vertex"}), config={"gcp:project": "", "gcp:region": ""})
