"""Publish a package into a bucket by its digest, and pull it back, verified on arrival."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from .errors import StorageError
from .package import Package, fetch_into, open_package, verify
from .schema import MANIFEST, SIGNATURE
from .storage import explained, filesystem, is_remote, place, split_address

PREFIX = "packages"


def publish(
    package: Package | str | Path,
    destination: str,
    *,
    storage_options: dict[str, Any] | None = None,
    kind: Literal["artifact", "image"] = "artifact",
) -> str:
    """Copy a package to `<destination>/packages/<name>/<hex>/`, or into a registry, and return its address with
    digest.

    The manifest goes last, so that a copy broken off is never taken for a package; done again, it
    copies only what is missing. Where `destination` is `oci://registry/repository[:tag]`, `kind` says whether it
    becomes an artifact by the CNCF ModelPack specification, or an image that Kubernetes mounts as a volume.
    Raises StorageError, or PackageError if the package is damaged.
    """
    package = package if isinstance(package, Package) else open_package(package)
    # What was verified when the package was opened may have been changed since.
    package = verify(package.path, package.digest)
    if destination.startswith("oci://"):
        from . import oci

        return oci.push(package, destination, kind)
    if kind != "artifact":
        raise StorageError(f"cannot publish to {destination} as an image: choose an address oci://registry/repository")
    if not is_remote(destination):
        destination = Path(destination).absolute().as_uri()
    folder = location(destination, package.name, package.digest)
    fs, root = filesystem(folder, storage_options)
    manifest = (package.path / MANIFEST).read_bytes()
    # What a killed process leaves behind must not lie within the package, where it would be a file too many.
    scratch = Path(root).parent
    with explained(folder, "write"):
        if "file" in fs.protocol:
            scratch.mkdir(parents=True, exist_ok=True)
        if package.signed:
            place(fs, f"{root}/{SIGNATURE}", package.path / SIGNATURE, scratch)
        if _manifest_there(fs, root) != manifest:
            for file, entry in sorted(package.files.items()):
                if _size(fs, f"{root}/{file}") != entry["bytes"]:
                    place(fs, f"{root}/{file}", package.path / file, scratch)
            _check_sizes(fs, root, folder, package)
            place(fs, f"{root}/{MANIFEST}", manifest, scratch)
        else:
            _check_sizes(fs, root, folder, package)
    return f"{folder}@{package.digest}"


def pull(address: str, destination: str | Path, *, storage_options: dict[str, Any] | None = None) -> Package:
    """Bring a published package into a new local folder; it appears there whole and verified or not at all."""
    target = Path(destination)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StorageError(f"cannot write {target}: it exists and is not an empty folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".modelberth-") as temporary:
        folder = Path(temporary) / "package"
        folder.mkdir()
        package = _bring(address, folder, storage_options)
        if target.exists():
            target.rmdir()
        folder.rename(target)
    return replace(package, path=target)


def _bring(address: str, folder: Path, storage_options: dict[str, Any] | None) -> Package:
    if address.startswith("oci://"):
        from . import oci

        return oci.pull(address, folder)
    source, digest = split_address(address)
    if is_remote(source) and not source.endswith((".tar", ".tar.gz", ".tgz")):
        return fetch_into(source.rstrip("/"), folder, digest, storage_options)
    package = open_package(address, storage_options=storage_options)
    shutil.copytree(package.path, folder, dirs_exist_ok=True)
    return verify(folder, package.digest)


def location(destination: str, name: str, digest: str) -> str:
    """Where a package of this name and digest is published."""
    return f"{destination.rstrip('/')}/{PREFIX}/{name}/{digest.removeprefix('sha256:')}"


def _manifest_there(fs: Any, root: str) -> bytes | None:
    try:
        return fs.cat_file(f"{root}/{MANIFEST}")
    except FileNotFoundError:
        return None


def _size(fs: Any, path: str) -> int | None:
    try:
        return fs.info(path)["size"]
    except FileNotFoundError:
        return None


def _check_sizes(fs: Any, root: str, folder: str, package: Package) -> None:
    wrong = [file for file, entry in sorted(package.files.items()) if _size(fs, f"{root}/{file}") != entry["bytes"]]
    if wrong:
        raise StorageError(f"cannot publish to {folder}: {wrong[0]} is missing there or not whole")
