"""Where a device gets releases from: a folder, an HTTP(S) address, or an S3 bucket.

All three hold what the releases folder holds, under the same names: `<system>/ledger/000001.json` and
`<system>/bundles/v1/...`. Nothing is listed: a device asks for names that it knows, so plain file serving is enough.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bento.edge.s3 import presigned
from perennial.errors import FetchError, InputError

CHUNK_BYTES = 64 * 2**10
TIMEOUT_S = 30.0
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


class Source(Protocol):
    """Files by name, read in pieces."""

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file; raises FileNotFoundError where it does not exist, FetchError where it fails."""
        ...


class FolderSource:
    """A releases folder: on a disk, a stick or a share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a file under the folder."""
        try:
            if not self._root.is_dir():
                raise FetchError(
                    str(self._root), "absent", "no such folder", "mount it, or mend --source", True
                )
            with (self._root / name).open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise
        except OSError as error:
            raise FetchError(
                str(self._root / name), "unreadable", str(error), "mend the folder", True
            ) from error


class HttpSource:
    """Files below an address; `sign` turns the address of a file into one that needs no header."""

    def __init__(
        self, root: str, token: str = "", ca: Path | None = None, sign: Callable[[str], str] = lambda url: url
    ) -> None:
        self._root, self._token, self._sign = root.rstrip("/"), token, sign
        self._opener = opener(ca)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of the file under the address; a body that ends early raises FetchError."""
        url = f"{self._root}/{urllib.parse.quote(name)}"
        request = urllib.request.Request(self._sign(url))
        try:
            with closing(send(self._opener, request, self._token)) as reply:
                while chunk := reply.read(CHUNK_BYTES):
                    yield chunk
                if reply.length:
                    raise unreachable(url, f"the answer ended {reply.length:,} bytes early")
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise FileNotFoundError(name) from None
            raise FetchError(
                url,
                "status",
                f"status {error.code}",
                "try later" if error.code in PASSING else "mend the address or the token",
                error.code in PASSING,
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(url, str(error) or type(error).__name__) from error


def unreachable(url: str, found: str) -> FetchError:
    """The error of an address that does not answer as HTTP does."""
    return FetchError(url, "unreachable", found, "it is tried again", True)


def opener(ca: Path | None, follows: bool = True) -> urllib.request.OpenerDirector:
    """What opens HTTP(S) addresses alone, and follows redirects or not.

    Certificates are checked against those in `ca`, or the system's.
    """
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        made.add_handler(handler)
    if follows:
        made.add_handler(urllib.request.HTTPRedirectHandler())
    return made


def send(opened: urllib.request.OpenerDirector, request: urllib.request.Request, token: str) -> Any:
    """The reply to a request. The token is left out where a redirect leads elsewhere."""
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return opened.open(request, timeout=TIMEOUT_S)


def open_source(
    address: str, token: str, ca: Path | None, environment: Mapping[str, str]
) -> FolderSource | HttpSource:
    """The source at an address: a folder, `http(s)://...`, or `s3://bucket/prefix`; raises InputError.

    S3 takes its keys, region and endpoint from the usual AWS_ variables.
    """
    scheme, colon, rest = address.partition("://")
    if not colon:
        return FolderSource(Path(address))
    if scheme in ("http", "https"):
        return HttpSource(address, token, ca)
    if scheme != "s3":
        raise InputError(f"expected --source to be a folder, http(s):// or s3://, found {scheme}://")
    bucket, _, prefix = rest.partition("/")
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not (key and secret):
        raise InputError(
            "expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for an s3:// source, found none"
        )
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    root = f"{endpoint.rstrip('/')}/{bucket}" if endpoint else f"https://{bucket}.s3.{region}.amazonaws.com"
    session = environment.get("AWS_SESSION_TOKEN", "")

    def sign(url: str) -> str:
        return presigned(url, key, secret, region, datetime.now(UTC), session=session)

    return HttpSource(f"{root}/{prefix}", "", ca, sign)


def read_whole(source: Source, name: str, max_bytes: int) -> bytes:
    """The content of a small file; raises FetchError where it is larger than `max_bytes`."""
    content = bytearray()
    for chunk in source.chunks(name):
        content += chunk
        if len(content) > max_bytes:
            raise FetchError(name, "large", f"more than {max_bytes:,} bytes", "mend what is served there")
    return bytes(content)
