"""`python -m bento.health`: ends with 0 where the server of this container lives, over HTTP or TLS, else with 1."""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Mapping

PORT = "3000"


def lives(port: int, host: str = "127.0.0.1", timeout_s: float = 2.0) -> bool:
    """Whether `/livez` answers 200; the certificate is not looked at, for it names another host than loopback."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return any(
        _answers(connection)
        for connection in (
            http.client.HTTPConnection(host, port, timeout=timeout_s),
            http.client.HTTPSConnection(host, port, timeout=timeout_s, context=unverified),
        )
    )


def _answers(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def own_address(host: str) -> str:
    """Where a server that listens on `host` can be asked from its own machine.

    >>> own_address("0.0.0.0"), own_address("::"), own_address("10.0.0.7")
    ('127.0.0.1', '::1', '10.0.0.7')
    """
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def main(environment: Mapping[str, str]) -> int:
    """The exit code that tells whether the server of PERENNIAL_HOST and PERENNIAL_PORT lives."""
    host = own_address(environment.get("PERENNIAL_HOST", ""))
    return 0 if lives(int(environment.get("PERENNIAL_PORT") or PORT), host) else 1


if __name__ == "__main__":
    sys.exit(main(os.environ))
