# pyright: basic
# (model-signing's parts carry few types)
"""Signatures over packages by OpenSSF Model Signing: https://github.com/sigstore/model-transparency.

The signature lies in the package's folder as `model.sig` and goes wherever the package goes. It is over every file,
the manifest included, and is itself no part of the digest: signing changes no package. Keys are elliptic (P-256,
P-384, P-521), in PEM. Nothing here uses the network.
"""

import base64
import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import ModelberthError, PackageError
from .package import MAX_SIGNATURE_BYTES, Package, verify
from .schema import MANIFEST, SIGNATURE

_PREDICATE = "https://model_signing/signature/v1.0"
_MAX_KEY_BYTES = 1024 * 1024


def sign(
    folder: str | Path,
    key: str | Path,
    *,
    password: str | None = None,
    certificates: Sequence[str | Path] = (),
) -> Path:
    """Sign the package in a folder with a private key, and return the signature's path; an earlier one is replaced.

    With `certificates`, the signing certificate first and then those that it was issued by, the signature carries
    them, and whoever verifies it needs the root alone. Raises ModelberthError when the key cannot be used, PackageError
    when the package is damaged.
    """
    signing = _library("signing")
    package = _open(folder)
    config = signing.Config().set_hashing_config(_hashing())
    if certificates and password:
        raise ModelberthError("a key with a password cannot be used with certificates: give the key without")
    for path in (key, *certificates):
        _read_key(path)
    try:
        if certificates:
            first, *others = map(Path, certificates)
            # The library takes no empty chain; the certificate itself adds nothing to it.
            chain = others or [first]
            config.use_certificate_signer(private_key=Path(key), signing_certificate=first, certificate_chain=chain)
        else:
            # The library's annotation says text, and it takes bytes.
            secret: Any = password.encode() if password else None
            config.use_elliptic_key_signer(private_key=Path(key), password=secret)
    except Exception as error:  # a key of another kind is an AttributeError there
        raise ModelberthError(f"cannot sign with {key}: {_reason(error)}; it must be an elliptic key in PEM") from error
    with tempfile.TemporaryDirectory(dir=package.path.parent, prefix=".modelberth-") as temporary:
        made = Path(temporary) / SIGNATURE
        config.sign(package.path, made)
        return made.replace(package.path / SIGNATURE)


def verify_signature(package: Package, trusted: Sequence[str | Path]) -> str:
    """Verify that one of the trusted signers signed every file of the package, and return which.

    A signer is the path of a public key or of a certificate (whoever it issued certificates to may sign), or the text
    of one in PEM. A certificate must have been valid when the signing certificate began to be: there is no trusted
    time in a signature that can be made without a network, so an expired one still counts.
    Raises PackageError when none did, ModelberthError when a signer cannot be read.
    """
    verifying = _library("verifying")
    if not trusted:
        raise ModelberthError("no trusted signer is named: give the path of a public key or a certificate")
    keys = [(_name(signer), _read_key(signer)) for signer in trusted]
    if not package.signed:
        raise PackageError(f"{SIGNATURE}: missing, so the package is not signed", file=SIGNATURE)
    with (package.path / SIGNATURE).open("rb") as source:
        content = source.read(MAX_SIGNATURE_BYTES + 1)
    if len(content) > MAX_SIGNATURE_BYTES:
        raise PackageError(f"{SIGNATURE}: larger than {MAX_SIGNATURE_BYTES:,} bytes", file=SIGNATURE)
    reasons: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        # What is verified is what is looked at afterwards, whatever happens to the file meanwhile.
        signature, pem = Path(temporary) / SIGNATURE, Path(temporary) / "signer.pem"
        signature.write_bytes(content)
        for name, key in keys:
            pem.write_bytes(key)
            config = verifying.Config().set_hashing_config(_hashing())
            try:
                if b"BEGIN CERTIFICATE" in key:
                    config.use_certificate_verifier(certificate_chain=[pem])
                else:
                    config.use_elliptic_key_verifier(public_key=pem)
                # The library prints where a program may be printing JSON.
                with contextlib.redirect_stdout(io.StringIO()):
                    config.verify(package.path, signature)
            except Exception as error:  # the library and what it stands on raise many kinds on what is forged
                reasons.append(f"{name}: {_reason(error)}")
                continue
            _check_covered(package, content)
            return name
    raise PackageError(f"{SIGNATURE}: by none of the trusted signers: {'; '.join(reasons)}", file=SIGNATURE)


def _check_covered(package: Package, signature: bytes) -> None:
    """The signed statement must name every file with its sha256: a signer may also leave files out."""
    envelope: dict[str, Any] = json.loads(signature)["dsseEnvelope"]
    statement: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    predicate = statement["predicate"]
    signed: dict[str, str] = {}
    if statement["predicateType"] == _PREDICATE and predicate["serialization"].get("method") == "files":
        signed = {item["name"]: item["digest"] for item in predicate["resources"] if item["algorithm"] == "sha256"}
    expected = {file: entry["sha256"] for file, entry in package.files.items()}
    expected[MANIFEST] = package.digest.removeprefix("sha256:")
    for file, digest in sorted(expected.items()):
        if signed.get(file) != digest:
            raise PackageError(f"{SIGNATURE}: does not cover {file}", file=SIGNATURE)


def _open(folder: str | Path) -> Package:
    path = Path(folder)
    if not path.is_dir():
        raise ModelberthError(
            f"cannot sign {folder}: it must be the folder of a package on this machine; pull it first"
        )
    return verify(path)


def _hashing() -> Any:
    return _library("hashing").Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _library(part: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"model_signing.{part}")
    except ModuleNotFoundError as error:
        raise ModelberthError(f'signatures need {error.name}: pip install "modelberth[sign]"') from error


def _name(signer: str | Path) -> str:
    text = str(signer)
    return "the key in the rules" if text.lstrip().startswith("-----BEGIN") else text


def _read_key(signer: str | Path) -> bytes:
    text = str(signer)
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode()
    path = Path(signer)
    try:
        with path.open("rb") as source:
            content = source.read(_MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ModelberthError(f"cannot read the key {path}: {error.strerror}") from error
    if len(content) > _MAX_KEY_BYTES or b"-----BEGIN" not in content:
        raise ModelberthError(f"cannot read the key {path}: it must be a key or a certificate in PEM")
    return content


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    known = {"InvalidSignature": "the signature does not fit the key"}
    return known.get(type(error).__name__) or (lines[0] if lines else type(error).__name__)
