"""Signatures by the keys of the test, over real packages; forged ones by hand."""

import base64
import datetime
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from model_packaging import ModelberthError, PackageError, open_package
from model_packaging.documents import dumps
from model_packaging.gate import evaluate, parse_rules
from model_packaging.package import Package
from model_packaging.publish import publish, pull
from model_packaging.signing import sign, verify_signature
from tests.unit.packaging.conftest import packed


def private(path: Path, key: Any, password: bytes | None = None) -> Path:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
    return path


def public(path: Path, key: Any) -> Path:
    path.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return path


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("packages") / "churn")


@pytest.fixture
def folder(original: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELBERTH_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(original.path, tmp_path / "churn"))


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Two signers: ours and another's."""
    found: dict[str, Path] = {}
    for name in ("ours", "others"):
        key = ec.generate_private_key(ec.SECP256R1())
        found[name] = private(tmp_path / f"{name}.key", key)
        found[f"{name}.pub"] = public(tmp_path / f"{name}.pub", key)
    return found


def test_a_signature_names_its_signer_and_changes_no_package(
    original: Package, folder: Path, keys: dict[str, Path]
) -> None:
    assert sign(folder, keys["ours"]) == folder / "model.sig"
    package = open_package(folder)
    assert package.digest == original.digest
    assert package.signed and not original.signed
    assert verify_signature(package, [keys["others.pub"], keys["ours.pub"]]) == str(keys["ours.pub"])
    assert verify_signature(package, [keys["ours.pub"].read_text()]) == "the key in the rules"
    with pytest.raises(PackageError, match=r"model\.sig: by none of the trusted signers: .*others\.pub: Key mismatch"):
        verify_signature(package, [keys["others.pub"]])
    assert {path.name for path in folder.parent.iterdir()} >= {"churn"}
    assert not list(folder.parent.glob(".modelberth-*"))


def test_the_library_s_own_command_verifies_it(folder: Path, keys: dict[str, Path]) -> None:
    sign(folder, keys["ours"])
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    options = ["--signature", str(folder / "model.sig"), "--public_key", str(keys["ours.pub"])]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_another_package_of_the_same_key_does_not_pass(folder: Path, keys: dict[str, Path]) -> None:
    sign(folder, keys["ours"])
    document = json.loads((folder / "manifest.json").read_bytes()) | {"description": "another"}
    (folder / "manifest.json").write_bytes(dumps(document))
    with pytest.raises(PackageError, match=r"Signature mismatch: .*manifest\.json"):
        verify_signature(open_package(folder), [keys["ours.pub"]])


def test_a_signature_that_leaves_files_out_does_not_pass(folder: Path, keys: dict[str, Path]) -> None:
    from model_signing import hashing, signing

    ignoring = hashing.Config().set_ignored_paths(paths=["model.sig", "model"])
    config = signing.Config().use_elliptic_key_signer(private_key=keys["ours"]).set_hashing_config(ignoring)
    config.sign(folder, folder / "model.sig")
    with pytest.raises(PackageError, match=r"model\.sig: (does not cover model/model\.skops|by none .*mismatch)"):
        verify_signature(open_package(folder), [keys["ours.pub"]])


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    bundle = json.loads((folder / "model.sig").read_bytes())
    change(bundle)
    (folder / "model.sig").write_text(json.dumps(bundle))


