"""From a live endpoint, or a package, back to the data: which package is served, what it was trained on, whom it
followed.

On SageMaker: DescribeEndpoint names the configuration, DescribeEndpointConfig its variants' models, DescribeModel
the package's folder in the bucket; the package's own documents and the record of its publication tell the rest.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from ..documents import load_object
from ..errors import ModelberthError, PackageError
from ..package import MAX_MANIFEST_BYTES, open_package, read_manifest
from ..publish import PREFIX
from ..schema import MANIFEST, DataVersion, check
from ..storage import explained, filesystem, is_remote, split_address

MOST_GENERATIONS = 50
"""A longer line of parents is cut off here."""


@dataclass(frozen=True)
class Origin:
    """One package, its data, and what it followed."""

    name: str
    digest: str
    address: str
    data: dict[str, Any]
    """Empty where the package names no data version."""

    lineage: dict[str, Any]
    """`parent` (the champion's digest), `data`, `execution`, and what else the record of its publication tells
    (docs/retraining.md); empty where no job published it."""


@dataclass(frozen=True)
class Served:
    """One variant of an endpoint, and the line of packages that ends in the one it serves."""

    variant: str
    line: list[Origin]


def trace_endpoint(endpoint: str) -> list[Served]:
    """Every variant of a SageMaker endpoint. ModelberthError names what is missing on the way."""
    boto3: Any = import_module("boto3")  # boto3 and botocore carry no types
    errors: Any = import_module("botocore.exceptions")
    served: list[Served] = []
    try:
        sagemaker = boto3.client("sagemaker")
        configuration = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        found = sagemaker.describe_endpoint_config(EndpointConfigName=configuration)
        variants: list[dict[str, Any]] = [*found["ProductionVariants"], *found.get("ShadowProductionVariants", [])]
        models: list[tuple[str, dict[str, Any]]] = [
            (one["VariantName"], sagemaker.describe_model(ModelName=one["ModelName"])) for one in variants
        ]
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise ModelberthError(f"cannot trace the endpoint {endpoint}: {error}") from error
    for variant, model in models:
        container: dict[str, Any] = model.get("PrimaryContainer") or {}
        folder: Any = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
        digest: Any = container.get("Environment", {}).get("MODELBERTH_PACKAGE_DIGEST")
        if not folder or not digest:
            raise ModelberthError(f"the variant {variant} of {endpoint} serves no package: {model['ModelName']}")
        served.append(Served(variant, trace_package(f"{folder.rstrip('/')}@{digest}")))
    return served


def trace_package(address: str) -> list[Origin]:
    """A package and those before it, the newest first. Raises PackageError or StorageError where it, or one that
    it names, is damaged or cannot be read."""
    line = [_origin(address)]
    while (parent := line[-1].lineage.get("parent")) and len(line) < MOST_GENERATIONS:
        if any(parent == one.digest for one in line):
            break  # a candidate that is the champion again
        location, _ = split_address(line[-1].address)
        folder = f"{location.rpartition('/')[0]}/{parent.removeprefix('sha256:')}"
        if not _exists(f"{folder}/{MANIFEST}"):
            break  # no longer kept; its digest stands in the lineage
        line.append(_origin(f"{folder}@{parent}"))
    return line


def _origin(address: str) -> Origin:
    location, expected = split_address(address.rstrip("/"))
    if not is_remote(location):
        package = open_package(address)
        return Origin(package.name, package.digest, address, package.data, {})
    location = location.rstrip("/")
    digest, manifest = read_manifest(_read(f"{location}/{MANIFEST}", MAX_MANIFEST_BYTES), expected)
    data: dict[str, Any] = {}
    entry = manifest["files"].get("data.json")
    if entry is not None:
        content = _read(f"{location}/data.json", entry["bytes"])
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise PackageError(f"data.json: not the one that {location}/{MANIFEST} lists", file="data.json")
        data = load_object(content, "data.json")
        check(data, DataVersion, "data.json")
    name = manifest["name"]
    return Origin(name, digest, f"{location}@{digest}", data, _lineage(location, name, digest))


def _lineage(location: str, name: str, digest: str) -> dict[str, Any]:
    """What the retraining pipeline wrote down when it published the package."""
    bucket = re.sub(rf"/{PREFIX}/{re.escape(name)}/[0-9a-f]{{64}}$", "", location)
    record = f"{bucket}/candidates/{name}/{digest.removeprefix('sha256:')}.json"
    if bucket == location or not _exists(record):
        return {}
    found = load_object(_read(record, 1 << 24), record).get("lineage")
    if not isinstance(found, dict):
        raise ModelberthError(f"{record}: has no lineage")
    return cast("dict[str, Any]", found)


def _exists(address: str) -> bool:
    fs, path = filesystem(address)
    with explained(address, "look for"):
        return bool(fs.exists(path))


def _read(address: str, limit: int) -> bytes:
    fs, path = filesystem(address)
    with explained(address, "read"), fs.open(path, "rb") as source:
        return source.read(limit + 1)
