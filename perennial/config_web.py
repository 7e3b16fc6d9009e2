"""The typed form of a source that is collected over HTTP or from files: its feeds, its manners, its promises.

A feed says how requests follow one another (`walk`), how one answer becomes rows (`read`, `fields`), which rows
are the same record (`key`), when a record happened and when it could be known, and what must hold (`expect`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from perennial.config_section import Section, Share, option


def _name(value: str) -> str:
    if not value.isidentifier() or value.startswith("_") or value in RESERVED:
        raise ValueError(
            "expected a name of letters, digits and underscores that is none of "
            f"{', '.join(sorted(RESERVED))}"
        )
    return value


RESERVED = frozenset({"feed", "key", "event_time", "available_at", "collected_at", "source", "raw"})
Name = Annotated[str, AfterValidator(_name)]


class Select(Section):
    """A place in an answer: exactly one of a CSS selector, an XPath expression and a JSON path."""

    css: str | None = option(None, about="CSS selector; may end in ::text or ::attr(name)")
    xpath: str | None = option(None, about="XPath expression")
    path: str | None = option(None, about="JSON path (JMESPath) into the answer, the row or the script")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [getattr(self, place) for place in self.places()]
        if sum(place is not None for place in given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(self.places())}")
        return self

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """The keys of which exactly one must be given."""
        return ("css", "xpath", "path")


class FieldRule(Select):
    """How one value of a row is found, read and checked."""

    column: str | None = option(None, about="column of a CSV file")
    at: Literal["row", "page"] = option("row", about="where the selector starts: in the row or in the page")
    regex: str | None = option(None, about="pattern whose first group (or whole match) is the value")
    join: str | None = option(None, about="text between all matches; none takes the first match alone")
    parse: Literal["text", "number", "integer", "boolean", "time", "url"] = option(
        "text", about="what the value is"
    )
    unit: str = option("", about="unit of the number")
    decimal: Literal["auto", ".", ","] = option("auto", about="decimal sign of the number")
    scale: float = option(1.0, about="factor that turns the written number into the unit", unit="1")
    format: str = option("iso", about="of a time: iso, unix_s, unix_ms, or a pattern of strptime")
    zone: str = option("UTC", about="time zone of a time that names none")
    translate: dict[str, str] = option({}, about="written text -> value; other texts stay")
    missing: tuple[str, ...] = option((), about="texts that stand for no value, such as n/a")
    required: bool = option(False, about="whether a row without it is rejected")
    minimum: float | None = option(None, about="least value that is believed")
    maximum: float | None = option(None, about="greatest value that is believed")
    unbelievable: Literal["blank", "reject"] = option(
        "blank", about="what an unreadable or out-of-range value does: blank itself or reject its row"
    )

    @classmethod
    def places(cls) -> tuple[str, ...]:
        """The keys of which exactly one must be given."""
        return ("css", "xpath", "path", "column")


class OnceWalk(Section):
    """One request, or a few that do not depend on one another."""

    kind: Literal["once"] = option(about="tag of this variant")
    urls: tuple[str, ...] = option(about="addresses, relative to base_url", min_length=1)


class PagesWalk(Section):
    """Result pages that lead to one another by links, or are counted."""

    kind: Literal["pages"] = option(about="tag of this variant")
    start: tuple[str, ...] = option(about="first pages; {page} is counted from `first`", min_length=1)
    next: Select | None = option(None, about="links to further pages; each is asked once")
    first: int = option(1, about="number that {page} starts with", unit="1")
    step: int = option(1, about="what {page} grows by", unit="1", ge=1)
    last: int | None = option(None, about="number that {page} ends with; none ends at a page without rows")
    most_pages: int = option(
        10_000, about="pages after which a walk is stopped as endless", unit="pages", ge=1
    )
    drop_parameters: tuple[str, ...] = option((), about="query parameters that do not make another page")


class WindowsWalk(Section):
    """Stretches of time, each asked for on its own, split where an answer is full."""

    kind: Literal["windows"] = option(about="tag of this variant")
    url: str = option(about="address with {start} and {end}")
    since: datetime = option(about="where the first window starts (UTC)")
    until: datetime | None = option(None, about="where the last window ends (UTC); none means now")
    days: float = option(365.0, about="length of a window before any split", unit="days", gt=0)
    times: Literal["iso", "date", "unix_s", "unix_ms"] = option(
        "iso", about="how {start} and {end} are written"
    )
    most_rows: int | None = option(
        None, about="rows at which an answer is full and its window is split", ge=1
    )
    updated: str | None = option(
        None, about="what later collections append to ask for revised records alone, with {since}"
    )
    overlap_days: float = option(
        7.0, about="how far later collections reach back behind the newest record", unit="days", ge=0
    )


class FilesWalk(Section):
    """Files on this machine, read like answers."""

    kind: Literal["files"] = option(about="tag of this variant")
    paths: tuple[str, ...] = option(
        about="files or patterns such as raw/*.csv.gz, read in order", min_length=1
    )


Walk = Annotated[OnceWalk | PagesWalk | WindowsWalk | FilesWalk, Field(discriminator="kind")]


class HtmlRead(Section):
    """Rows that are elements of a page, or objects in JSON that a page embeds."""

    kind: Literal["html"] = option(about="tag of this variant")
    rows: Select = option(about="the element of each row; with `path` the list inside the script")
    script: str = option(
        'script[type="application/ld+json"]', about="CSS selector of the script, where rows are JSON"
    )
    encoding: str = option("auto", about="encoding of the page; auto follows headers, BOM and meta tags")


class JsonRead(Section):
    """Rows that are the items of a list in a JSON document."""

    kind: Literal["json"] = option(about="tag of this variant")
    rows: str = option("@", about="JSON path (JMESPath) of the list of rows")


class JsonColumnsRead(Section):
    """Columns that are lists of equal length in a JSON document; each field's JSON path names one."""

    kind: Literal["json_columns"] = option(about="tag of this variant")


