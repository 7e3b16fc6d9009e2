"""How the requests of a feed follow one another: where a walk starts, and where an answer leads.

Everything here is a function of the config and of what was found; nothing is asked and nothing is kept.
"""

from __future__ import annotations

import glob
import os
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

import msgspec

from perennial.config_web import Feed, FilesWalk, OnceWalk, PagesWalk, WindowsWalk
from perennial.errors import SourceError

UNIT_S = {"iso": 1.0, "unix_s": 1.0, "unix_ms": 1.0, "date": 86_400.0}
TOO_LARGE = frozenset({400, 413})
SHORTEST_REFUSED_S = 60.0  # a host that refuses a shorter window than this refuses something else
MOST_SAME = (
    8  # halvings in a row that bring the same rows, after which the host is taken to ignore the window
)
CLOCKS_DIFFER = timedelta(hours=1)  # between this machine and the host, and until a revision is published


@dataclass(frozen=True)
class Step:
    """A request of a walk, and in `mark` where in the walk it stands (JSON)."""

    url: str
    mark: str = ""


@dataclass(frozen=True)
class Found:
    """What walks need to know of an answer that was read.

    `elements` counts row elements whether or not they were rejected, `content` is a digest of the rows,
    `final_url` the address that answered.
    """

    elements: int
    content: str
    links: tuple[str, ...]
    final_url: str


@dataclass(frozen=True)
class Ahead:
    """Where an answer leads: further steps, and what becomes of the rows it held.

    `rows` is "keep", or "split" where the further steps ask for the same rows in smaller portions, or "full"
    where they should be but cannot.
    """

    steps: tuple[Step, ...] = ()
    rows: Literal["keep", "split", "full"] = "keep"


@dataclass(frozen=True)
class Reached:
    """How far earlier collections of the same walk came (UTC).

    `newest` is the newest event without a gap before it, `asked_at` when the last collection without a failed
    request started.
    """

    newest: datetime | None
    asked_at: datetime | None


class _Page(msgspec.Struct, omit_defaults=True):
    template: int
    page: int
    before: str = ""


class _Window(msgspec.Struct, omit_defaults=True):
    """A window; `content` is that of the window it is a half of, `same` how many halvings did not change it."""

    start: datetime
    end: datetime
    suffix: str = ""
    content: str = ""
    same: int = 0


def base_of(feed: Feed, stand_in: str) -> str:
    """The address that the feed's relative ones are joined to."""
    return stand_in or feed.base_url


def first_steps(feed: Feed, stand_in: str, reached: Reached, now: datetime) -> tuple[Step, ...]:
    """Where the feed's walk starts.

    Raises:
        SourceError: where a file is missing.
    """
    walk = feed.walk
    if isinstance(walk, FilesWalk):
        return tuple(Step(path.as_uri()) for path in _files(walk))
    if isinstance(walk, OnceWalk):
        return tuple(Step(_address(url, feed, stand_in)) for url in walk.urls)
    if isinstance(walk, PagesWalk):
        return tuple(_first_pages(walk, feed, stand_in))
    return tuple(_window_step(w, walk, feed, stand_in) for w in _windows(walk, reached, now))


def after(step: Step, found: Found, feed: Feed, stand_in: str) -> Ahead:
    """Where an answer that was read leads."""
    walk = feed.walk
    if isinstance(walk, PagesWalk):
        counted = _next_counted(step, found, walk, feed, stand_in)
        links = _followed(found, walk, feed, stand_in) if walk.next else ()
        return Ahead((*counted, *links))
    if isinstance(walk, WindowsWalk) and walk.most_rows and found.elements >= walk.most_rows:
        halves = _halves(step, found.content, walk, feed, stand_in)
        return Ahead(halves, "split" if halves else "full")
    return Ahead()


def after_refusal(step: Step, status: int, feed: Feed, stand_in: str) -> Ahead | None:
    """Where an HTTP error leads that belongs to the walk; None where it is a failure.

    A long window that a host refuses as too much is split; a page number that does not exist ends the count.
    """
    walk = feed.walk
    if isinstance(walk, WindowsWalk) and status in TOO_LARGE:
        window = msgspec.json.decode(step.mark, type=_Window)
        if (window.end - window.start).total_seconds() > SHORTEST_REFUSED_S:
            halves = _halves(step, "", walk, feed, stand_in)
            return Ahead(halves, "split") if halves else None
    if isinstance(walk, PagesWalk) and status in (404, 410) and walk.last is None and step.mark:
        return Ahead() if msgspec.json.decode(step.mark, type=_Page).before else None
    return None


def span(step: Step) -> tuple[datetime, datetime]:
    """Start and end of a window's step (UTC)."""
    window = msgspec.json.decode(step.mark, type=_Window)
    return window.start, window.end


def standing_in(url: str, feed: Feed, stand_in: str) -> str:
    """`url`, moved to the stand-in where it belongs to the feed's own base_url.

    >>> from perennial.config_web import Feed
    >>> feed = Feed.model_validate({
    ...     "base_url": "https://a.example", "walk": {"kind": "once", "urls": ["x"]},
    ...     "read": {"kind": "json"}, "fields": {"id": {"path": "id"}}, "key": ["id"]})
    >>> standing_in("https://a.example/cars?page=2", feed, "http://127.0.0.1:8000")
    'http://127.0.0.1:8000/cars?page=2'
    """
    if not stand_in or not feed.base_url:
        return url
    own = feed.base_url.rstrip("/")
    if url == own or url.startswith((own + "/", own + "?")):
        return stand_in.rstrip("/") + url[len(own) :]
    if _host(url) == _host(feed.base_url):
        there, here = urlsplit(url), urlsplit(stand_in)
        return urlunsplit((here.scheme, here.netloc, there.path, there.query, ""))
    return url


