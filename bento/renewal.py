"""A TLS certificate that is renewed while the server runs: connections that begin from then on get the new one."""

from __future__ import annotations

import functools
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from perennial.errors import PerennialError

logger = logging.getLogger("bento.tls")

LOOK_S = 1.0
Make = Callable[[], ssl.SSLContext]


class Renewal:
    """What a server of TLS listens with, made again when one of its files is another than before.

    A pair that cannot be used, such as a new certificate beside the old key, is told of once; the old one goes on.

    Args:
        make: reads the files; raises OSError (an `ssl.SSLError` is one), ValueError or PerennialError.
        files: the certificate and the key.
        ticks: seconds that only grow; two looks at the files are at least `LOOK_S` apart.
    """

    def __init__(self, make: Make, *files: Path, ticks: Callable[[], float] = monotonic) -> None:
        self._make, self._files, self._ticks = make, files, ticks
        self._seen, self._next = _identities(files), ticks() + LOOK_S
        self.context = self._newest = make()
        self.context.sni_callback = self._chosen

    def _chosen(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Give the newest context to a connection that begins; OpenSSL asks whether or not it names a server."""
        self.look()
        if self._newest is not context:
            connection.context = self._newest

    def look(self) -> None:
        """Read the files again where they changed."""
        if self._ticks() < self._next:
            return
        self._next = self._ticks() + LOOK_S
        found = _identities(self._files)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._newest = self._make()
        except (OSError, ValueError, PerennialError) as error:
            logger.warning(
                "the TLS certificate in %s cannot be used, the old one is: %s", self._files[0], error
            )
        else:
            logger.warning("the TLS certificate in %s was renewed", self._files[0])


def _identities(files: tuple[Path, ...]) -> list[tuple[int, ...] | None]:
    """What tells a file from the one before; None for one that is not there."""
    return [_identity(path) for path in files]


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def renew_certificates() -> None:
    """Have uvicorn, of which BentoML makes its workers, listen so; to be called before a worker's server is made."""
    import uvicorn.config

    make = uvicorn.config.create_ssl_context
    if not isinstance(make, functools.partial):
        uvicorn.config.create_ssl_context = functools.partial(_renewing, make)


def _renewing(make: Callable[..., ssl.SSLContext], **named: Any) -> ssl.SSLContext:
    files = [Path(path) for path in (named["certfile"], named["keyfile"]) if path]
    return Renewal(lambda: make(**named), *files).context
