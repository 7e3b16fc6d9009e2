"""The body of an answer: read and inflated piece by piece, and never further than the limits allow."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Iterator

from aiohttp import ClientResponse
from aiohttp.http_exceptions import HttpProcessingError

from perennial.config_web import Limits
from perennial.data.fetch.outcomes import FetchOutcome, failure

ACCEPTED = "gzip, deflate"
STEP_BYTES = 1 << 20
MB = 1_000_000


async def read_body(
    response: ClientResponse, limits: Limits, cut_bytes: int | None = None
) -> tuple[bytes, int]:
    """The inflated body of an answer, and its size as it was sent.

    With `cut_bytes` only so much of the inflated body is read, however long it is. Raises FetchError where the
    body is too large, cut off, followed by more than was announced, or compressed in an unknown or wrong way.
    """
    url = response.url
    most_sent, most = int(limits.compressed_mb * MB), int(limits.inflated_mb * MB)
    if cut_bytes is None and (response.content_length or 0) > most_sent:
        found = f"{response.content_length:,} bytes announced, {most_sent:,} allowed"
        raise failure(FetchOutcome.COMPRESSED_TOO_LARGE, url, found)
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    inflater = _inflater(response)
    parts: list[bytes] = []
    sent = size = 0
    while chunk := await response.content.readany():
        sent += len(chunk)
        if sent > most_sent:
            raise failure(FetchOutcome.COMPRESSED_TOO_LARGE, url, f"more than {most_sent:,} bytes")
        for part in inflater.feed(chunk) if inflater else (chunk,):
            parts.append(part)
            size += len(part)
            if cut_bytes is not None and size >= cut_bytes:
                return b"".join(parts)[:cut_bytes], sent
            if size > most:
                raise failure(
                    FetchOutcome.INFLATED_TOO_LARGE, url, f"{sent:,} bytes became more than {most:,}"
                )
            if len(part) == STEP_BYTES:
                await asyncio.sleep(0)
    _check_end(response, inflater, protocol.exception() if protocol is not None else None)
    return parts[0] if len(parts) == 1 else b"".join(parts), sent


def _check_end(response: ClientResponse, inflater: Inflater | None, trouble: BaseException | None) -> None:
    if isinstance(trouble, HttpProcessingError):
        raise failure(FetchOutcome.HALF_ANSWER, response.url, "more was sent than the headers announce")
    ends_with_connection = response.content_length is None and "Transfer-Encoding" not in response.headers
    if isinstance(trouble, OSError) and ends_with_connection:
        raise failure(FetchOutcome.HALF_ANSWER, response.url, f"the connection broke off ({trouble})")
    if inflater and not inflater.is_complete:
        raise failure(FetchOutcome.HALF_ANSWER, response.url, "the compressed body breaks off")


def _inflater(response: ClientResponse) -> Inflater | None:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        found = f"Content-Encoding {encoding[:60]!r}, asked for {ACCEPTED}"
        raise failure(FetchOutcome.BAD_ENCODING, response.url, found)
    return Inflater(str(response.url), is_gzip=encoding != "deflate")


class Inflater:
    """Inflates gzip (also several members in a row) and deflate (with or without the zlib header)."""

    def __init__(self, url: str, is_gzip: bool) -> None:
        self._url, self._is_gzip = url, is_gzip
        self._stream: zlib._Decompress | None = None
        self._held = b""
        self.is_complete = True

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The pieces that `data` inflates to, each at most STEP_BYTES long."""
        try:
            yield from self._pieces(self._held + data)
        except zlib.error as error:
            raise failure(
                FetchOutcome.BAD_ENCODING, self._url, f"the body does not inflate ({error})"
            ) from error

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        self._held, part = b"", b""
        while data or len(part) == STEP_BYTES:
            if self._stream is None:
                if self.is_complete and not data.strip(b"\0"):
                    return  # some servers pad the end with zeros
                self.is_complete = False
                if len(data) < 2:
                    self._held = data
                    return
                self._stream = zlib.decompressobj(self._window_bits(data))
            part = self._stream.decompress(data, STEP_BYTES)
            if part:
                yield part
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data = self._stream.unused_data
                self._stream, self.is_complete = None, True

    def _window_bits(self, data: bytes) -> int:
        if self._is_gzip:
            return zlib.MAX_WBITS | 16
        has_zlib_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950, 2.2
        return zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS
