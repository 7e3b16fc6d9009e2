"""From the body of an answer to what the frontier keeps of it: encoded rows, their keys, counts and links."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from perennial.config_web import Feed, WindowsWalk
from perennial.data.answer import Parsed, Value
from perennial.data.crawl.raw import RawStore
from perennial.data.parse import parser
from perennial.errors import ParseError

KEY_BYTES = 8  # an unsigned 64-bit number for those who count keys


class Counts(msgspec.Struct, omit_defaults=True):
    """What one answer adds to the facts of its feed; see `perennial.evidence.FeedFacts`."""

    rejected: int = 0
    hits: dict[str, int] = {}
    filled: dict[str, int] = {}
    unreadable: dict[str, int] = {}
    out_of_range: dict[str, int] = {}
    layout: str = ""


@dataclass(frozen=True)
class Reading:
    """What was read from one answer, small enough to pass between processes.

    `digest` names the stored body. `outcome` and `sentence` are "" unless it could not be read. `rows` are
    packed (see `unpacked`), `keys` holds KEY_BYTES bytes of digest per row, `content` is a digest of all rows,
    `elements` counts row elements whether or not they were rejected, `newest` is the latest event time (ISO
    8601, UTC; "" for none), `counts` an encoded `Counts`.
    """

    digest: str
    outcome: str = ""
    sentence: str = ""
    rows: bytes = b""
    row_count: int = 0
    keys: bytes = b""
    content: str = ""
    links: tuple[str, ...] = ()
    elements: int = 0
    newest: str = ""
    counts: bytes = b"{}"


class Reader:
    """Stores bodies and reads them by the rules of their feed. Belongs to one thread at a time."""

    def __init__(self, feeds: Mapping[str, Feed], raw: Path) -> None:
        self.raw = RawStore(raw)
        self._feeds = dict(feeds)
        self._parsers = {name: parser(feed) for name, feed in feeds.items()}
        self._pack = zstandard.ZstdCompressor(level=1).compress
        self._encode = msgspec.json.Encoder().encode

    def store_and_read(self, feed: str, body: bytes, content_type: str, url: str) -> Reading:
        """What an answer holds; its body is stored first, also where it cannot be read then.

        Raises:
            StoreError: where the body cannot be stored.
        """
        return self.read(feed, self.raw.put(body), body, content_type, url)

    def read(self, feed: str, digest: str, body: bytes, content_type: str, url: str) -> Reading:
        """What a stored body holds."""
        try:
            parsed = self._parsers[feed].parse(body, content_type, url)
        except ParseError as error:
            return Reading(digest, "unreadable", str(error))
        return self._reading(digest, parsed, self._feeds[feed])

    def _reading(self, digest: str, parsed: Parsed, feed: Feed) -> Reading:
        rows = self._encode(parsed.rows)
        counts = Counts(
            parsed.rejected,
            dict(parsed.hits),
            _filled(parsed.rows, tuple(feed.fields)),
            dict(parsed.unreadable),
            dict(parsed.out_of_range),
            parsed.layout,
        )
        return Reading(
            digest,
            rows=self._pack(rows),
            row_count=len(parsed.rows),
            keys=b"".join(self._key([row.get(name) for name in feed.key]) for row in parsed.rows),
            content=hashlib.sha256(rows).hexdigest(),
            links=parsed.links,
            elements=parsed.found,
            newest=_newest(parsed.rows, feed),
            counts=self._encode(counts),
        )

    def _key(self, values: Sequence[Value]) -> bytes:
        return hashlib.blake2b(self._encode(values), digest_size=KEY_BYTES).digest()


def unpacked(rows: bytes) -> list[dict[str, Any]]:
    """The rows that a `Reading` packed."""
    found: list[dict[str, Any]] = msgspec.json.decode(zstandard.ZstdDecompressor().decompress(rows))
    return found


def _filled(rows: Sequence[Mapping[str, Value]], fields: Sequence[str]) -> dict[str, int]:
    counts = {name: sum(row.get(name) is not None for row in rows) for name in fields}
    return {name: count for name, count in counts.items() if count}


def _newest(rows: Sequence[Mapping[str, Value]], feed: Feed) -> str:
    if not isinstance(feed.walk, WindowsWalk) or feed.event_time is None:
        return ""
    return max((str(row[feed.event_time]) for row in rows if row.get(feed.event_time)), default="")