def repay(bundle: dict[str, Any]) -> None:
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(
    "change",
    [
        repay,
        lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(sig=base64.b64encode(b"x" * 70).decode()),
        lambda bundle: bundle["dsseEnvelope"].update(signatures=[]),
        lambda bundle: bundle.pop("verificationMaterial"),
        lambda bundle: bundle.clear(),
    ],
)
def test_a_forged_signature_does_not_pass(
    folder: Path, keys: dict[str, Path], change: Callable[[dict[str, Any]], object]
) -> None:
    sign(folder, keys["ours"])
    edited(folder, change)
    with pytest.raises(PackageError, match=r"model\.sig: by none of the trusted signers"):
        verify_signature(open_package(folder), [keys["ours.pub"]])


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04", b"[]", b"[" * 100_000])
def test_what_is_no_signature_does_not_pass(folder: Path, keys: dict[str, Path], content: bytes) -> None:
    (folder / "model.sig").write_bytes(content)
    with pytest.raises(PackageError, match=r"model\.sig: by none of the trusted signers"):
        verify_signature(open_package(folder), [keys["ours.pub"]])


def test_a_signature_is_small_and_a_file(folder: Path, tmp_path: Path) -> None:
    with (folder / "model.sig").open("wb") as sink:
        sink.truncate(9 * 1024 * 1024)
    with pytest.raises(PackageError, match=r"model\.sig: 9,437,184 bytes, the limit is"):
        open_package(folder)
    (folder / "model.sig").unlink()
    (folder / "model.sig").symlink_to("/etc/passwd")
    with pytest.raises(PackageError, match=r"model\.sig.* is a link"):
        open_package(folder)


def test_a_manifest_may_not_list_the_signature(folder: Path) -> None:
    document = json.loads((folder / "manifest.json").read_bytes())
    document["files"]["model.sig"] = {"sha256": "0" * 64, "bytes": 1}
    (folder / "manifest.json").write_bytes(dumps(document))
    with pytest.raises(PackageError, match=r"model\.sig: must not be listed"):
        open_package(folder)


def test_it_goes_wherever_the_package_goes(
    original: Package, folder: Path, keys: dict[str, Path], tmp_path: Path
) -> None:
    from model_packaging.archive import write_tar

    bucket = (tmp_path / "bucket").as_uri()
    address = publish(original, bucket)
    assert not open_package(address).signed
    sign(folder, keys["ours"])
    assert publish(folder, bucket) == address
    for package in (pull(address, tmp_path / "back"), open_package(address)):
        assert verify_signature(package, [keys["ours.pub"]])
    tar = write_tar(folder, list(original.files), tmp_path / "churn.tar")
    assert verify_signature(open_package(tar), [keys["ours.pub"]])


def issued(tmp_path: Path, usage: bool = True) -> tuple[Path, Path, Path]:
    """A root, and a certificate and a key that it issued."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: str, subject_key: Any, authority: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("root"))
        builder = builder.public_key(subject_key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(9))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        flags = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=usage and not authority, key_cert_sign=authority, **flags), critical=True
        )
        return builder.sign(root, hashes.SHA256())

    paths = tmp_path / "root.pem", tmp_path / "signer.pem", private(tmp_path / "signer.key", key)
    paths[0].write_bytes(certificate("root", root, True).public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(certificate("signer", key, False).public_bytes(serialization.Encoding.PEM))
    return paths


def test_whom_a_trusted_authority_certified_may_sign(folder: Path, tmp_path: Path) -> None:
    root, certificate, key = issued(tmp_path)
    sign(folder, key, certificates=[certificate])
    assert verify_signature(open_package(folder), [root]) == str(root)
    (tmp_path / "elsewhere").mkdir()
    other, *_ = issued(tmp_path / "elsewhere")
    with pytest.raises(PackageError, match="by none of the trusted signers"):
        verify_signature(open_package(folder), [other])


def test_a_certificate_for_something_else_does_not_pass(folder: Path, tmp_path: Path) -> None:
    root, certificate, key = issued(tmp_path, usage=False)
    sign(folder, key, certificates=[certificate])
    with pytest.raises(PackageError, match=r"cannot be used for signing|by none of the trusted"):
        verify_signature(open_package(folder), [root])


def test_a_key_that_cannot_be_used_is_one_sentence(folder: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    locked = private(tmp_path / "locked.key", ec.generate_private_key(ec.SECP256R1()), b"secret")
    (tmp_path / "junk").write_text("junk")
    for key, reason in (
        (tmp_path / "nothing", "cannot read the key .*nothing: No such file"),
        (tmp_path / "junk", "must be a key or a certificate in PEM"),
        (keys["ours.pub"], "cannot sign with .*ours.pub"),
        (private(tmp_path / "rsa.key", rsa.generate_private_key(65537, 2048)), "it must be an elliptic key"),
        (private(tmp_path / "k1.key", ec.generate_private_key(ec.SECP256K1())), "Unsupported key for curve"),
        (locked, "cannot sign with .*locked.key"),
    ):
        with pytest.raises(ModelberthError, match=reason):
            sign(folder, key)
    assert not (folder / "model.sig").exists()
    sign(folder, locked, password="secret")
    assert (folder / "model.sig").exists()
    with pytest.raises(ModelberthError, match="must be the folder of a package on this machine"):
        sign(tmp_path / "x.tar", keys["ours"])


def judged(package: Package, signers: list[Any]) -> dict[str, Any]:
    rules = parse_rules({"signed_by": [str(signer) for signer in signers]})
    (result,) = [item for item in evaluate(package, rules).results if item.rule == "signed_by"]
    return vars(result)


def test_the_gate_asks_for_a_trusted_signer(folder: Path, keys: dict[str, Path], tmp_path: Path) -> None:
    missing = judged(open_package(folder), [keys["ours.pub"]])
    assert (missing["passed"], "not signed" in missing["message"]) == (False, True)
    sign(folder, keys["others"])
    assert judged(open_package(folder), [keys["ours.pub"]])["passed"] is False
    sign(folder, keys["ours"])
    found = judged(open_package(folder), [keys["others.pub"], keys["ours.pub"]])
    assert found["passed"] is True
    assert found["message"] == f"signed by {keys['ours.pub']}"


def test_the_gate_fails_closed(
    folder: Path, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(folder, keys["ours"])
    package = open_package(folder)
    unreadable = judged(package, [tmp_path / "nothing.pub"])
    assert (unreadable["passed"], "cannot read the key" in unreadable["message"]) == (False, True)
    # One signer that cannot be read makes the rule unclear, whoever else is named.
    assert judged(package, [tmp_path / "nothing.pub", keys["ours.pub"]])["passed"] is False
    with pytest.raises(ModelberthError, match="signed_by"):
        parse_rules({"signed_by": []})
    for name in ("model_signing", "model_signing.verifying"):
        monkeypatch.setitem(sys.modules, name, None)
    lacking = judged(package, [keys["ours.pub"]])
    assert (lacking["passed"], 'pip install "modelberth[sign]"' in lacking["message"]) == (False, True)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_packaging", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_commands(folder: Path, keys: dict[str, Path]) -> None:
    unsigned = command("verify", folder, "--key", keys["ours.pub"])
    assert unsigned.returncode == 1
    assert unsigned.stderr == "modelberth: model.sig: missing, so the package is not signed\n"
    signed = command("sign", folder, "--key", keys["ours"])
    assert signed.returncode == 0, signed.stderr
    assert signed.stdout == f"{folder / 'model.sig'}\n"
    verified = command("verify", folder, "--key", keys["others.pub"], "--key", keys["ours.pub"])
    assert verified.returncode == 0, verified.stderr
    digest = open_package(folder).digest
    assert verified.stdout == f"{folder}@{digest} signed by {keys['ours.pub']}\n"
    other = command("verify", folder, "--key", keys["others.pub"])
    assert other.returncode == 1
    assert "Traceback" not in other.stderr
    assert command("verify", folder).returncode == 2
