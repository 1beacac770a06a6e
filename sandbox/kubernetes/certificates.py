"""The certificates of a cluster: https://kubernetes.io/docs/setup/best-practices/certificates/."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=3650)


class Authority:
    """A certificate authority that keeps its key and what it issues in one folder."""

    def __init__(self, folder: Path) -> None:
        """Read the authority in `folder`; make one if there is none."""
        self._folder = folder
        self.certificate = folder / "ca.crt"
        self.key = folder / "ca.key"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not self.certificate.is_file():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("sandbox", ())
            certificate = (
                _builder(name, name, key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .add_extension(_usage(certificate_signing=True), critical=True)
                .sign(key, hashes.SHA256())
            )
            _write_key(self.key, key)
            self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> tuple[Path, Path]:
        """Return a certificate and its key, issued unless there is one for the same names.

        Args:
            file: Its files' name in the folder, without the ending.
            user: Its common name, which Kubernetes takes for the user.
            groups: Its organizations, which Kubernetes takes for the user's groups.
            hosts: The names and IP addresses that it proves as a server.
        """
        target, key_file = self._folder / f"{file}.crt", self._folder / f"{file}.key"
        subject, names = _name(user, groups), [_general_name(host) for host in hosts]
        if target.is_file():
            issued = x509.load_pem_x509_certificate(target.read_bytes())
            if issued.subject == subject and _alternative_names(issued) == names:
                return target, key_file
        key = ec.generate_private_key(ec.SECP256R1())
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        builder = (
            _builder(subject, authority.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificate_signing=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signer = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        _write_key(key_file, key)
        target.write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return target, key_file

    def signing_pair(self, file: str) -> tuple[Path, Path]:
        """Return a private key and its public key, such as the one that signs the tokens of service accounts."""
        private, public = self._folder / f"{file}.key", self._folder / f"{file}.pub"
        if not public.is_file():
            key = ec.generate_private_key(ec.SECP256R1())
            _write_key(private, key)
            public.write_bytes(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
        return private, public


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, certificate_signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not certificate_signing,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_signing,
        crl_sign=certificate_signing,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _write_key(file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
