"""Open a package and verify every byte of it, without running anything in it."""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, cast

from .archive import MAX_PACKAGE_BYTES, extract
from .documents import load_object
from .errors import PackageError, StorageError
from .schema import DOCUMENTS, MANIFEST, REQUIRED, SIGNATURE, Manifest, check, check_agreement, check_path
from .storage import explained, filesystem, is_remote, split_address

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_SIGNATURE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Package:
    """A verified package on this machine. The documents are plain dictionaries, empty where absent."""

    path: Path
    digest: str
    """`sha256:<hex>` of manifest.json."""

    manifest: dict[str, Any]
    documents: dict[str, dict[str, Any]] = field(repr=False)

    @property
    def name(self) -> str:
        return self.manifest["name"]

    @property
    def format(self) -> str:
        return self.manifest["format"]

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Path to `{"sha256", "bytes"}`, without the manifest itself."""
        return self.manifest["files"]

    @property
    def signature(self) -> dict[str, Any]:
        return self.documents["signature.json"]

    @property
    def examples(self) -> dict[str, Any]:
        return self.documents["examples.json"]

    @property
    def baseline(self) -> dict[str, Any]:
        return self.documents.get("baseline.json", {})

    @property
    def validation(self) -> dict[str, Any]:
        return self.documents.get("validation.json", {})

    @property
    def data(self) -> dict[str, Any]:
        return self.documents.get("data.json", {})

    @property
    def size(self) -> int:
        """Bytes of all files, without the manifest."""
        return sum(entry["bytes"] for entry in self.files.values())

    @property
    def signed(self) -> bool:
        """Whether a signature lies in the folder; whose it is and whether it holds, `signing.verify` tells."""
        return (self.path / SIGNATURE).is_file()

    def read(self, file: str) -> bytes:
        """The bytes of one file, verified again: it may have changed since the package was opened."""
        if file not in self.files:
            raise PackageError(f"{file}: not in {MANIFEST}", file=file)
        content = _read(self.path, file, self.files[file]["bytes"])
        _compare(file, hashlib.sha256(content).hexdigest(), self.files[file]["sha256"])
        return content

    def checked(self, file: str) -> Path:
        """Where one file lies, verified again like `read` and not held in memory: for what a library reads itself."""
        if file not in self.files:
            raise PackageError(f"{file}: not in {MANIFEST}", file=file)
        _compare(file, _hash(self.path, file, self.files[file]["bytes"]), self.files[file]["sha256"])
        return self.path / file


def open_package(
    address: str | Path,
    *,
    expected_digest: str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Package:
    """Open a folder, a `.tar` or `.tar.gz`, or a URL, and verify all of it.

    The digest in an address `oci://registry/repository@sha256:…` is the registry's own, of its manifest; everywhere
    else it is the package's. An archive or a URL is first brought into the cache (`MODELBERTH_CACHE`, else
    `~/.cache/modelberth`), where the digest names its folder. Raises PackageError, naming the first
    bad file, or StorageError when the address cannot be read.
    """
    if str(address).startswith("oci://"):
        return _open_oci(str(address), expected_digest)
    location, digest = split_address(str(address))
    if digest and expected_digest and digest != expected_digest:
        raise PackageError(f"{address}: the address says {digest}, expected is {expected_digest}")
    expected = expected_digest or digest
    if is_remote(location):
        return _open_remote(location, expected, storage_options)
    path = Path(location)
    if path.is_dir():
        return verify(path, expected)
    if path.is_file():
        return _open_archive(path, expected)
    raise StorageError(f"cannot open {location}: there is no such folder or archive")


def verify(folder: Path, expected_digest: str | None = None) -> Package:
    """Verify a package folder: exactly the files of the manifest, each with exactly its bytes, and perhaps a
    signature, of which only the size is looked at."""
    content = _read(folder, MANIFEST, MAX_MANIFEST_BYTES)
    digest, manifest = read_manifest(content, expected_digest)
    files: dict[str, dict[str, Any]] = manifest["files"]
    for extra in _files_below(folder):
        if extra not in files and extra not in (MANIFEST, SIGNATURE):
            raise PackageError(f"{extra}: not in {MANIFEST}", file=extra)
        if extra == SIGNATURE:
            _check_size(SIGNATURE, (folder / SIGNATURE).stat().st_size, MAX_SIGNATURE_BYTES, exact=False)
    documents: dict[str, dict[str, Any]] = {}
    for file, entry in sorted(files.items()):
        if file in DOCUMENTS:
            content = _read(folder, file, entry["bytes"])
            found = hashlib.sha256(content).hexdigest()
        else:
            content, found = b"", _hash(folder, file, entry["bytes"])
        _compare(file, found, entry["sha256"])
        if file in DOCUMENTS:
            documents[file] = load_object(content, file)
            check(documents[file], DOCUMENTS[file], file)
    check_agreement(documents)
    return Package(path=folder, digest=digest, manifest=manifest, documents=documents)


def read_manifest(content: bytes, expected_digest: str | None = None) -> tuple[str, dict[str, Any]]:
    """The digest of a manifest and its content, checked by itself."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if expected_digest and digest != expected_digest:
        raise PackageError(f"{MANIFEST}: the digest is {digest}, expected is {expected_digest}", file=MANIFEST)
    manifest = load_object(content, MANIFEST, MAX_MANIFEST_BYTES)
    files = manifest.get("files")
    for path in sorted(cast(dict[str, Any], files)) if isinstance(files, dict) else []:
        problem = check_path(path)
        if problem:
            raise PackageError(f"{path!r}: {problem}", file=path)
    check(manifest, Manifest, MANIFEST)
    _check_set(manifest["files"])
    return digest, manifest


