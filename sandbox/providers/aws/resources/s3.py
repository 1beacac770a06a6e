"""S3: buckets, the settings that are resources of their own, and objects."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from typing import Any

from modelberth_provider.wire import Asset

from sandbox.providers import schema
from sandbox.providers.aws import convert
from sandbox.providers.aws.cloud import ROLE_NOT_READY, Call, tag_list, tag_map
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, CloudError, Resource, Values

_NO_BUCKET = ("NoSuchBucket", "404", "NotFound")
# https://docs.aws.amazon.com/general/latest/gr/s3.html: the website endpoints' hosted zones.
_HOSTED_ZONES = {
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-1": "Z2F56UZL2M1ACD",
    "us-west-2": "Z3BJ6K6RIION7M",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-west-3": "Z3R1K369G5AVDG",
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-north-1": "Z3BAZG2TWCNX0D",
    "ap-northeast-1": "Z2M4EHUR26P7ZW",
    "ap-south-1": "Z11RGJOFQNVJUP",
    "ap-southeast-1": "Z3O0J2DXBE1FTB",
    "ap-southeast-2": "Z1WCIGYICN2BYD",
}


def partition(region: str) -> str:
    """The partition that a region belongs to."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


# Buckets

_BUCKET = "aws:s3/bucket:Bucket"


def _create_bucket(call: Call, values: Values) -> str:
    name = values["bucket"]
    parameters: Values = {"Bucket": name}
    if call.region != "us-east-1":
        parameters["CreateBucketConfiguration"] = {"LocationConstraint": call.region}
    if values.get("objectLockEnabled"):
        parameters["ObjectLockEnabledForBucket"] = True
    call.retry("create_bucket", ("operationaborted",), **parameters)
    if values.get("tagsAll"):
        call.do("put_bucket_tagging", Bucket=name, Tagging={"TagSet": tag_list(values["tagsAll"])})
    return name


