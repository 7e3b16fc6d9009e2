"""The certificate and the key of a server that speaks TLS, checked before it starts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from perennial.errors import InputError


@dataclass(frozen=True)
class Pair:
    """A certificate, with those that vouch for it behind it, and its private key: two files in PEM."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server listens with: TLS 1.2 or newer; raises InputError where the two do not belong together."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            made.load_cert_chain(self.certificate, self.key, password=_no_password)
        except ssl.SSLError as error:
            is_locked = b"ENCRYPTED" in self.key.read_bytes()
            found = (
                "one with a password" if is_locked else FOUND.get(error.reason or "", "none that can be read")
            )
            raise InputError(
                f"expected {self.key} to hold the private key, in PEM, of the certificate in {self.certificate}, "
                f"found {found}"
            ) from None
        return made


FOUND = {"KEY_VALUES_MISMATCH": "the key of another", "KEY_TYPE_MISMATCH": "a key of another type"}
"""OpenSSL's reasons, in words."""


def checked(certificate: str | Path | None, key: str | Path | None, now: datetime) -> Pair | None:
    """The pair that two files hold, by absolute paths; None where neither is named.

    Raises:
        InputError: only one is named, one cannot be read, they do not belong together, or the certificate is not
            valid at `now`.
    """
    if not certificate and not key:
        return None
    if not certificate or not key:
        named, lacking = ("certificate", "key") if certificate else ("key", "certificate")
        raise InputError(
            f"expected a TLS certificate and its key, found a {named} alone; name the {lacking} too"
        )
    pair = Pair(Path(certificate).absolute(), Path(key).absolute())
    _read(pair.key, "key")
    _check_times(pair.certificate, now)
    pair.context()
    return pair


def _check_times(path: Path, now: datetime) -> None:
    try:
        first = x509.load_pem_x509_certificate(_read(path, "certificate"))
    except ValueError:
        raise InputError(f"expected a TLS certificate in PEM in {path}, found something else") from None
    if now > first.not_valid_after_utc:
        raise InputError(
            f"expected a valid TLS certificate in {path}, found one that expired on "
            f"{first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
        )
    if now < first.not_valid_before_utc:
        raise InputError(
            f"expected a valid TLS certificate in {path}, found one that begins on "
            f"{first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; check this machine's clock"
        )


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"expected a TLS {what} in {path}, found none ({error.strerror})") from None


def _no_password() -> str:
    """What OpenSSL is told instead of asking the terminal; a key with a password fails then."""
    return ""
