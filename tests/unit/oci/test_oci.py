"""Packages in a real registry process: there and back, by both shapes, and what must be refused."""

import base64
import hashlib
import io
import json
import shutil
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import requests

from model_packaging import PackageError, StorageError, open_package
from model_packaging.documents import dumps
from model_packaging.oci import client
from model_packaging.package import Package
from model_packaging.publish import publish, pull

KINDS = ("artifact", "image")


def get(registry: str, path: str, accept: str = "*/*") -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"http://{registry}/v2/{path}", headers={"Accept": accept}, timeout=30)
        answer.raise_for_status()
        return answer


def manifest(registry: str, repository: str, reference: str) -> dict[str, Any]:
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    return get(registry, f"{repository}/manifests/{reference}", accept).json()


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_comes_back_as_it_went(registry: str, package: Package, tmp_path: Path, kind: Any) -> None:
    address = publish(package, f"oci://{registry}/there-and-back/{kind}", kind=kind)
    assert publish(package, f"oci://{registry}/there-and-back/{kind}:v1", kind=kind) == address
    digest = address.partition("@")[2]
    assert digest != package.digest
    back = pull(address, tmp_path / "back")
    assert back.digest == package.digest
    assert {path.name for path in tmp_path.iterdir()} == {"back"}
    for location in (address, f"{address.partition('@')[0]}:v1", f"{address.partition('@')[0]}:{package.digest[7:]}"):
        assert open_package(location, expected_digest=package.digest).digest == package.digest
    with pytest.raises(PackageError, match=r"manifest.json: the digest is sha256:"):
        open_package(address, expected_digest="sha256:" + "0" * 64)


def test_the_artifact_is_as_modelpack_specifies(registry: str, package: Package) -> None:
    address = publish(package, f"oci://{registry}/specified")
    found = manifest(registry, "specified", address.partition("@")[2])
    assert found["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert found["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert found["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    kinds = {layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in found["layers"]}
    assert set(kinds) == {*package.files, "manifest.json"}
    assert kinds["model/model.skops"] == "application/vnd.cncf.model.weight.v1.raw"
    assert kinds["card.md"] == "application/vnd.cncf.model.doc.v1.raw"
    assert kinds["signature.json"] == "application/vnd.cncf.model.weight.config.v1.raw"
    config = get(registry, f"specified/blobs/{found['config']['digest']}").json()
    assert config["modelfs"] == {"type": "layers", "diffIds": [layer["digest"] for layer in found["layers"]]}
    assert config["config"] == {"format": "sklearn-skops"}
    assert config["descriptor"]["name"] == "churn"
    assert config["descriptor"]["version"] == package.digest
    assert found["annotations"]["org.opencontainers.image.version"] == package.digest


def test_the_image_holds_the_package_where_kubernetes_mounts_it(registry: str, package: Package) -> None:
    address = publish(package, f"oci://{registry}/mounted", kind="image")
    index = manifest(registry, "mounted", address.partition("@")[2])
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"architecture": name, "os": "linux"} for name in ("amd64", "arm64")
    ]
    images = [manifest(registry, "mounted", entry["digest"]) for entry in index["manifests"]]
    (layer,) = images[0]["layers"]
    assert images[1]["layers"] == [layer]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    for image, name in zip(images, ("amd64", "arm64"), strict=True):
        config = get(registry, f"mounted/blobs/{image['config']['digest']}").json()
        assert (config["architecture"], config["os"]) == (name, "linux")
        assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
    content = get(registry, f"mounted/blobs/{layer['digest']}").content
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        entries = archive.getmembers()
    files = [entry.name for entry in entries if entry.isfile()]
    assert files == sorted(f"models/{name}" for name in ["manifest.json", *package.files])
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(0, 0, 0, "")}


