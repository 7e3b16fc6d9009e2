"""What passes between asking and reading: a request, its answer, and the rows that were read from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Request:
    """One address to ask for.

    `etag` and `last_modified` make it conditional; "" leaves them out. `robots` says whether robots.txt counts.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    last_modified: str = ""
    robots: bool = True


@dataclass(frozen=True)
class Answer:
    """What came back, with status 200 or 304.

    `url` is the address that was asked, `final_url` the one that answered after redirects. Header names are in
    lower case. `body` is inflated (empty for a 304), `sent_bytes` is its size as it was sent. `received_at` is
    UTC, `seconds` the time from the first byte asked to the last one read, without waiting for the host's turn.
    """

    url: str
    final_url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_bytes: int
    received_at: datetime
    seconds: float


class Asker(Protocol):
    """Anything that answers requests: the network, a recording, a folder of files."""

    async def get(self, request: Request) -> Answer:
        """The answer; raises FetchError where there is none."""
        ...


@dataclass(frozen=True)
class Parsed:
    """What one answer holds.

    Values of times are ISO 8601 texts in UTC with an offset; missing values are None. `links` are absolute
    addresses in the order of the page. `found` counts row elements, of which `rejected` broke a rule of a field
    and are not among `rows`. `hits` counts the row elements in which a field's selector found something,
    `unreadable` and `out_of_range` the values that were found and not believed, by field. `layout` is a digest
    of the structure around the rows that does not depend on their number or content.
    """

    rows: tuple[Mapping[str, Value], ...]
    links: tuple[str, ...] = ()
    found: int = 0
    rejected: int = 0
    hits: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    out_of_range: Mapping[str, int] = field(default_factory=dict)
    layout: str = ""


@dataclass(frozen=True)
class CollectedRow:
    """One row as a run brought it: its values, the address it was read from, the digest of the stored answer.

    `collected_at` is when the answer came (UTC), also where the host only said that nothing had changed.
    """

    feed: str
    values: Mapping[str, Value]
    url: str
    raw: str
    collected_at: datetime
