"""What is stored in a registry for a package: descriptors, configurations and manifests. Same package, same bytes.

Artifact: https://github.com/modelpack/model-spec/blob/main/docs/spec.md (version 0.0.7). Each file is a layer of
its own, as it is, so that a file that several packages share is stored once and any tool can fetch one alone.

Image: https://github.com/opencontainers/image-spec/blob/main/manifest.md. One uncompressed tar with the package
under `models/`, where KServe (`oci+native://`) looks, and where `subPath: models` of a Kubernetes image volume
finds it: https://kubernetes.io/docs/tasks/configure-pod-container/image-volumes/
"""

import hashlib
import tarfile
from pathlib import Path
from typing import IO, Any

from ..documents import dumps
from ..package import Package
from ..schema import MANIFEST, SIGNATURE

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar"
MODEL_MANIFEST = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
DOCUMENT = "application/vnd.cncf.model.doc.v1.raw"
FILE_PATH = "org.cncf.model.filepath"

FOLDER = "models"
"""Where an image holds the package."""

PLATFORMS = ("amd64", "arm64")
"""A container runtime takes only an image for its own processor, whatever is in it."""


def descriptor(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """The descriptor of some bytes."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content), **more}


def files(package: Package) -> list[str]:
    """The files of a package in a registry: the manifest first, then the rest, then the signature if it has one."""
    signature = [SIGNATURE] if package.signed else []
    return [MANIFEST, *sorted(package.files), *signature]


def file_layer(package: Package, file: str) -> dict[str, Any]:
    """The layer of one file in an artifact."""
    if file in package.files:
        entry = package.files[file]
        digest, size = f"sha256:{entry['sha256']}", entry["bytes"]
    else:
        content = (package.path / file).read_bytes()
        digest, size = f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)
    kind = WEIGHT if file.startswith("model/") else DOCUMENT if file.startswith("card.") else WEIGHT_CONFIG
    return {"mediaType": kind, "digest": digest, "size": size, "annotations": {FILE_PATH: file}}


def artifact_config(package: Package, layers: list[dict[str, Any]]) -> bytes:
    """The model's configuration, by ModelPack's schema."""
    about = {"name": package.name, "version": package.digest, "description": package.manifest.get("description") or ""}
    created = package.manifest.get("created")
    return dumps(
        {
            "descriptor": about | ({"createdAt": created} if created else {}),
            "config": {"format": package.format},
            "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
        }
    )


def artifact_manifest(package: Package, config: bytes, layers: list[dict[str, Any]]) -> bytes:
    """The manifest of an artifact."""
    return dumps(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "artifactType": MODEL_MANIFEST,
            "config": descriptor(config, MODEL_CONFIG),
            "layers": layers,
            "annotations": annotations(package),
        }
    )


def image_layer(package: Package, sink: IO[bytes]) -> None:
    """Write the tar of an image, block by block."""
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        names = files(package)
        parents = {str(parent) for name in names for parent in Path(FOLDER, name).parents if str(parent) != "."}
        for folder in sorted(parents):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name in sorted(names):
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode = (package.path / name).stat().st_size, 0o644
            with (package.path / name).open("rb") as source:
                archive.addfile(entry, source)


def image_config(architecture: str, layer: dict[str, Any]) -> bytes:
    """An image's configuration; nothing in it is run."""
    return dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
    )


def image_manifest(package: Package, config: bytes, layer: dict[str, Any]) -> bytes:
    """The manifest of an image for one processor."""
    return dumps(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_MANIFEST,
            "config": descriptor(config, IMAGE_CONFIG),
            "layers": [layer],
            "annotations": annotations(package),
        }
    )


def image_index(package: Package, manifests: dict[str, bytes]) -> bytes:
    """The index of an image: its manifest for each processor."""
    entries = [
        descriptor(content, IMAGE_MANIFEST, platform={"architecture": architecture, "os": "linux"})
        for architecture, content in manifests.items()
    ]
    return dumps(
        {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": entries, "annotations": annotations(package)}
    )


def annotations(package: Package) -> dict[str, str]:
    """https://github.com/opencontainers/image-spec/blob/main/annotations.md; the version is the package's digest."""
    found = {"org.opencontainers.image.title": package.name, "org.opencontainers.image.version": package.digest}
    for key, name in (("description", "description"), ("created", "created")):
        if package.manifest.get(name):
            found[f"org.opencontainers.image.{key}"] = package.manifest[name]
    return found
