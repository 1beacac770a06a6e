"""An S3-compatible object store on site, spoken to by the program itself: no provider of Pulumi's knows it.

What a store can do differs. Each setting that it does not know is found out by asking, and told; none is assumed.
All that is done here can be done again without a change, and nothing is ever deleted.
"""

# botocore makes its clients' methods at run time, so that there are no types to check.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import base64
import functools
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
import pulumi_kubernetes as kubernetes

from model_packaging.errors import ModelberthError
from model_packaging.package import Package
from model_packaging.publish import location, publish

from ...uploads import Upload


@dataclass(frozen=True)
class Access:
    """How a store is reached.

    Attributes:
        endpoint_url: Its address as pods reach it.
        region: What its requests are signed for.
        access_key_id: Who asks.
        secret_access_key: The secret of who asks.
        external_url: Its address as the program reaches it, if that is another one.
        certificates: In PEM, what its own is checked against; the system's if left out.
    """

    endpoint_url: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    external_url: str | None = None
    certificates: str | None = None

    @property
    def url(self) -> str:
        """Its address as the program reaches it."""
        return self.external_url or self.endpoint_url

    @property
    def verify(self) -> str | None:
        """The file with the certificates, as the clients want it."""
        return _certificates_file(self.certificates) if self.certificates else None

    def storage_options(self) -> dict[str, Any]:
        """Return the options for fsspec."""
        client = {"region_name": self.region} | ({"verify": self.verify} if self.verify else {})
        return {
            "key": self.access_key_id,
            "secret": self.secret_access_key,
            "endpoint_url": self.url,
            "client_kwargs": client,
        }


CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
CERTIFICATES_FOLDER, CERTIFICATES = "/etc/modelberth/store", "ca.crt"
"""Where a pod finds the store's certificates, if it has any of its own."""
_ADDRESS, _EXTERNAL = "AWS_ENDPOINT_URL_S3", "MODELBERTH_STORE_EXTERNAL_URL"


def secret_data(access: Access) -> dict[str, str]:
    """Return a Secret's data, from which pods take variables and the program its own access."""
    values = {
        CREDENTIALS[0]: access.access_key_id,
        CREDENTIALS[1]: access.secret_access_key,
        _ADDRESS: access.endpoint_url,
        "AWS_REGION": access.region,
    }
    if access.external_url is not None:
        values[_EXTERNAL] = access.external_url
    if access.certificates is not None:
        values |= {"AWS_CA_BUNDLE": f"{CERTIFICATES_FOLDER}/{CERTIFICATES}", CERTIFICATES: access.certificates}
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def access_from(data: Mapping[str, str], name: str, **written: str | None) -> Access:
    """Return how a store is reached, from the data of the Secret `name`; what is `written` goes before it.

    Raises:
        ModelberthError: the Secret lacks a key.
    """
    known = {
        "endpoint_url": _ADDRESS,
        "external_url": _EXTERNAL,
        "region": "AWS_REGION",
        "certificates": CERTIFICATES,
    }
    values = _decoded(data)
    found = {field: written.get(field) or values.get(key) for field, key in known.items()}
    missing = [key for key in CREDENTIALS if not values.get(key)]
    missing += [] if found["endpoint_url"] else [_ADDRESS]
    if missing:
        raise ModelberthError(f"the Secret {name} lacks {' and '.join(missing)}")
    return Access(
        str(found["endpoint_url"]),
        found["region"] or "us-east-1",
        *(values[key] for key in CREDENTIALS),
        external_url=found["external_url"],
        certificates=found["certificates"],
    )


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


@functools.cache
def _certificates_file(text: str) -> str:
    file = Path(_scratch().name) / f"{hashlib.sha256(text.encode()).hexdigest()}.pem"
    file.write_text(text)
    return str(file)


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="modelberth-")


@dataclass(frozen=True)
class Wanted:
    """What a bucket should be.

    Attributes:
        keep_noncurrent_days: For how long a replaced object can be brought back.
        encryption_key: The store's name of the key that encrypts; its own if left out.
    """

    keep_noncurrent_days: int
    encryption_key: str | None = None