def plain(url: str, drop: Sequence[str] = ()) -> str:
    """One spelling per page: no fragment, no dropped parameter, nothing but ASCII; the rest as written.

    >>> plain("http://a.example/cars?sid=7&page=2#top", drop=("sid",))
    'http://a.example/cars?page=2'
    """
    parts = urlsplit(quote(url.strip(), safe=string.punctuation))
    query = "&".join(
        part for part in parts.query.split("&") if unquote_plus(part.partition("=")[0]) not in drop
    )
    host = parts.netloc.rpartition("@")
    netloc = "".join((*host[:2], host[2].lower()))
    return urlunsplit((parts.scheme.lower(), netloc, parts.path or "/", query, ""))


def _address(url: str, feed: Feed, stand_in: str) -> str:
    if urlsplit(url).scheme in ("http", "https"):
        return plain(standing_in(url, feed, stand_in))
    return plain(f"{base_of(feed, stand_in).rstrip('/')}/{url.lstrip('/')}")


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _files(walk: FilesWalk) -> Iterator[Path]:
    for pattern in walk.paths:
        magic = glob.has_magic(pattern)
        names = sorted(glob.glob(pattern, recursive=True)) if magic else [pattern]  # noqa: PTH207
        files = [Path(name).absolute() for name in names if os.path.isfile(name)]  # noqa: PTH113
        if not files:
            found = "expected a file that fits this pattern, found none" if magic else "found no such file"
            raise SourceError(pattern, found, "put it there, or mend walk.paths in the config")
        yield from files


def _first_pages(walk: PagesWalk, feed: Feed, stand_in: str) -> Iterator[Step]:
    for number, template in enumerate(walk.start):
        if "{page}" not in template:
            yield Step(plain(_address(template, feed, stand_in), walk.drop_parameters))
            continue
        last = walk.first if walk.last is None else walk.last
        for page in range(walk.first, last + 1, walk.step):
            yield _page_step(_Page(number, page), walk, feed, stand_in)


def _page_step(page: _Page, walk: PagesWalk, feed: Feed, stand_in: str) -> Step:
    url = walk.start[page.template].replace("{page}", str(page.page))
    url = plain(_address(url, feed, stand_in), walk.drop_parameters)
    return Step(url, msgspec.json.encode(page).decode())


def _next_counted(step: Step, found: Found, walk: PagesWalk, feed: Feed, stand_in: str) -> tuple[Step, ...]:
    """The page after a counted one; none after one without rows, or one that repeats the page before."""
    if walk.last is not None or not step.mark or not found.elements:
        return ()
    page = msgspec.json.decode(step.mark, type=_Page)
    if found.content == page.before:
        return ()
    following = _Page(page.template, page.page + walk.step, found.content)
    return (_page_step(following, walk, feed, stand_in),)


def _followed(found: Found, walk: PagesWalk, feed: Feed, stand_in: str) -> tuple[Step, ...]:
    """Links to pages of the feed's own host, or of the host that answered in its place."""
    own = {_host(base_of(feed, stand_in)), _host(found.final_url)}
    links = (plain(standing_in(link, feed, stand_in), walk.drop_parameters) for link in found.links)
    return tuple(Step(link) for link in dict.fromkeys(links) if _host(link) in own)


def _windows(walk: WindowsWalk, reached: Reached, now: datetime) -> Iterator[_Window]:
    until = _utc(walk.until) if walk.until else now
    start = _utc(walk.since)
    if walk.updated and reached.asked_at:
        since = _written(reached.asked_at - CLOCKS_DIFFER, walk.times)
        if start < until:
            yield _Window(start, until, walk.updated.replace("{since}", since))
        return
    if not walk.updated and reached.newest:
        start = max(start, reached.newest - timedelta(days=walk.overlap_days))
    length = max(timedelta(days=walk.days), timedelta(seconds=UNIT_S[walk.times]))
    while start < until:
        end = min(start + length, until)
        yield _Window(start, end)
        start = end


def _window_step(window: _Window, walk: WindowsWalk, feed: Feed, stand_in: str) -> Step:
    url = walk.url.replace("{start}", _written(window.start, walk.times))
    url = url.replace("{end}", _written(window.end, walk.times)) + window.suffix
    return Step(_address(url, feed, stand_in), msgspec.json.encode(window).decode())


def _halves(step: Step, content: str, walk: WindowsWalk, feed: Feed, stand_in: str) -> tuple[Step, ...]:
    """The two halves of a window; none where it is as short as its times can say, or halving changes nothing."""
    window = msgspec.json.decode(step.mark, type=_Window)
    same = window.same + 1 if content and content == window.content else 0
    unit = UNIT_S[walk.times]
    first, last = (moment.timestamp() // unit for moment in (window.start, window.end))
    if last - first < 2 or same >= MOST_SAME:
        return ()
    middle = datetime.fromtimestamp((first + last) // 2 * unit, UTC)
    parts = ((window.start, middle), (middle, window.end))
    return tuple(
        _window_step(_Window(*part, window.suffix, content, same), walk, feed, stand_in) for part in parts
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _written(moment: datetime, times: str) -> str:
    """A moment as a walk writes it; `iso` carries no offset, so that a config can append its own."""
    if times == "unix_s":
        return str(int(moment.timestamp()))
    if times == "unix_ms":
        return str(int(moment.timestamp()) * 1000)
    return moment.strftime("%Y-%m-%d" if times == "date" else "%Y-%m-%dT%H:%M:%S")
