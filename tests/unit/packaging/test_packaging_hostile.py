"""Packages that must be refused: by the name of the first bad file, with the reason, and nothing run."""

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_packaging import PackageError, StorageError, formats, open_package


def rewrite(folder: Path, **files: bytes | None) -> None:
    """Change files and let the manifest agree, as an attacker would."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name, content in files.items():
        file = name.replace("__", "/").replace("_json", ".json").replace("_skops", ".skops")
        if content is None:
            del manifest["files"][file]
            (folder / file).unlink()
        else:
            (folder / file).write_bytes(content)
            manifest["files"][file] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def listed(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["files"].update({path: {"sha256": "0" * 64, "bytes": 1}})


def append(folder: Path, file: str, content: bytes) -> None:
    with (folder / file).open("ab") as target:
        target.write(content)


def flip(folder: Path, file: str) -> None:
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)


def link(folder: Path, file: str) -> None:
    target = folder.parent / "elsewhere"
    (folder / file).rename(target)
    (folder / file).symlink_to(target)


def pipe(folder: Path, file: str) -> None:
    (folder / file).unlink()
    os.mkfifo(folder / file)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda f: flip(f, "model/model.skops"), "model/model.skops: sha256 is"),
    "truncated": (lambda f: (f / "card.md").write_bytes(b"#"), "card.md: 1 bytes, the manifest says"),
    "longer": (lambda f: append(f, "data.json", b" "), "data.json: .* bytes, the manifest says"),
    "missing": (lambda f: (f / "baseline.json").unlink(), "baseline.json: missing"),
    "extra": (lambda f: (f / "run.py").write_text("boom"), "run.py: not in manifest.json"),
    "hidden extra": (lambda f: (f / "model" / ".x").write_text(""), "model/.x: not in manifest.json"),
    "link": (lambda f: link(f, "signature.json"), "signature.json.*is a link"),
    "linked folder": (lambda f: (f / "more").symlink_to(f), "more.*is a link"),
    "pipe": (lambda f: pipe(f, "card.md"), "card.md.*is not a regular file"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json: missing"),
    "large manifest": (lambda f: append(f, "manifest.json", b" " * 5_000_000), "manifest.json: .* the limit is"),
    "broken manifest": (lambda f: (f / "manifest.json").write_text("{"), "manifest.json: not JSON"),
    "manifest is a list": (lambda f: (f / "manifest.json").write_text("[]"), "must be a JSON object"),
    "parent path": (lambda f: edit_manifest(f, listed("../x")), r"'\.\./x': leads out of the package"),
    "inner parent": (lambda f: edit_manifest(f, listed("model/../../x")), "leads out of the package"),
    "absolute path": (lambda f: edit_manifest(f, listed("/etc/passwd")), "'/etc/passwd': leads out"),
    "backslash": (lambda f: edit_manifest(f, listed("model\\x")), "may hold only letters"),
    "control character": (lambda f: edit_manifest(f, listed("a\x1b[2J")), "may hold only letters"),
    "trailing newline": (lambda f: edit_manifest(f, listed("card.md\n")), "may hold only letters"),
    "case": (lambda f: edit_manifest(f, listed("CARD.md")), "differs from CARD.md only by upper and lower"),
    "lists itself": (lambda f: edit_manifest(f, listed("manifest.json")), "must not list itself"),
    "huge": (
        lambda f: edit_manifest(f, lambda m: m["files"]["card.md"].update(bytes=10**15)),
        "1,000,000,.* bytes in all, the limit is",
    ),
    "negative": (lambda f: edit_manifest(f, lambda m: m["files"]["card.md"].update(bytes=-1)), "card.md.bytes"),
    "unknown key": (lambda f: edit_manifest(f, lambda m: m.update(run="x")), "manifest.json: run: Extra inputs"),
    "later version": (lambda f: edit_manifest(f, lambda m: m.update(schema_version=2)), "schema_version"),
    "bad name": (lambda f: edit_manifest(f, lambda m: m.update(name="../x")), "manifest.json: name"),
    "no signature": (lambda f: rewrite(f, signature_json=None), "signature.json: missing from manifest"),
    "no model": (lambda f: rewrite(f, model__model_skops=None), "model/: no file"),
    "duplicate key": (lambda f: rewrite(f, data_json=b'{"name":"a","name":"b"}'), 'data.json: the key "name" .*twice'),
    "NaN": (lambda f: rewrite(f, validation_json=b'{"metrics":{"f1":NaN}}'), "validation.json: NaN is not a finite"),
    "infinity": (lambda f: rewrite(f, validation_json=b'{"metrics":{"f1":1e999}}'), "1e999 is not a finite"),
    "nested": (lambda f: rewrite(f, data_json=b"[" * 200_000), "data.json: nested too deep"),
    "digits": (lambda f: rewrite(f, data_json=b'{"rows":' + b"9" * 9000 + b"}"), "data.json: .*digits"),
    "not UTF-8": (lambda f: rewrite(f, data_json=b"\xff\xfe"), "data.json: not UTF-8"),
    "over-large": (lambda f: rewrite(f, data_json=b" " * 17_000_000), "data.json: 17,000,000 bytes, the limit is"),
    "wrong shape": (lambda f: rewrite(f, data_json=b'{"name":1}'), "data.json: name: .*string"),
    "other fields": (
        lambda f: rewrite(f, examples_json=b'{"inputs":[{"x":1}],"predictions":[1],"tolerance":0}'),
        "examples.json: inputs.0",
    ),
    "counts differ": (
        lambda f: rewrite(f, examples_json=b'{"inputs":[{}],"predictions":[],"tolerance":0}'),
        "examples.json: 1 inputs but 0 predictions",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_package_is_refused_by_name(folder: Path, damage: str) -> None:
    spoil, reason = DAMAGE[damage]
    spoil(folder)
    with pytest.raises(PackageError, match=reason):
        open_package(folder)


def test_an_undamaged_copy_opens(folder: Path) -> None:
    assert open_package(folder).name == "churn"


def test_another_digest_is_refused(folder: Path) -> None:
    with pytest.raises(PackageError, match=r"manifest.json: the digest is sha256:"):
        open_package(folder, expected_digest="sha256:" + "0" * 64)
    with pytest.raises(PackageError, match=r"manifest.json: the digest is sha256:"):
        open_package(f"{folder}@sha256:{'0' * 64}")
    with pytest.raises(StorageError, match="64 hexadecimal digits"):
        open_package(f"{folder}@sha256:12")


def test_a_file_changed_after_opening_is_noticed(folder: Path) -> None:
    package = open_package(folder)
    flip(folder, "model/model.skops")
    with pytest.raises(PackageError, match=r"model/model.skops: sha256"):
        formats.load(package)


def archive(tmp_path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as target:
        for entry, content in entries:
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, linkname
    return found, b"x" if kind == tarfile.REGTYPE else b""


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry("../escape")], r"'\.\./escape': leads out"),
        ([entry("/escape")], "leads out"),
        ([entry("model/x", tarfile.SYMTYPE, "/etc/passwd")], "'model/x': is a link or a device"),
        ([entry("card.md"), entry("x", tarfile.LNKTYPE, "card.md")], "'x': is a link"),
        ([entry("x", tarfile.CHRTYPE)], "'x': is a link or a device"),
        ([entry("../up", tarfile.DIRTYPE)], "leads out"),
        ([entry("card.md"), entry("card.md")], "'card.md': appears twice"),
    ],
)
def test_a_hostile_archive_writes_nothing_outside(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], reason: str
) -> None:
    with pytest.raises(PackageError, match=reason):
        open_package(archive(tmp_path, *entries))
    assert not list(tmp_path.rglob("*escape*"))


def test_what_is_no_archive_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"not a tar at all")
    with pytest.raises(PackageError, match="not a readable tar"):
        open_package(tmp_path / "x.tar")
    with pytest.raises(StorageError, match="no such folder or archive"):
        open_package(tmp_path / "nothing")


def test_a_model_that_would_run_code_is_refused(folder: Path, tmp_path: Path) -> None:
    """A skops file that asks for os.system: refused by name, and the command never runs."""
    source = zipfile.ZipFile(io.BytesIO((folder / "model/model.skops").read_bytes()))
    schema = json.loads(source.read("schema.json"))
    schema |= {
        "__class__": "system",
        "__module__": "posix",
        "__loader__": "FunctionNode",
        "content": {"module_path": "posix", "function": "system"},
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as hostile:
        hostile.writestr("schema.json", json.dumps(schema))
    rewrite(folder, model__model_skops=target.getvalue())
    with pytest.raises(PackageError, match=r"model/model.skops: .*posix.system"):
        formats.load(open_package(folder))


def test_a_package_cannot_choose_an_unknown_format(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(format="pickle"))
    with pytest.raises(PackageError, match=r'unknown format "pickle": choose catboost, .* or xgboost'):
        formats.load(open_package(folder))
