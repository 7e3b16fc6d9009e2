"""Ed25519 signatures: who made a bundle."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.errors import BundleError, InputError
from perennial.live.files import write_exclusive

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE, PUBLIC = "signing_key.pem", "signing_key.pub.pem"


@dataclass(frozen=True)
class SigningKey:
    """A private key in memory, and where its public half lies. The private half is in no repr."""

    private: Ed25519PrivateKey = field(repr=False)
    public_path: Path


def key_pair(folder: Path) -> SigningKey:
    """The signing key of `folder`, made at first use; safe when several processes start at once.

    The private half is PKCS#8 in PEM without a passphrase, readable by its owner alone (mode 0600) from its
    first byte. Raises InputError where others may read it, or where the two halves do not belong together.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_path, public_path = folder / PRIVATE, folder / PUBLIC
    had_public = public_path.exists()  # asked first: whoever makes a pair writes the private half first
    if not private_path.exists():
        if had_public:
            raise InputError(
                f"signing key {private_path}: expected it beside {public_path}, found none; restore it from a "
                "copy, or delete the public file to get a new pair, which the bundles so far are not signed by"
            )
        fresh = Ed25519PrivateKey.generate().private_bytes(
            form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
        )
        with contextlib.suppress(FileExistsError):  # another process was first: its key is the key
            write_exclusive(private_path, fresh, mode=0o600)
    mode = stat.S_IMODE(private_path.stat().st_mode)
    if mode & 0o077:
        raise InputError(
            f"signing key {private_path}: expected mode 0600, found {mode:04o}; others may have read it: "
            "delete both key files to get a new pair, or run chmod 600 if you know that nobody did"
        )
    try:
        private = form.load_pem_private_key(private_path.read_bytes(), password=None)
    except ValueError as error:
        raise InputError(
            f"signing key {private_path}: expected an Ed25519 key in PEM, found something unreadable; "
            "restore it, or delete both key files to get a new pair"
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(
            f"signing key {private_path}: expected an Ed25519 key, found {type(private).__name__}; "
            "restore it, or delete both key files to get a new pair"
        )
    public = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    if not public_path.exists():
        with contextlib.suppress(FileExistsError):  # made at first use, by this process or another
            write_exclusive(public_path, public)
    if public_path.read_bytes() != public:
        raise InputError(
            f"signing key {public_path}: expected the public half of {private_path}, found another key; "
            "delete the public file to have it written again"
        )
    return SigningKey(private, public_path)


def sign(key: SigningKey, message: bytes) -> bytes:
    """The signature of `message`, 64 bytes."""
    return key.private.sign(message)


def verify(public_key: Path, message: bytes, signature: bytes, subject: str | Path = "manifest.json") -> None:
    """Return if `signature` was made for `message` by the owner of `public_key`; else raise BundleError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key.read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(
            subject,
            f"expected an Ed25519 public key in {public_key}, found none",
            "copy signing_key.pub.pem from the machine that built it",
        ) from error
    try:
        if not isinstance(key, Ed25519PublicKey):
            raise InvalidSignature
        key.verify(signature, message)
    except InvalidSignature as error:
        raise BundleError(
            subject,
            f"expected a signature of manifest.json by the key in {public_key}, found none in manifest.sig",
            "do not use it: build it again, or give the public key of whoever built it",
        ) from error