def unpack(archive: Path, folder: Path, expected: str | None = None, inside: str = "") -> None:
    """Unpack an archive into an empty folder, of which nothing is written that its manifest does not list. To be
    verified then. See `archive.extract`."""

    def allowed(source: IO[bytes]) -> dict[str, int]:
        content = source.read(MAX_MANIFEST_BYTES + 1)
        _, manifest = read_manifest(content, expected)
        sizes = {file: entry["bytes"] for file, entry in manifest["files"].items()}
        return {**sizes, MANIFEST: len(content), SIGNATURE: MAX_SIGNATURE_BYTES}

    extract(archive, folder, allowed, inside)


def cache_folder() -> Path:
    """Where archives and downloads are kept; a fresh temporary folder when that cannot be written."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelberth"
    folder = Path(os.environ.get("MODELBERTH_CACHE") or default) / "packages"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="modelberth-"))


def fetch_into(location: str, folder: Path, expected: str | None, options: dict[str, Any] | None = None) -> Package:
    """Download a package from a URL into an empty folder and verify it there."""
    fs, root = filesystem(location, options)
    content = _remote_manifest(fs, root, location)
    _, manifest = read_manifest(content, expected)
    (folder / MANIFEST).write_bytes(content)
    sizes: dict[str, int] = {file: entry["bytes"] for file, entry in manifest["files"].items()}
    with explained(f"{location}/{SIGNATURE}", "read"):
        if fs.exists(f"{root}/{SIGNATURE}"):
            sizes[SIGNATURE] = MAX_SIGNATURE_BYTES
    for file, size in sorted(sizes.items()):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            explained(f"{location}/{file}", "read"),
            fs.open(f"{root}/{file}", "rb") as source,
            target.open("xb") as sink,
        ):
            left = size + 1  # one byte too many is enough to refuse the file
            while left and (block := source.read(min(left, 1 << 20))):
                sink.write(block)
                left -= len(block)
    return verify(folder, expected)


def _open_oci(address: str, expected: str | None) -> Package:
    from .oci import pull

    cache = cache_folder()
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = _subfolder(temporary)
        package = pull(address, folder, expected)
        return _keep(package, cache / package.digest.removeprefix("sha256:"))


def _open_remote(location: str, expected: str | None, options: dict[str, Any] | None) -> Package:
    location = location.rstrip("/")
    cache = cache_folder()
    if location.endswith((".tar", ".tar.gz", ".tgz")):
        fs, root = filesystem(location, options)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            archive = Path(temporary) / "package"
            with explained(location, "read"):
                fs.get_file(root, str(archive))
            return _open_archive(archive, expected)
    if expected is None:
        fs, root = filesystem(location, options)
        expected, _ = read_manifest(_remote_manifest(fs, root, location))
    kept = cache / expected.removeprefix("sha256:")
    if kept.is_dir():
        try:
            return _bring_signature(verify(kept, expected), location, options)
        except PackageError:
            shutil.rmtree(kept)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = _subfolder(temporary)
        return _keep(fetch_into(location, folder, expected, options), kept)


def _open_archive(archive: Path, expected: str | None) -> Package:
    cache = cache_folder()
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = _subfolder(temporary)
        unpack(archive, folder, expected)
        package = verify(folder, expected)
        return _keep(package, cache / package.digest.removeprefix("sha256:"))


def _subfolder(temporary: str) -> Path:
    folder = Path(temporary) / "package"
    folder.mkdir()
    return folder


def _bring_signature(package: Package, location: str, options: dict[str, Any] | None) -> Package:
    """A package may be signed after it was kept here. Without the network, what is kept is whole as it is."""
    if not package.signed:
        with contextlib.suppress(StorageError):
            fs, root = filesystem(location, options)
            with explained(f"{location}/{SIGNATURE}", "read"):
                if fs.exists(f"{root}/{SIGNATURE}"):
                    with fs.open(f"{root}/{SIGNATURE}", "rb") as source:
                        _write_signature(package.path, source.read(MAX_SIGNATURE_BYTES))
    return package


def _write_signature(folder: Path, content: bytes) -> None:
    """In one step: another process may be reading."""
    with tempfile.NamedTemporaryFile(dir=folder.parent, delete=False) as sink:
        sink.write(content)
    os.replace(sink.name, folder / SIGNATURE)


def keep(package: Package) -> Package:
    """Move a package that was just verified into the cache, where opening its archive would put it."""
    cache = cache_folder()
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        folder = Path(temporary) / "package"
        shutil.move(package.path, folder)  # the cache may lie on another disk
        return _keep(replace(package, path=folder), cache / package.digest.removeprefix("sha256:"))


def _keep(package: Package, kept: Path) -> Package:
    """Move a package that was just verified to its place in one step; another process may have been quicker."""
    if kept.is_dir():
        try:
            found = verify(kept, package.digest)
            if package.signed:
                _write_signature(kept, (package.path / SIGNATURE).read_bytes())
            return found
        except PackageError:
            shutil.rmtree(kept)
    try:
        package.path.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
        return verify(kept, package.digest)
    return replace(package, path=kept)


def _remote_manifest(fs: Any, root: str, location: str) -> bytes:
    with explained(f"{location}/{MANIFEST}", "read"), fs.open(f"{root}/{MANIFEST}", "rb") as source:
        return source.read(MAX_MANIFEST_BYTES + 1)


def _check_set(files: dict[str, dict[str, Any]]) -> None:
    """The manifest itself: what must be there, and names that only some systems tell apart."""
    if MANIFEST in files:
        raise PackageError(f"{MANIFEST}: must not list itself", file=MANIFEST)
    if SIGNATURE in files:
        raise PackageError(f"{SIGNATURE}: must not be listed, because it is made after the manifest", file=SIGNATURE)
    for required in REQUIRED:
        if required not in files:
            raise PackageError(f"{required}: missing from {MANIFEST}", file=required)
    if not any(path.startswith("model/") for path in files):
        raise PackageError("model/: no file of it in the manifest", file="model/")
    folded: dict[str, str] = {}
    for path in sorted(files):
        other = folded.setdefault(path.lower(), path)
        if other != path:
            raise PackageError(f"{path}: differs from {other} only by upper and lower case", file=path)
    total = sum(entry["bytes"] for entry in files.values())
    if total > MAX_PACKAGE_BYTES:
        raise PackageError(f"{MANIFEST}: {total:,} bytes in all, the limit is {MAX_PACKAGE_BYTES:,}")


def _files_below(folder: Path) -> list[str]:
    """Every file, sorted; whatever is neither a file nor a folder is refused."""
    found: list[str] = []
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                name = Path(entry.path).relative_to(folder).as_posix()
                if entry.is_symlink():
                    raise PackageError(f"{name!r}: is a link", file=name)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    found.append(name)
                else:
                    raise PackageError(f"{name!r}: is not a regular file", file=name)
    return sorted(found)


def _open_file(folder: Path, file: str) -> int:
    try:
        # NONBLOCK: opening a pipe put in a file's place must not wait for a writer.
        descriptor = os.open(folder / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise PackageError(f"{file}: missing", file=file) from None
    except OSError as error:
        reason = "is a link" if (folder / file).is_symlink() else str(error.strerror).lower()
        raise PackageError(f"{file}: cannot be read: {reason}", file=file) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PackageError(f"{file}: is not a regular file", file=file)
    return descriptor


def _read(folder: Path, file: str, limit: int) -> bytes:
    """The bytes of a file, which may be at most `limit`."""
    with os.fdopen(_open_file(folder, file), "rb") as source:
        _check_size(file, os.fstat(source.fileno()).st_size, limit, exact=file != MANIFEST)
        return source.read(limit + 1)


def _hash(folder: Path, file: str, size: int) -> str:
    with os.fdopen(_open_file(folder, file), "rb") as source:
        _check_size(file, os.fstat(source.fileno()).st_size, size, exact=True)
        return hashlib.file_digest(source, "sha256").hexdigest()


def _check_size(file: str, found: int, size: int, *, exact: bool) -> None:
    if exact and found != size:
        raise PackageError(f"{file}: {found:,} bytes, the manifest says {size:,}", file=file)
    if found > size:
        raise PackageError(f"{file}: {found:,} bytes, the limit is {size:,}", file=file)


def _compare(file: str, found: str, expected: str) -> None:
    if found != expected:
        raise PackageError(f"{file}: sha256 is {found[:12]}…, the manifest says {expected[:12]}…", file=file)
