"""Real certificates for the tests of TLS, signed by an authority of their own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY_FORM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
SERVER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")])


@dataclass(frozen=True)
class Files:
    """A server's certificate and key, and the authority's certificate that a client trusts."""

    certificate: Path
    key: Path
    authority: Path


@cache
def authority_key() -> ec.EllipticCurvePrivateKey:
    """The key of the authority."""
    return ec.generate_private_key(ec.SECP256R1())


def made(folder: Path, name: str = "server", begins: datetime | None = None, days: float = 1.0) -> Files:
    """Files of a certificate for 127.0.0.1 and localhost, from `begins` (by default an hour ago) on for some days."""
    key = ec.generate_private_key(ec.SECP256R1())
    begins = begins or datetime.now(UTC) - timedelta(hours=1)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = _certificate(SERVER, key.public_key(), begins, days, names)
    top = _certificate(
        AUTHORITY, authority_key().public_key(), begins, days, x509.BasicConstraints(ca=True, path_length=0)
    )
    files = Files(*(folder / f"{name}.{part}.pem" for part in ("certificate", "key", "authority")))
    files.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    files.authority.write_bytes(top.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(key.private_bytes(*KEY_FORM, serialization.NoEncryption()))
    return files


def put(files: Files, certificate: Path, key: Path) -> None:
    """Writes a renewed pair over another, the key first."""
    shutil.copy(files.key, key)
    shutil.copy(files.certificate, certificate)


def serial(certificate: Path) -> int:
    """The serial number of a certificate's file."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number


def locked(key: Path, password: bytes = b"a password") -> None:
    """Puts a password on a key's file."""
    read = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(read.private_bytes(*KEY_FORM, serialization.BestAvailableEncryption(password)))


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begins: datetime,
    days: float,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(AUTHORITY)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(authority_key(), hashes.SHA256())
    )
