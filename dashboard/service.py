"""Asking the running service over HTTP."""

from __future__ import annotations

import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from perennial.errors import InputError, PerennialError

TIMEOUT_S = 30.0
LOOK_TIMEOUT_S = 3.0


class Away(PerennialError):  # noqa: N818
    """Nothing that can be talked to answers at the service's address."""

    def __init__(self, url: str, found: str) -> None:
        super().__init__(f"expected the service to answer at {url}, found: {found}")
        self.found = found


@dataclass(frozen=True)
class Reply:
    """What the service said: a status, a JSON object and the headers, by their names in lower case."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def problem(self) -> str:
        """Why it refused, in one sentence; "" where it did not."""
        if self.status == 200:
            return ""
        return str(self.body.get("message") or f"the service answered {self.status}")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, which could carry a token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Service:
    """The service at an address.

    Args:
        url: without a slash behind it.
        token: sent with every request where it is not "".
    """

    url: str
    token: str = ""

    def __repr__(self) -> str:
        """The address; never the token."""
        return f"Service({self.url})"

    def ready(self) -> Reply:
        """What `/readyz` says; raises Away."""
        return self._ask("/readyz", None, LOOK_TIMEOUT_S)

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The answer to a request; raises Away."""
        return self._ask(path, json.dumps(body, allow_nan=False).encode(), TIMEOUT_S)

    def _ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, body, headers)
        direct = [urllib.request.ProxyHandler({})] if is_loopback(self.url) else []
        try:
            with urllib.request.build_opener(_Stay, *direct).open(request, timeout=timeout_s) as answer:
                return self._reply(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return self._reply(error.code, error.read(), error.headers)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise Away(self.url, getattr(reason, "strerror", None) or str(reason) or "no answer") from error

    def _reply(self, status: int, content: bytes, headers: Any) -> Reply:
        try:
            body = json.loads(content)
        except ValueError as error:
            raise Away(self.url, f"an answer ({status}) that is no JSON") from error
        if not isinstance(body, dict):
            raise Away(self.url, f"an answer ({status}) that is no JSON object")
        return Reply(status, body, {name.lower(): value for name, value in headers.items()})


def checked_url(url: str, has_token: bool) -> str:
    """The address of a service, if a token may be sent there; raises InputError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"expected the address of a service such as http://127.0.0.1:3000, found {parts.scheme!r}"
        )
    if parts.username or parts.password:
        raise InputError(
            "expected an address without a password in it; name the token under serve.tokens of the config"
        )
    if has_token and parts.scheme == "http" and not is_loopback(url):
        raise InputError(
            f"expected https for a token beyond loopback, found http://{parts.hostname}; put TLS before the service"
        )
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
