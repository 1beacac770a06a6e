"""Push a package to a registry, and pull one from it."""

import hashlib
import io
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, cast

from ..archive import MAX_PACKAGE_BYTES
from ..documents import load_object
from ..errors import PackageError
from ..package import MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, Package, read_manifest, unpack, verify
from ..schema import MANIFEST, MAX_FILES, SIGNATURE, check_path
from . import content
from .client import Registry
from .reference import DIGEST, Reference

Kind = Literal["artifact", "image"]


def push(package: Package, destination: str, kind: Kind = "artifact") -> str:
    """Store a verified package under `oci://registry/repository[:tag]` and return its address with the digest that
    the registry knows it by. Without a tag, the tag is the package's own digest. What is there already is not sent
    again; the manifest goes last. Raises StorageError."""
    reference = Reference.parse(destination)
    tag = reference.tag or package.digest.removeprefix("sha256:")
    with _registry(reference) as registry:
        write = _push_image if kind == "image" else _push_artifact
        media_type, manifest = write(registry, package)
        registry.put_manifest(tag, manifest, media_type)
    digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    return str(Reference(reference.registry, reference.repository, digest=digest))


def pull(address: str, folder: Path, expected: str | None = None) -> Package:
    """Bring a package into an empty folder and verify it there: the registry's digest, the digest of every blob, and
    the package's own (`expected`, where it is known). Raises StorageError or PackageError."""
    reference = Reference.parse(address)
    kinds = (content.IMAGE_MANIFEST, content.IMAGE_INDEX)
    with _registry(reference) as registry:
        _, found = registry.manifest(reference.digest or reference.tag or "latest", kinds)
        manifest = _document(found, address)
        if manifest.get("mediaType") == content.IMAGE_INDEX:
            entries = _descriptors(manifest, "manifests", address)
            if not entries:
                raise PackageError(f"{address}: the index names no manifest")
            _, found = registry.manifest(entries[0]["digest"], kinds)
            manifest = _document(found, address)
        layers = _descriptors(manifest, "layers", address)
        if manifest.get("artifactType") == content.MODEL_MANIFEST:
            _pull_files(registry, layers, folder, address, expected)
        else:
            _pull_layer(registry, layers, folder, address)
    return verify(folder, expected)


def _push_artifact(registry: Registry, package: Package) -> tuple[str, bytes]:
    layers = [content.file_layer(package, file) for file in content.files(package)]
    config = content.artifact_config(package, layers)
    for layer in layers:
        with (package.path / layer["annotations"][content.FILE_PATH]).open("rb") as source:
            registry.put_blob(layer["digest"], source, layer["size"])
    _put(registry, config)
    return content.IMAGE_MANIFEST, content.artifact_manifest(package, config, layers)


def _push_image(registry: Registry, package: Package) -> tuple[str, bytes]:
    with tempfile.TemporaryFile() as archive:
        content.image_layer(package, archive)
        size = archive.tell()
        archive.seek(0)
        digest = f"sha256:{hashlib.file_digest(archive, 'sha256').hexdigest()}"
        archive.seek(0)
        layer: dict[str, Any] = {"mediaType": content.IMAGE_LAYER, "digest": digest, "size": size}
        registry.put_blob(digest, cast(IO[bytes], archive), size)
    manifests: dict[str, bytes] = {}
    for architecture in content.PLATFORMS:
        config = content.image_config(architecture, layer)
        _put(registry, config)
        manifests[architecture] = content.image_manifest(package, config, layer)
        digest = content.descriptor(manifests[architecture], content.IMAGE_MANIFEST)["digest"]
        registry.put_manifest(digest, manifests[architecture], content.IMAGE_MANIFEST)
    return content.IMAGE_INDEX, content.image_index(package, manifests)


def _put(registry: Registry, document: bytes) -> None:
    registry.put_blob(f"sha256:{hashlib.sha256(document).hexdigest()}", io.BytesIO(document), len(document))


def _pull_files(
    registry: Registry, layers: list[dict[str, Any]], folder: Path, address: str, expected: str | None
) -> None:
    """An artifact: one layer for each file, first the manifest, which says what else is allowed to come."""
    by_file: dict[str, dict[str, Any]] = {}
    for layer in layers:
        notes: dict[str, Any] = layer.get("annotations") or {}
        file = str(notes.get(content.FILE_PATH, ""))
        problem = check_path(file) if file else "has no file path"
        if problem or file in by_file:
            raise PackageError(f"{file!r}: {problem or 'appears twice in the artifact'}", file=file)
        by_file[file] = layer
    if MANIFEST not in by_file:
        raise PackageError(f"{address}: holds no {MANIFEST}, so it is no package", file=MANIFEST)
    _get(registry, by_file.pop(MANIFEST), folder / MANIFEST, MANIFEST, MAX_MANIFEST_BYTES)
    _, manifest = read_manifest((folder / MANIFEST).read_bytes(), expected)
    for file, layer in sorted(by_file.items()):
        limit = MAX_SIGNATURE_BYTES if file == SIGNATURE else manifest["files"].get(file, {}).get("bytes")
        if limit is None:
            raise PackageError(f"{file}: not in {MANIFEST}", file=file)
        _get(registry, layer, folder / file, file, limit)


def _pull_layer(registry: Registry, layers: list[dict[str, Any]], folder: Path, address: str) -> None:
    """An image: one tar, with the package under its own folder."""
    if len(layers) != 1 or layers[0]["mediaType"] not in (content.IMAGE_LAYER, f"{content.IMAGE_LAYER}+gzip"):
        kinds = ", ".join(layer["mediaType"] for layer in layers[:5]) or "no layer"
        raise PackageError(f"{address}: is neither a package's artifact nor its image: it has {kinds}")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        archive = Path(temporary) / "layer"
        _get(registry, layers[0], archive, "the layer", MAX_PACKAGE_BYTES + MAX_FILES * 1024)
        unpack(archive, folder, inside=content.FOLDER)


def _get(registry: Registry, layer: dict[str, Any], target: Path, file: str, limit: int) -> None:
    if layer["size"] > limit:
        raise PackageError(f"{file}: {layer['size']:,} bytes, the limit is {limit:,}", file=file)
    target.parent.mkdir(parents=True, exist_ok=True)
    registry.get_blob(layer["digest"], layer["size"], target)


def _document(found: bytes, address: str) -> dict[str, Any]:
    return load_object(found, f"the manifest of {address}")


def _descriptors(manifest: dict[str, Any], key: str, address: str) -> list[dict[str, Any]]:
    entries: Any = manifest.get(key, [])
    good = isinstance(entries, list) and len(cast(list[Any], entries)) <= MAX_FILES + 2
    for entry in cast(list[Any], entries) if good else []:
        fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
        size = fields.get("size")
        good = good and isinstance(size, int) and size >= 0 and isinstance(fields.get("mediaType"), str)
        good = good and isinstance(fields.get("annotations") or {}, dict)
        good = good and DIGEST.fullmatch(str(fields.get("digest"))) is not None
    if not good:
        raise PackageError(f"the manifest of {address}: {key} must be a list of descriptors by sha256")
    return cast(list[dict[str, Any]], entries)


@contextmanager
def _registry(reference: Reference) -> Generator[Registry]:
    registry = Registry(reference)
    try:
        yield registry
    finally:
        registry.close()