class CsvRead(Section):
    """Rows of a text file with a header line."""

    kind: Literal["csv"] = option(about="tag of this variant")
    separator: str = option("auto", about="sign between columns; auto looks at the header line")
    encoding: str = option("auto", about="encoding of the file; auto follows headers and BOM, else UTF-8")


Read = Annotated[HtmlRead | JsonRead | JsonColumnsRead | CsvRead, Field(discriminator="kind")]


class Expect(Section):
    """What every collection of a feed must hold; a breach keeps it out of the dataset."""

    min_rows: int = option(
        1, about="fewest rows; 0 declares that no row at all is legitimate", unit="rows", ge=0
    )
    row_band: tuple[float, float] = option(
        (0.5, 2.0), about="rows allowed, as multiples of the median of earlier good collections", unit="1"
    )
    min_fill: dict[str, Share] = option({}, about="field -> least share of rows that must have it", unit="1")
    fill_drop: Share = option(
        0.2, about="how far a field's fill rate may fall below that of earlier good collections", unit="1"
    )
    max_rejected: Share = option(
        0.1,
        about="largest share of rows that may be rejected, and of a field's values that may be blanked",
        unit="1",
    )
    max_failed: Share = option(
        0.0,
        about="largest share of requests that may fail; what they would have brought is missing",
        unit="1",
    )
    layout: Literal["note", "breach"] = option(
        "note", about="what a changed page structure does while rows and fields still hold"
    )


class Feed(Section):
    """One stream of records."""

    base_url: str = option("", about="address that relative ones are joined to")
    walk: Walk = option(about="how requests follow one another")
    read: Read = option(about="how one answer becomes rows")
    fields: dict[Name, FieldRule] = option(about="field -> how its value is found and read", min_length=1)
    key: tuple[str, ...] = option(about="fields that make two rows the same record", min_length=1)
    event_time: str | None = option(
        None, about="field that says when a record happened; none means when it was collected"
    )
    available_at: str | None = option(
        None, about="field that says when a record could be known; none means see available_after_s"
    )
    available_after_s: float | None = option(
        None, about="delay after event_time; without it and without a field, when it was collected", unit="s"
    )
    unfinished: Literal["keep", "skip"] = option(
        "keep",
        about="what a row does that is read before it is available by its own times, such as today's candle: "
        "skip leaves it to a later collection",
    )
    headers: dict[str, str] = option({}, about="further request headers; env:NAME for secrets")
    robots: bool = option(
        True, about="whether robots.txt is obeyed; an API for programs may close itself to crawlers"
    )
    expect: Expect = option(Expect, about="what every collection must hold")

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        for name, fields in {
            "key": self.key,
            "event_time": (self.event_time,),
            "available_at": (self.available_at,),
            "expect.min_fill": tuple(self.expect.min_fill),
        }.items():
            for field in fields:
                if field is not None and field not in self.fields:
                    raise ValueError(
                        f"expected {name} to name one of {', '.join(self.fields)}, found {field}"
                    )
        return self


class Pace(Section):
    """How politely a host is asked."""

    robots: bool = option(True, about="whether robots.txt is obeyed")
    requests_per_s: float = option(
        1.0, about="most requests to one host in a second; 0 for no limit", unit="1/s", ge=0
    )
    at_once: int = option(2, about="requests to one host that are under way at once", unit="requests", ge=1)
    retries: int = option(4, about="further tries after a transient failure", unit="tries", ge=0)
    backoff_s: float = option(
        1.0, about="first wait after a transient failure; doubles, with jitter", unit="s", gt=0
    )
    longest_wait_s: float = option(
        900.0, about="cap of any wait that a host asks for: Retry-After, Crawl-delay", unit="s", gt=0
    )
    breaker_failures: int = option(
        5, about="failures in a row after which a host is left alone", unit="failures", ge=1
    )


class Limits(Section):
    """What an answer may cost."""

    compressed_mb: float = option(20.0, about="largest body as it is sent", unit="MB", gt=0)
    inflated_mb: float = option(200.0, about="largest body once it is inflated", unit="MB", gt=0)
    redirects: int = option(5, about="redirects that are followed", unit="redirects", ge=0)
    idle_s: float = option(20.0, about="longest silence of a host", unit="s", gt=0)
    total_s: float = option(120.0, about="longest time of one request", unit="s", gt=0)


class WebSource(Section):
    """Records that are collected feed by feed, politely and provably."""

    kind: Literal["web"] = option(about="tag of this variant")
    base_url: str = option(
        "", about="stand-in for the base_url of every feed, such as a local server's address"
    )
    contact: str = option(
        "", about="address or page that the User-Agent names, for the people who run the host"
    )
    private_hosts: tuple[str, ...] = option(
        (), about="hosts in private networks that may be asked; that of base_url always may"
    )
    pace: Pace = option(Pace, about="how politely a host is asked")
    limits: Limits = option(Limits, about="what an answer may cost")
    feeds: dict[Name, Feed] = option(about="the streams of records", min_length=1)

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        for name, feed in self.feeds.items():
            if not (self.base_url or feed.base_url or feed.walk.kind == "files"):
                raise ValueError(
                    f"expected feeds.{name}.base_url or base_url to name an address, found neither"
                )
        return self
