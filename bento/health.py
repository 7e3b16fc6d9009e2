"""`python -m bento.health`: ends with 0 where the server of this container lives, over HTTP or TLS, else with 1."""

from __future__ import annotations

import http.client
import os
import ssl
import sys

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


if __name__ == "__main__":
    sys.exit(0 if lives(int(os.environ.get("PERENNIAL_PORT") or PORT)) else 1)