def test_what_is_there_is_not_sent_again_and_the_manifest_goes_last(
    registry: str, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    send = client.Registry._send

    def record(self: client.Registry, method: str, url: str, **options: Any) -> requests.Response:
        sent.append((method, url))
        return send(self, method, url, **options)

    monkeypatch.setattr(client.Registry, "_send", record)
    publish(package, f"oci://{registry}/twice")
    assert sum(method == "POST" for method, _ in sent) == len(package.files) + 2
    assert "/manifests/" in sent[-1][1]
    sent.clear()
    publish(package, f"oci://{registry}/twice")
    assert [method for method, _ in sent if method != "HEAD"] == ["PUT"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_comes_along(registry: str, package: Package, tmp_path: Path, kind: Any) -> None:
    folder = Path(shutil.copytree(package.path, tmp_path / "signed"))
    unsigned = publish(folder, f"oci://{registry}/signed/{kind}", kind=kind)
    assert not open_package(unsigned).signed
    (folder / "model.sig").write_bytes(b"a signature")
    signed = publish(folder, f"oci://{registry}/signed/{kind}", kind=kind)
    assert signed != unsigned
    for found in (pull(signed, tmp_path / "back"), open_package(signed)):
        assert found.digest == package.digest
        assert (found.path / "model.sig").read_bytes() == b"a signature"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_changed_in_the_registry_is_refused(
    registry: str, registry_folder: Path, package: Package, tmp_path: Path, kind: Any
) -> None:
    changed = Path(shutil.copytree(package.path, tmp_path / "package"))
    unique = json.loads((changed / "manifest.json").read_bytes()) | {"description": f"only {kind}"}
    (changed / "manifest.json").write_bytes(dumps(unique))
    address = publish(changed, f"oci://{registry}/changed/{kind}", kind=kind)
    found = manifest(registry, f"changed/{kind}", address.partition("@")[2])
    if kind == "image":
        found = manifest(registry, "changed/image", found["manifests"][0]["digest"])
    digest = found["layers"][0]["digest"].partition(":")[2]
    blob = registry_folder / f"data/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    with pytest.raises(PackageError, match=rf"the blob sha256:{digest} came with other bytes"):
        pull(address, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def put(registry: str, repository: str, *blobs: bytes) -> list[dict[str, Any]]:
    """Blobs stored past our own code, as descriptors."""
    found: list[dict[str, Any]] = []
    for blob in blobs:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        with requests.Session() as session:
            session.trust_env = False
            location = session.post(f"http://{registry}/v2/{repository}/blobs/uploads/", timeout=30).headers["Location"]
            session.put(f"{location}&digest={digest}", data=blob, timeout=30).raise_for_status()
        found.append({"mediaType": "application/vnd.cncf.model.weight.v1.raw", "digest": digest, "size": len(blob)})
    return found


def put_manifest(registry: str, repository: str, layers: list[dict[str, Any]], **more: Any) -> str:
    config = put(registry, repository, b"{}")[0] | {"mediaType": "application/vnd.cncf.model.config.v1+json"}
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.cncf.model.manifest.v1+json",
        "config": config,
        "layers": layers,
    } | more
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://{registry}/v2/{repository}/manifests/bad"
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        session.put(url, data=json.dumps(document), headers=headers, timeout=30).raise_for_status()
    return f"oci://{registry}/{repository}:bad"


def named(layer: dict[str, Any], file: str) -> dict[str, Any]:
    return layer | {"annotations": {"org.cncf.model.filepath": file}}


def test_a_hostile_artifact_is_refused_by_the_first_bad_file(registry: str, package: Package, tmp_path: Path) -> None:
    content = (package.path / "manifest.json").read_bytes()
    good, other = put(registry, "hostile", content, b"x")
    for number, (layers, reason) in enumerate(
        [
            ([named(good, "manifest.json"), named(other, "../../escape")], r"'../../escape': leads out of the package"),
            ([named(good, "manifest.json"), named(other, "/etc/passwd")], r"leads out of the package"),
            ([other], "has no file path"),
            ([named(good, "manifest.json"), named(other, "extra.txt")], "extra.txt: not in manifest.json"),
            ([named(good, "manifest.json")] * 2, "'manifest.json': appears twice"),
            ([named(other, "card.md")], "holds no manifest.json, so it is no package"),
            ([named(good, "manifest.json")], "baseline.json: missing|card.html: missing"),
            ([named(other, "manifest.json")], "manifest.json: not JSON"),
        ]
    ):
        address = put_manifest(registry, "hostile", layers)
        with pytest.raises(PackageError, match=reason):
            pull(address, tmp_path / f"back{number}")
        assert not (tmp_path / f"back{number}").exists()
    assert not list(tmp_path.rglob("escape"))


def test_a_hostile_image_is_refused(registry: str, tmp_path: Path) -> None:
    def layer(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        return target.getvalue()

    for number, (content, reason) in enumerate(
        [
            (layer("../escape"), "leads out of the package"),
            (layer("models/manifest.json", tarfile.SYMTYPE), "is a link"),
            (layer("etc/x"), "must hold models/ alone"),
            (b"junk", "not a readable tar"),
        ]
    ):
        (blob,) = put(registry, "hostile-image", content)
        blob["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
        address = put_manifest(registry, "hostile-image", [blob], artifactType="")
        with pytest.raises(PackageError, match=reason):
            pull(address, tmp_path / f"back{number}")
    (blob,) = put(registry, "hostile-image", b"x")
    address = put_manifest(registry, "hostile-image", [blob, blob], artifactType="")
    with pytest.raises(PackageError, match="is neither a package's artifact nor its image"):
        pull(address, tmp_path / "back")


def test_memory_does_not_grow_with_the_model(registry: str, package: Package, tmp_path: Path) -> None:
    large = Path(shutil.copytree(package.path, tmp_path / "large"))
    size = 48 * 1024 * 1024
    with (large / "model" / "large.bin").open("wb") as sink:
        sink.truncate(size)
    with (large / "model" / "large.bin").open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    document = json.loads((large / "manifest.json").read_bytes())
    document["files"]["model/large.bin"] = {"sha256": digest, "bytes": size}
    (large / "manifest.json").write_bytes(dumps(document))
    package = open_package(large)
    tracemalloc.start()
    try:
        for kind in KINDS:
            address = publish(package, f"oci://{registry}/large/{kind}", kind=kind)  # pyright: ignore
            pull(address, tmp_path / kind)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("oci://REG/nothing:here", "there is no here in this repository"),
        ("oci://REG/Upper", "must be oci://registry/repository"),
        ("oci://REG", "must be oci://registry/repository"),
        ("oci://REG/x@sha256:12", "must be oci://registry/repository"),
        ("oci://REG/../x", "must be oci://registry/repository"),
        ("oci://127.0.0.1:1/x", "cannot reach oci://127.0.0.1:1/x"),
    ],
)
def test_a_wrong_address_is_one_sentence(registry: str, tmp_path: Path, address: str, reason: str) -> None:
    with pytest.raises(StorageError, match=reason):
        pull(address.replace("REG", registry), tmp_path / "back")


def test_an_image_needs_a_registry(package: Package, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="as an image: choose an address oci://"):
        publish(package, tmp_path.as_uri(), kind="image")


def test_only_this_machine_is_spoken_to_without_encryption() -> None:
    from model_packaging.oci import Reference

    for host, scheme in (
        ("localhost:5000", "http"),
        ("127.0.0.1", "http"),
        ("[::1]:5000", "http"),
        ("localhost.example.org", "https"),
        ("127.0.0.1.example.org", "https"),
        ("10.0.0.1:5000", "https"),
        ("ghcr.io", "https"),
    ):
        assert Reference.parse(f"oci://{host}/x").base == f"{scheme}://{host}"


USER, PASSWORD = "mia", "open sesame"
HASH = "$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW"
"""What `htpasswd -B` makes of the password."""


def test_credentials_come_from_where_docker_keeps_them(
    executable: Path, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandbox.registry.run import running

    (tmp_path / "passwords").write_text(f"{USER}:{HASH}\n")
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    helpers = tmp_path / "bin"
    helpers.mkdir()
    with running(executable, tmp_path / "registry", tmp_path / "passwords") as registry:
        destination = f"oci://{registry}/private"
        with pytest.raises(
            StorageError, match=rf"asks for a user and a password; log in with: docker login {registry}"
        ):
            publish(package, destination)
        wrong = base64.b64encode(f"{USER}:wrong".encode()).decode()
        config.write_text(json.dumps({"auths": {registry: {"auth": wrong}}}))
        with pytest.raises(StorageError, match="access denied"):
            publish(package, destination)
        right = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        config.write_text(json.dumps({"auths": {registry: {"auth": right}}}))
        address = publish(package, destination)
        monkeypatch.setenv("PATH", str(helpers))
        for settings in ({"credHelpers": {registry: "ours"}}, {"credsStore": "ours", "auths": {registry: {}}}):
            config.write_text(json.dumps(settings))
            (helpers / "docker-credential-ours").unlink(missing_ok=True)
            with pytest.raises(StorageError, match="docker-credential-ours, which is not on the path"):
                open_package(address)
            answer = json.dumps({"Username": USER, "Secret": PASSWORD})
            (helpers / "docker-credential-ours").write_text(f"#!/bin/sh\nread asked\necho '{answer}'\n")
            (helpers / "docker-credential-ours").chmod(0o755)
            assert open_package(address).digest == package.digest
        config.write_text(json.dumps({"credsStore": "../../bin/sh"}))
        with pytest.raises(StorageError, match="is no name of a credential helper"):
            open_package(address)
        config.write_text("{")
        with pytest.raises(StorageError, match=r"cannot read .*config\.json"):
            open_package(address)
