"""Packages that must be refused: by the name of the first bad file, with the reason, and nothing run."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from model_packaging import ModelberthError, PackageError, StorageError, formats, open_package, pack
from model_packaging.package import Package, read_manifest
from model_packaging.serving.service import load

KEYS = ["schema_version", "name", "format", "files", "created", "model", "signature.json", "sha256", "bytes"]


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


def edit(folder: Path, file: str, change: Callable[[Any], object]) -> None:
    document = json.loads((folder / file).read_bytes())
    change(document)
    rewrite(folder, **{file.replace(".json", "_json"): json.dumps(document).encode()})


def charge(change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change what the baseline says of a column of numbers."""
    return lambda folder: edit(folder, "baseline.json", lambda found: change(found["features"]["charge"]))


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
    "bins out of order": (
        charge(lambda found: found["edges"].reverse()),
        "baseline.json: features.charge.numeric: the edges are not in ascending order",
    ),
    "bins that are infinite": (
        charge(lambda found: found["edges"].append(float("inf"))),
        "baseline.json: Infinity is not a finite",
    ),
    "bins beyond all numbers": (
        charge(lambda found: found["edges"].__setitem__(-1, 10**400)),
        r"baseline.json: features.charge.numeric.edges.\d+: .*valid number",
    ),
    "a bin too few": (charge(lambda found: found["counts"].pop()), "features.charge.numeric: 11 edges do not bound 9"),
    "a bin of less than nothing": (
        charge(lambda found: found["counts"].__setitem__(0, -5)),
        "baseline.json: features.charge.numeric.counts.0: .*greater than or equal to 0",
    ),
    "a sketch out of order": (
        charge(lambda found: found["sketch"]["points"].reverse()),
        "features.charge.numeric.sketch: the points are not in ascending order",
    ),
    "a sketch too short": (
        charge(lambda found: found["sketch"]["counts"].pop()),
        "features.charge.numeric.sketch: .* counts do not lie below, at and above",
    ),
    "a summary of no kind": (charge(lambda found: found.update(kind="image")), "features.charge: .*'image'"),
    "tolerance of anything": (
        lambda f: edit(f, "examples.json", lambda found: found.update(tolerance=10**400)),
        "examples.json: tolerance: ",
    ),
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


SWAPS: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "other bytes": (flip, "sha256 is"),
    "more bytes": (lambda folder, file: append(folder, file, b"x"), "bytes, the manifest says"),
    "a link to the same bytes": (link, "is a link"),
    "a pipe": (pipe, "is not a regular file"),
    "a folder": (lambda folder, file: ((folder / file).unlink(), (folder / file).mkdir()), "is not a regular file"),
    "nothing": (lambda folder, file: (folder / file).unlink(), "missing"),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_file_that_is_swapped_before_it_is_loaded_is_refused(folder: Path, swap: str) -> None:
    """Between opening a package and reading its model; a library reads it by its path, so it is checked anew."""
    package = open_package(folder)
    assert package.checked("model/model.skops") == folder / "model/model.skops"
    change, reason = SWAPS[swap]
    change(folder, "model/model.skops")
    for use in (formats.load, lambda found: found.checked("model/model.skops")):
        with pytest.raises(PackageError, match=f"^model/model.skops: .*{reason}|^model/model.skops: {reason}"):
            use(package)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: found["inputs"][0].update(charge=10**400), 'examples.json: row 0: "charge" must be a number'),
        (lambda found: found["inputs"][1].update(tenure=2**63), 'examples.json: row 1: "tenure" must be a integer'),
        (lambda found: found["inputs"][0].update(plan=None), 'examples.json: row 0: "plan" may not be missing'),
        (
            lambda found: found["predictions"][0]["probabilities"].update(true=10**400),
            "example 0: prediction probabilities true is .* where 10000000000",
        ),
    ],
)
def test_examples_that_overflow_are_refused_before_serving(
    folder: Path, change: Callable[[Any], object], reason: str
) -> None:
    edit(folder, "examples.json", change)
    with pytest.raises(ModelberthError, match=f"package churn does not reproduce its recorded predictions: {reason}"):
        load(str(folder))


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_examples_whose_predictions_overflow_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    pack(LinearRegression().fit(frame, 1e10 * frame["x"]), name="steep", inputs=frame, output=tmp_path / "p")
    edit(tmp_path / "p", "examples.json", lambda found: found["inputs"][0].update(x=1e305))
    with pytest.raises(ModelberthError, match=r"examples.json: the model gives inf for this input"):
        load(str(tmp_path / "p"))


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
        ([entry("x", tarfile.BLKTYPE)], "'x': is a link or a device"),
        ([entry("x", tarfile.FIFOTYPE)], "'x': is a link or a device"),
        ([entry("model", tarfile.SYMTYPE, "."), entry("model/x")], "'model': is a link"),
        ([entry("C:\\escape")], "may hold only letters"),
        ([entry("C:escape")], "may hold only letters"),
        ([entry("model\\..\\escape")], "may hold only letters"),
        ([entry("caf\u00e9"), entry("cafe\u0301")], "may hold only letters"),
        ([entry("a\nescape")], "may hold only letters"),
        ([entry("x" * 600)], "is longer than 512 characters"),
        ([entry("card.md"), entry("./card.md")], "appears twice"),
    ],
)
def test_a_hostile_archive_writes_nothing_outside(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], reason: str
) -> None:
    with pytest.raises(PackageError, match=reason):
        open_package(archive(tmp_path, *entries))
    assert not list(tmp_path.rglob("*escape*"))