def ensure(bucket: str, wanted: Wanted, access: Access) -> list[str]:
    """Make a bucket private, versioned and encrypted, as far as its store can.

    Returns:
        What the store can't do, one sentence each.

    Raises:
        ModelberthError: the store does not answer, refuses the credentials, or does not keep versions.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import get_session

    # The store that is wanted, whatever the shell says of AWS.
    client: Any = get_session().create_client(
        "s3",
        region_name=access.region,
        endpoint_url=access.url,
        aws_access_key_id=access.access_key_id,
        aws_secret_access_key=access.secret_access_key,
        verify=access.verify,
        config=Config(s3={"addressing_style": "path"}, connect_timeout=10, retries={"max_attempts": 3}),
    )
    where = f"the store {access.url}"
    try:
        _create(client, bucket)
    except ClientError as error:
        raise ModelberthError(_refused(where, bucket, error)) from error
    except BotoCoreError as error:
        raise ModelberthError(f"{where} does not answer: {error}; look at endpoint_url and at the network") from error
    lacking: list[str] = []
    for what, call in _settings(client, bucket, wanted):
        try:
            call()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code not in _UNKNOWN:
                raise ModelberthError(_refused(where, bucket, error)) from error
            if what == _VERSIONS:
                raise ModelberthError(
                    f"{where} can't {what} ({code}), and without versions nothing that was replaced can be brought "
                    "back: switch versioning on in the store, or use another"
                ) from error
            lacking.append(f"{where} can't {what} ({code}): see to it in the store itself")
    return lacking


_UNKNOWN = ("NotImplemented", "501", "MethodNotAllowed", "UnsupportedOperation", "XNotImplemented")
_VERSIONS = "keep versions"


def _create(client: Any, bucket: str) -> None:
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
            raise
        client.create_bucket(Bucket=bucket)


def _settings(client: Any, bucket: str, wanted: Wanted) -> list[tuple[str, Callable[[], Any]]]:
    encryption = (
        {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": wanted.encryption_key}
        if wanted.encryption_key
        else {"SSEAlgorithm": "AES256"}
    )
    lifecycle = {
        "ID": "expire-noncurrent",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": wanted.keep_noncurrent_days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }
    private = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    return [
        (
            _VERSIONS,
            lambda: client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
        ),
        (
            "encrypt a bucket",
            lambda: client.put_bucket_encryption(
                Bucket=bucket,
                ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": encryption}]},
            ),
        ),
        (
            "block public access",
            lambda: client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=private),
        ),
        (
            "expire replaced objects",
            lambda: client.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": [lifecycle]}
            ),
        ),
    ]


def _refused(where: str, bucket: str, error: Any) -> str:
    found = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = str(found.get("Code") or status)
    advice = ""
    if status == 403 or code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"):
        advice = "; look at the Secret that bucket.kubernetes.secret names, and at what its user may do"
    return (
        f"{where} refuses {error.operation_name} on the bucket {bucket}: {code} {found.get('Message', '')}".rstrip()
        + advice
    )


_VOLUME = "store"
MOUNT = {_VOLUME: CERTIFICATES_FOLDER}
"""Where a container mounts what `volume` returns."""


def volume(secret: pulumi.Input[str]) -> kubernetes.core.v1.VolumeArgsDict:
    """Return the volume with the store's certificates, empty where it has none of its own."""
    items: list[kubernetes.core.v1.KeyToPathArgsDict] = [{"key": CERTIFICATES, "path": CERTIFICATES}]
    return {"name": _VOLUME, "secret": {"secret_name": secret, "items": items, "optional": True}}


def secret_name(bucket: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return the name of the Secret that `ArtifactBucket` makes: the bucket's own."""
    return pulumi.Output.from_input(bucket).apply(_bucket_name)


def _bucket_name(address: str) -> str:
    return address.removeprefix("s3://").strip("/")


def reach(
    name: str, component: pulumi.ComponentResource, namespace: pulumi.Input[str], secret: pulumi.Input[str]
) -> pulumi.Output[Access]:
    """Return how the program reaches the store by the Secret that pods use, too; secret itself."""
    address = pulumi.Output.concat(namespace, "/", secret)
    given = kubernetes.core.v1.Secret.get(name, address, pulumi.ResourceOptions(parent=component))
    return pulumi.Output.secret(pulumi.Output.all(given.data, address).apply(lambda both: access_from(*both)))


def uploaded_package(bucket: pulumi.Input[str], access: pulumi.Output[Access], package: Package) -> pulumi.Output[str]:
    """Publish a package into the bucket, and return its address with digest once it is there whole."""
    return _sent(
        bucket,
        access,
        lambda there: f"{location(there, package.name, package.digest)}@{package.digest}",
        lambda there, how: publish(package, there, storage_options=how.storage_options()),
    )


def uploaded_files(bucket: pulumi.Input[str], access: pulumi.Output[Access], upload: Upload) -> pulumi.Output[str]:
    """Keep files in the bucket under a prefix made of their content, and return their address once all are there."""

    def send(there: str, how: Access) -> None:
        from model_packaging.storage import explained, filesystem

        folder = f"{there}/{upload.prefix.rstrip('/')}"
        fs, root = filesystem(folder, how.storage_options())
        with explained(folder, "write"):
            present = {path.removeprefix(f"{root}/"): size for path, size in _sizes(fs, root).items()}
            for key, file in sorted(upload.files.items()):
                if present.get(key) != file.stat().st_size:
                    fs.put_file(str(file), f"{root}/{key}")

    return _sent(bucket, access, lambda there: f"{there}/{upload.prefix.rstrip('/')}", send)


def _sizes(fs: Any, root: str) -> dict[str, int]:
    try:
        return {path: info["size"] for path, info in fs.find(root, detail=True).items()}
    except FileNotFoundError:
        return {}


_SENDING: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], asyncio.Future[object]]] = (
    WeakKeyDictionary()
)
"""What is sent or was, by its store and address: a run of the program has an event loop of its own."""


def _sent(
    bucket: pulumi.Input[str],
    access: pulumi.Output[Access],
    address: Callable[[str], str],
    send: Callable[[str, Access], object],
) -> pulumi.Output[str]:
    """Send something to the bucket, unless it is there already, when the stack is deployed; return where it is."""

    async def act(known: Sequence[Any]) -> str:
        there, how = str(known[0]).rstrip("/"), known[1]
        target = address(there)
        if not pulumi.runtime.is_dry_run():
            # Endpoint, monitor and retraining want the same package: it is sent once.
            sending = _SENDING.setdefault(asyncio.get_running_loop(), {})
            if (how.url, target) not in sending:
                sending[how.url, target] = asyncio.ensure_future(asyncio.to_thread(send, there, how))
            await sending[how.url, target]
        return target

    return pulumi.Output.unsecret(pulumi.Output.all(pulumi.Output.from_input(bucket), access).apply(act))
