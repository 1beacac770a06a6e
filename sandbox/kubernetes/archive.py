"""Writes a container image as an archive in OCI's layout, for a container runtime to import.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image in an archive that a container runtime can import."""

    name: str
    """Its name and tag; another content has another tag."""

    archive: Path


def write(image: Image, layer: bytes, config: Mapping[str, Any]) -> None:
    """Write an image of one layer.

    Args:
        image: Its name, and the archive to write.
        layer: An uncompressed tar with the image's files.
        config: What of OCI's image configuration is its own, such as `Entrypoint`.
    """
    with tarfile.open(image.archive, "w") as archive:

        def add(path: str, content: bytes) -> None:
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

        def add_blob(content: bytes, kind: str) -> dict[str, Any]:
            digest = hashlib.sha256(content).hexdigest()
            add(f"blobs/sha256/{digest}", content)
            return {
                "mediaType": f"application/vnd.oci.image.{kind}",
                "digest": f"sha256:{digest}",
                "size": len(content),
            }

        layer_entry = add_blob(layer, "layer.v1.tar")
        described = {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]},
        }
        config_entry = add_blob(json.dumps(described).encode(), "config.v1+json")
        manifest = {"schemaVersion": 2, "config": config_entry, "layers": [layer_entry]}
        manifest_entry = add_blob(json.dumps(manifest).encode(), "manifest.v1+json")
        manifest_entry["annotations"] = {"io.containerd.image.name": image.name}
        add("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest_entry]}).encode())
        add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')


def layer_of(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of executables, each with its path in the image."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            layer.addfile(entry, io.BytesIO(data))
    return content.getvalue()