def long_header(path: Path) -> None:
    """Names itself by an extended header of a gigabyte, which is a megabyte when compressed."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with gzip.open(path, "wb", compresslevel=1) as target:
        target.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(16):
            target.write(bytes(1 << 24))


def large_claim(path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.size = 1 << 40
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))


def many_folders(path: Path) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as target:
        for number in range(20_100):
            found = tarfile.TarInfo(f"d{number}")
            found.type = tarfile.DIRTYPE
            target.addfile(found)


def zeros(name: str) -> tuple[tarfile.TarInfo, IO[bytes]]:
    """A file of 256 MiB, which is 1 MiB when compressed."""
    header = tarfile.TarInfo(name)
    header.size = 1 << 28
    return header, io.BytesIO(bytes(1 << 28))


def real(original: Package, path: Path, order: Sequence[str]) -> Path:
    """The archive of a good package in this order of files, of which "+" is one that fills the disk."""
    with tarfile.open(path, "w:gz", compresslevel=1) as target:
        for name in order:
            if name.startswith("+"):
                target.addfile(*zeros(name[1:]))
            else:
                target.add(original.path / name, name)
    return path


BOMBS = {
    long_header: "an extended header of 1,073,741,824 bytes",
    large_claim: "goes over the limit",
    many_folders: "comes after 20,001 others",
}

LIMITED = """
import resource, sys
from model_packaging.package import open_package
from model_packaging.errors import PackageError
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_package(sys.argv[1])
except PackageError as error:
    print(error)
print("grown", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_is_refused_within_bounds(tmp_path: Path, bomb: Callable[[Path], None]) -> None:
    bomb(tmp_path / "bomb.tar.gz")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "bomb.tar.gz")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert BOMBS[bomb] in done.stdout
    assert int(done.stdout.split()[-1]) < 64, "megabytes"


LITTLE_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 23, 1 << 23))
"""


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (["manifest.json", "+run.bin"], "run.bin: not in manifest.json"),
        (["manifest.json", "+card.md"], "card.md: 268,435,456 bytes, manifest.json allows"),
        (["+run.bin", "manifest.json"], "run.bin: not in manifest.json"),
        (["+manifest.json"], "manifest.json: 4,194,305 bytes, the limit is 4,194,304"),
        (["+model.sig", "manifest.json"], "model.sig: 268,435,456 bytes, manifest.json allows 8,388,608"),
        (["+run.bin"], "manifest.json: missing from bomb.tar.gz"),
    ],
)
def test_nothing_is_unpacked_that_the_manifest_does_not_list(
    original: Package, tmp_path: Path, order: list[str], reason: str
) -> None:
    """The child may write no file above 8 MiB: what it refuses, it refuses before it writes it."""
    bomb = real(original, tmp_path / "bomb.tar.gz", order)
    command = [sys.executable, "-c", LITTLE_DISK + LIMITED, str(bomb)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert reason in done.stdout


def test_an_archive_may_have_its_files_in_any_order(original: Package, tmp_path: Path) -> None:
    """SageMaker packs what a training left as its file system lists it."""
    order = sorted([*original.files, "manifest.json"], reverse=True)
    assert open_package(real(original, tmp_path / "model.tar.gz", order)).digest == original.digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_or_a_cut_is_refused(folder: Path, original: Package, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(["manifest.json", *original.files]))
    content = (original.path / file).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    spoiled = content[:place]
    if data.draw(st.booleans()):
        spoiled += bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
    (folder / file).write_bytes(spoiled)
    try:
        with pytest.raises(PackageError):
            open_package(folder, expected_digest=original.digest)
        if file == "manifest.json":  # without a digest, another manifest may be a good one: of another package
            with contextlib.suppress(PackageError):
                assert open_package(folder).digest != original.digest
        else:
            with pytest.raises(PackageError, match=re.escape(file)):
                open_package(folder)
    finally:
        (folder / file).write_bytes(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(document=JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8))
def test_whatever_stands_in_the_manifests_place_is_no_other_error(document: Any) -> None:
    with contextlib.suppress(PackageError):
        read_manifest(json.dumps(document).encode())


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=400))
def test_whatever_bytes_stand_there_are_no_other_error(content: bytes) -> None:
    with pytest.raises(PackageError):
        read_manifest(content)


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
