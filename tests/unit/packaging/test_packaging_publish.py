"""A round trip through storage, and what may go wrong on the way."""

from pathlib import Path

import fsspec
import pytest

from model_packaging import PackageError, StorageError, open_package
from model_packaging.package import Package
from model_packaging.publish import publish, pull


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_package_comes_back_as_it_went(original: Package, tmp_path: Path, scheme: str) -> None:
    bucket = "memory://bucket-a" if scheme == "memory" else (tmp_path / "bucket").as_uri()
    address = publish(original, bucket)
    hexadecimal = original.digest.removeprefix("sha256:")
    assert address == f"{bucket}/packages/churn/{hexadecimal}@{original.digest}"
    assert publish(original, bucket) == address
    pulled = pull(address, tmp_path / "back")
    assert pulled.digest == original.digest
    assert {path.name for path in tmp_path.iterdir()} <= {"back", "bucket"}
    assert open_package(address).digest == original.digest
    assert open_package(address.partition("@")[0]).digest == original.digest


def test_the_manifest_goes_last(original: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    fs = fsspec.filesystem("memory")
    written: list[str] = []
    put, pipe = type(fs).put_file, type(fs).pipe_file

    def put_file(self: object, local: str, remote: str, **options: object) -> None:
        written.append(remote)
        put(self, local, remote, **options)

    def pipe_file(self: object, path: str, value: bytes, **options: object) -> None:
        written.append(path)
        pipe(self, path, value, **options)

    monkeypatch.setattr(type(fs), "put_file", put_file)
    monkeypatch.setattr(type(fs), "pipe_file", pipe_file)
    publish(original, "memory://bucket-b")
    assert written[-1].endswith("/manifest.json")
    assert len(written) == len(original.files) + 1
    written.clear()
    publish(original, "memory://bucket-b")
    assert written == []


def test_a_broken_off_copy_is_finished(original: Package, tmp_path: Path) -> None:
    address = publish(original, tmp_path.as_uri())
    folder = tmp_path / "packages" / "churn" / original.digest.removeprefix("sha256:")
    (folder / "manifest.json").unlink()
    (folder / "card.md").write_bytes(b"half")
    with pytest.raises(StorageError, match=r"manifest.json"):
        open_package(address)
    publish(original, tmp_path.as_uri())
    assert pull(address, tmp_path / "back").digest == original.digest


def test_what_was_changed_in_the_bucket_is_refused_on_arrival(original: Package, tmp_path: Path) -> None:
    address = publish(original, tmp_path.as_uri())
    folder = tmp_path / "packages" / "churn" / original.digest.removeprefix("sha256:")
    content = bytearray((folder / "card.md").read_bytes())
    content[0] ^= 1
    (folder / "card.md").write_bytes(content)
    with pytest.raises(PackageError, match=r"card.md: sha256"):
        pull(address, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with (folder / "card.md").open("ab") as target:
        target.write(b"x" * 100)
    with pytest.raises(PackageError, match=r"card.md: .* bytes"):
        open_package(address)


def test_a_damaged_cache_is_fetched_again(original: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path / "cache"))
    address = publish(original, (tmp_path / "bucket").as_uri())
    kept = open_package(address).path
    (kept / "card.md").write_text("spoiled")
    assert open_package(address).read("card.md") == original.read("card.md")


def test_a_damaged_package_is_not_published(folder: Path, tmp_path: Path) -> None:
    package = open_package(folder)
    (folder / "card.md").write_text("spoiled")
    with pytest.raises(PackageError, match=r"card.md"):
        publish(package, (tmp_path / "bucket").as_uri())
    assert not (tmp_path / "bucket").exists()


def test_pull_overwrites_nothing(original: Package, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(StorageError, match="not an empty folder"):
        pull(str(original.path), tmp_path)


def test_an_unknown_scheme_is_one_sentence(original: Package) -> None:
    with pytest.raises(StorageError, match="cannot open nope://bucket"):
        publish(original, "nope://bucket")