def _read_bucket(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("head_bucket", _NO_BUCKET, Bucket=identifier)
    if answer is None:
        return None
    region = answer.get("BucketRegion") or call.region
    tags = call.find("get_bucket_tagging", ("NoSuchTagSet",), Bucket=identifier) or {}
    return {
        "bucket": identifier,
        "arn": f"arn:{partition(region)}:s3:::{identifier}",
        "bucketDomainName": f"{identifier}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{identifier}.s3.{region}.amazonaws.com",
        "bucketRegion": region,
        "hostedZoneId": _HOSTED_ZONES.get(region),
        "tagsAll": tag_map(tags.get("TagSet")),
    }


def _update_bucket(call: Call, identifier: str, change: Change) -> None:
    if change.touches("tags", "tagsAll"):
        tags = change.new.get("tagsAll") or {}
        if tags:
            call.do("put_bucket_tagging", Bucket=identifier, Tagging={"TagSet": tag_list(tags)})
        else:
            call.do("delete_bucket_tagging", Bucket=identifier)


def _delete_bucket(call: Call, identifier: str, state: Values) -> None:
    try:
        call.remove("delete_bucket", _NO_BUCKET, Bucket=identifier)
    except CloudError as error:
        if error.code != "BucketNotEmpty" or not state.get("forceDestroy"):
            raise
        _empty(call, identifier)
        call.remove("delete_bucket", _NO_BUCKET, Bucket=identifier)


def _empty(call: Call, bucket: str, key: str = "") -> None:
    """Delete every version and marker of a bucket's objects, or of one object."""
    while True:
        page = call.find("list_object_versions", _NO_BUCKET, Bucket=bucket, Prefix=key, MaxKeys=1000) or {}
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        victims = [
            {"Key": entry["Key"], "VersionId": entry["VersionId"]}
            for entry in entries
            if not key or entry["Key"] == key
        ]
        if not victims:
            return
        answer = call.do("delete_objects", Bucket=bucket, Delete={"Objects": victims, "Quiet": True})
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise CloudError(
                f"emptying S3 {call.thing}: {first.get('Key')}: {first.get('Code')}: {first.get('Message')}",
                str(first.get("Code")),
            )


# Settings of a bucket


def _bucket_of(identifier: str, state: Values) -> str:
    return str(state.get("bucket") or identifier.split(",")[0])


def _setting(
    name: str,
    put: Callable[[Call, Values], None],
    get: Callable[[Call, str, Values], Values | None],
    remove: Callable[[Call, str], None],
    **rules: Any,
) -> Resource:
    """A bucket's setting that is a resource of its own: its id is the bucket's name."""

    def create(call: Call, values: Values) -> str:
        put(call, values)
        return values["bucket"]

    def read(call: Call, identifier: str, state: Values) -> Values | None:
        bucket = _bucket_of(identifier, state)
        found = get(call, bucket, state)
        return None if found is None else {"bucket": bucket} | found

    def update(call: Call, identifier: str, change: Change) -> None:
        put(call, change.new)

    def delete(call: Call, identifier: str, state: Values) -> None:
        remove(call, _bucket_of(identifier, state))

    return Resource(
        token=f"aws:s3/{name[0].lower()}{name[1:]}:{name}",
        service="s3",
        create=create,
        read=read,
        update=update,
        delete=delete,
        force_new=frozenset({"bucket", "expectedBucketOwner"}),
        **rules,
    )


def _put_versioning(call: Call, values: Values) -> None:
    wanted = values["versioningConfiguration"]
    if wanted["status"] == "Disabled":
        return  # A bucket starts that way, and cannot go back to it.
    configuration = {"Status": wanted["status"]}
    if wanted.get("mfaDelete"):
        configuration["MFADelete"] = wanted["mfaDelete"]
    call.do("put_bucket_versioning", Bucket=values["bucket"], VersioningConfiguration=configuration)


def _get_versioning(call: Call, bucket: str, state: Values) -> Values | None:
    answer = call.find("get_bucket_versioning", _NO_BUCKET, Bucket=bucket)
    if answer is None:
        return None
    configuration = {"status": answer.get("Status", "Disabled")}
    if answer.get("MFADelete"):
        configuration["mfaDelete"] = answer["MFADelete"]
    return {"versioningConfiguration": configuration}


def _suspend_versioning(call: Call, bucket: str) -> None:
    configuration = {"Status": "Suspended"}
    call.remove("put_bucket_versioning", _NO_BUCKET, Bucket=bucket, VersioningConfiguration=configuration)


_ENCRYPTION = "BucketServerSideEncryptionConfiguration"
_ENCRYPTION_NAMES = {"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"}


def _input(name: str, property: str) -> schema.Property:
    token = f"aws:s3/{name[0].lower()}{name[1:]}:{name}"
    return schema.resource(token).inputs[property]


def _put_encryption(call: Call, values: Values) -> None:
    shape = call.shape("PutBucketEncryption").members["ServerSideEncryptionConfiguration"]
    properties = {"rules": _input(_ENCRYPTION, "rules")}
    configuration = convert.to_aws({"rules": values["rules"]}, properties, shape, _ENCRYPTION_NAMES)
    call.do("put_bucket_encryption", Bucket=values["bucket"], ServerSideEncryptionConfiguration=configuration)


def _get_encryption(call: Call, bucket: str, state: Values) -> Values | None:
    missing = (*_NO_BUCKET, "ServerSideEncryptionConfigurationNotFoundError")
    answer = call.find("get_bucket_encryption", missing, Bucket=bucket)
    if answer is None:
        return None
    shape = call.shape("GetBucketEncryption", output=True).members["ServerSideEncryptionConfiguration"]
    properties = {"rules": _input(_ENCRYPTION, "rules")}
    found = convert.from_aws(answer["ServerSideEncryptionConfiguration"], properties, shape, _ENCRYPTION_NAMES)
    return {"rules": found.get("rules")}


def _delete_encryption(call: Call, bucket: str) -> None:
    missing = (*_NO_BUCKET, "ServerSideEncryptionConfigurationNotFoundError")
    call.remove("delete_bucket_encryption", missing, Bucket=bucket)


_BLOCKS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _put_public_access(call: Call, values: Values) -> None:
    configuration = {member: bool(values.get(name)) for name, member in _BLOCKS.items()}
    call.do("put_public_access_block", Bucket=values["bucket"], PublicAccessBlockConfiguration=configuration)


def _get_public_access(call: Call, bucket: str, state: Values) -> Values | None:
    missing = (*_NO_BUCKET, "NoSuchPublicAccessBlockConfiguration")
    answer = call.find("get_public_access_block", missing, Bucket=bucket)
    if answer is None:
        return None
    configuration = answer["PublicAccessBlockConfiguration"]
    return {name: bool(configuration.get(member)) for name, member in _BLOCKS.items()}


def _delete_public_access(call: Call, bucket: str) -> None:
    missing = (*_NO_BUCKET, "NoSuchPublicAccessBlockConfiguration")
    call.remove("delete_public_access_block", missing, Bucket=bucket)


def _put_ownership(call: Call, values: Values) -> None:
    rules = [{"ObjectOwnership": values["rule"]["objectOwnership"]}]
    call.do("put_bucket_ownership_controls", Bucket=values["bucket"], OwnershipControls={"Rules": rules})


def _get_ownership(call: Call, bucket: str, state: Values) -> Values | None:
    missing = (*_NO_BUCKET, "OwnershipControlsNotFoundError")
    answer = call.find("get_bucket_ownership_controls", missing, Bucket=bucket)
    if answer is None:
        return None
    return {"rule": {"objectOwnership": answer["OwnershipControls"]["Rules"][0]["ObjectOwnership"]}}


def _delete_ownership(call: Call, bucket: str) -> None:
    missing = (*_NO_BUCKET, "OwnershipControlsNotFoundError")
    call.remove("delete_bucket_ownership_controls", missing, Bucket=bucket)


_LIFECYCLE = "BucketLifecycleConfiguration"
_LIFECYCLE_NAMES = {"id": "ID", "and": "And"}


def _put_lifecycle(call: Call, values: Values) -> None:
    shape = call.shape("PutBucketLifecycleConfiguration").members["LifecycleConfiguration"]
    properties = {"rules": _input(_LIFECYCLE, "rules")}
    configuration = convert.to_aws({"rules": values.get("rules") or []}, properties, shape, _LIFECYCLE_NAMES)
    for rule in configuration["Rules"]:
        if "Filter" not in rule and "Prefix" not in rule:
            rule["Filter"] = {}
        expiration = rule.get("Expiration")
        if expiration and expiration.get("Days") == 0:
            del expiration["Days"]
    parameters: Values = {"Bucket": values["bucket"], "LifecycleConfiguration": configuration}
    if values.get("transitionDefaultMinimumObjectSize"):
        parameters["TransitionDefaultMinimumObjectSize"] = values["transitionDefaultMinimumObjectSize"]
    call.do("put_bucket_lifecycle_configuration", **parameters)


def _get_lifecycle(call: Call, bucket: str, state: Values) -> Values | None:
    missing = (*_NO_BUCKET, "NoSuchLifecycleConfiguration")
    answer = call.find("get_bucket_lifecycle_configuration", missing, Bucket=bucket)
    if answer is None:
        return None
    shape = call.shape("GetBucketLifecycleConfiguration", output=True)
    properties = {"rules": _input(_LIFECYCLE, "rules")}
    found = convert.from_aws(answer, properties, shape, _LIFECYCLE_NAMES)
    for rule, told in zip(found.get("rules") or [], answer.get("Rules") or [], strict=True):
        if "Prefix" in (told.get("Filter") or {}):
            # An empty prefix is a filter: it means every object.
            rule["filter"] = {**rule.get("filter", {}), "prefix": told["Filter"]["Prefix"]}
    size = answer.get("TransitionDefaultMinimumObjectSize") or "all_storage_classes_128K"
    return {"rules": found.get("rules"), "transitionDefaultMinimumObjectSize": size}


def _delete_lifecycle(call: Call, bucket: str) -> None:
    call.remove("delete_bucket_lifecycle", (*_NO_BUCKET, "NoSuchLifecycleConfiguration"), Bucket=bucket)


def _put_policy(call: Call, values: Values) -> None:
    call.retry("put_bucket_policy", ROLE_NOT_READY, Bucket=values["bucket"], Policy=values["policy"])


def _get_policy(call: Call, bucket: str, state: Values) -> Values | None:
    answer = call.find("get_bucket_policy", (*_NO_BUCKET, "NoSuchBucketPolicy"), Bucket=bucket)
    return None if answer is None else {"policy": answer["Policy"]}


def _delete_policy(call: Call, bucket: str) -> None:
    call.remove("delete_bucket_policy", (*_NO_BUCKET, "NoSuchBucketPolicy"), Bucket=bucket)


# Objects

_OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
_CONTENT = (
    "source",
    "sourceHash",
    "content",
    "contentBase64",
    "etag",
    "contentType",
    "contentEncoding",
    "contentDisposition",
    "contentLanguage",
    "cacheControl",
    "metadata",
    "kmsKeyId",
    "serverSideEncryption",
    "bucketKeyEnabled",
    "storageClass",
    "websiteRedirect",
    "checksumAlgorithm",
)
_OBJECT_NAMES = {
    "kmsKeyId": "SSEKMSKeyId",
    "serverSideEncryption": "ServerSideEncryption",
    "websiteRedirect": "WebsiteRedirectLocation",
    "acl": "ACL",
    "etag": "",
    "tags": "",
    "content": "",
    "source": "",
}
_CHECKSUMS = {
    "checksumCrc32": "ChecksumCRC32",
    "checksumCrc32c": "ChecksumCRC32C",
    "checksumCrc64nvme": "ChecksumCRC64NVME",
    "checksumSha1": "ChecksumSHA1",
    "checksumSha256": "ChecksumSHA256",
}


def _body(call: Call, values: Values) -> bytes:
    source = values.get("source")
    if isinstance(source, Asset):
        try:
            return source.content()
        except (OSError, ValueError) as error:
            raise CloudError(f"reading the content of {call.thing}: {error}") from error
    if values.get("contentBase64"):
        return base64.b64decode(values["contentBase64"])
    return str(values.get("content") or "").encode()


def _put_object(call: Call, values: Values) -> str:
    bucket, key = values["bucket"], values["key"]
    parameters = convert.to_aws(values, schema.resource(_OBJECT).inputs, call.shape("PutObject"), _OBJECT_NAMES)
    parameters |= {"Bucket": bucket, "Key": key, "Body": _body(call, values)}
    if values.get("kmsKeyId"):
        parameters.setdefault("ServerSideEncryption", "aws:kms")
    if values.get("tagsAll"):
        from urllib.parse import urlencode

        parameters["Tagging"] = urlencode(values["tagsAll"])
    if "ContentType" not in parameters:
        guess = mimetypes.guess_type(key)[0] if isinstance(values.get("source"), Asset) else None
        parameters["ContentType"] = guess or "application/octet-stream"
    call.do("put_object", **parameters)
    return f"{bucket}/{key}"


def _object_of(identifier: str, state: Values) -> tuple[str, str]:
    if state.get("bucket") and state.get("key"):
        return state["bucket"], state["key"]
    bucket, _, key = identifier.removeprefix("s3://").partition("/")
    return bucket, key


def _read_object(call: Call, identifier: str, state: Values) -> Values | None:
    bucket, key = _object_of(identifier, state)
    missing = (*_NO_BUCKET, "NoSuchKey")
    answer = call.find("head_object", missing, Bucket=bucket, Key=key)
    if answer is None:
        return None
    tags = call.find("get_object_tagging", missing, Bucket=bucket, Key=key) or {}
    kms_key = answer.get("SSEKMSKeyId")
    result: Values = {
        "id": f"{bucket}/{key}",
        "bucket": bucket,
        "key": key,
        "arn": f"arn:{partition(call.region)}:s3:::{bucket}/{key}",
        "etag": answer.get("ETag", "").strip('"'),
        "versionId": answer.get("VersionId", ""),
        "contentType": answer.get("ContentType"),
        "contentEncoding": answer.get("ContentEncoding"),
        "contentDisposition": answer.get("ContentDisposition"),
        "contentLanguage": answer.get("ContentLanguage"),
        "cacheControl": answer.get("CacheControl"),
        "metadata": answer.get("Metadata") or None,
        "serverSideEncryption": answer.get("ServerSideEncryption"),
        "storageClass": answer.get("StorageClass") or "STANDARD",
        "bucketKeyEnabled": bool(answer.get("BucketKeyEnabled")),
        "websiteRedirect": answer.get("WebsiteRedirectLocation"),
        "tagsAll": tag_map(tags.get("TagSet")),
    }
    result |= {name: answer.get(member) or "" for name, member in _CHECKSUMS.items()}
    if kms_key:
        asked = state.get("kmsKeyId")
        # An id or alias was given: S3 tells the key's ARN.
        result["kmsKeyId"] = asked if asked and str(kms_key).endswith(str(asked)) else kms_key
    return result


def _update_object(call: Call, identifier: str, change: Change) -> None:
    if change.touches(*_CONTENT):
        _put_object(call, change.new)
    elif change.touches("tags", "tagsAll"):
        bucket, key = change.new["bucket"], change.new["key"]
        tags = tag_list(change.new.get("tagsAll") or {})
        call.do("put_object_tagging", Bucket=bucket, Key=key, Tagging={"TagSet": tags})
    if change.touches("acl") and change.new.get("acl") and not change.touches(*_CONTENT):
        call.do("put_object_acl", Bucket=change.new["bucket"], Key=change.new["key"], ACL=change.new["acl"])


def _delete_object(call: Call, identifier: str, state: Values) -> None:
    bucket, key = _object_of(identifier, state)
    if state.get("versionId"):
        _empty(call, bucket, key)
    else:
        call.remove("delete_object", (*_NO_BUCKET, "NoSuchKey"), Bucket=bucket, Key=key)


def _verify_object(inputs: Values) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    given = [name for name in ("source", "content", "contentBase64") if name in inputs]
    if len(given) > 1:
        problems.append((given[1], f"conflicts with {given[0]}: give one of them"))
    if "etag" in inputs and "kmsKeyId" in inputs:
        problems.append(("etag", "conflicts with kmsKeyId"))
    for key in inputs["metadata"] if isinstance(inputs.get("metadata"), dict) else {}:
        if key != key.lower():
            problems.append((f"metadata.{key}", "metadata keys are lower case"))
    return problems


_RECOMPUTED = ("etag", "versionId", *_CHECKSUMS)

RESOURCES = (
    Resource(
        token=_BUCKET,
        service="s3",
        create=_create_bucket,
        read=_read_bucket,
        update=_update_bucket,
        delete=_delete_bucket,
        force_new=frozenset({"bucket", "bucketPrefix", "objectLockEnabled", "bucketNamespace"}),
        auto_name=AutoName("bucket", 63, lower_case=True),
        defaults={"forceDestroy": False},
        unsupported=frozenset(
            {
                "accelerationStatus",
                "acl",
                "corsRules",
                "grants",
                "lifecycleRules",
                "logging",
                "objectLockConfiguration",
                "policy",
                "replicationConfiguration",
                "requestPayer",
                "serverSideEncryptionConfiguration",
                "versioning",
                "website",
            }
        ),
    ),
    _setting("BucketVersioning", _put_versioning, _get_versioning, _suspend_versioning),
    _setting(_ENCRYPTION, _put_encryption, _get_encryption, _delete_encryption, sets=frozenset({"rules"})),
    _setting(
        "BucketPublicAccessBlock",
        _put_public_access,
        _get_public_access,
        _delete_public_access,
        defaults=dict.fromkeys(_BLOCKS, False),
    ),
    _setting("BucketOwnershipControls", _put_ownership, _get_ownership, _delete_ownership),
    _setting(
        _LIFECYCLE,
        _put_lifecycle,
        _get_lifecycle,
        _delete_lifecycle,
        sets=frozenset({"rules"}),
        computed=frozenset({"transitionDefaultMinimumObjectSize"}),
    ),
    _setting("BucketPolicy", _put_policy, _get_policy, _delete_policy, policies=frozenset({"policy"})),
    Resource(
        token=_OBJECT,
        service="s3",
        create=_put_object,
        read=_read_object,
        update=_update_object,
        delete=_delete_object,
        force_new=frozenset({"bucket", "key"}),
        # Unnamed, an object's key is the resource's own name.
        auto_name=AutoName("key", 1024),
        computed=frozenset(
            {
                "acl",
                "bucketKeyEnabled",
                "contentType",
                "etag",
                "kmsKeyId",
                "serverSideEncryption",
                "storageClass",
            }
        ),
        defaults={"forceDestroy": False},
        recomputed=dict.fromkeys(_CONTENT, _RECOMPUTED),
        verify=_verify_object,
    ),
)
