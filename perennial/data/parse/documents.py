"""Rows in JSON: the items of a list, or columns of equal length."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from perennial.config_web import Feed, JsonRead, PagesWalk
from perennial.data.parse import layout
from perennial.data.parse.encoding import data_text, decodes
from perennial.data.parse.reading import Attempts, Found, addresses
from perennial.data.parse.select import Raw, Take, json_value
from perennial.errors import ParseError

_WRAPPING = re.compile(r"^\s*(?:<!--|//\s*<!\[CDATA\[|/\*\s*<!\[CDATA\[\s*\*/)|(?://\s*)?(?:-->|\]\]>)\s*$")
_ASSIGNED = re.compile(r"=\s*(?=[{\[])")


def document(body: bytes, content_type: str, url: str) -> Any:
    """The value of a JSON document.

    What JavaScript and Python write beyond the standard is read too: control characters in texts, and NaN and
    Infinity, which become None. Halves of surrogate pairs become question marks.

    Raises:
        ParseError: where it is none.
    """
    as_it_is = decodes(body) and not body.startswith(BOM_UTF8)
    text = body if as_it_is else data_text(body, content_type, "auto", url)
    try:
        return _decoded(text)
    except ValueError as error:
        start = body[:40].decode("utf-8", "replace")
        raise ParseError(
            url,
            f"expected JSON, found what starts with {start!r} ({error})",
            "check the address and read.kind",
        ) from error


def embedded(text: str) -> Any:
    """The value of the JSON in a script, also of `name = {...};`; None where there is none."""
    bare = _WRAPPING.sub("", text)
    try:
        return _decoded(bare)
    except ValueError:
        assigned = _ASSIGNED.search(bare)
    if assigned is None:
        return None
    try:
        end = json.JSONDecoder(strict=False).raw_decode(bare, assigned.end())[1]
        return _decoded(bare[assigned.end() : end])
    except (ValueError, RecursionError):
        return None


def _decoded(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeError):
        pass
    try:
        lenient = json.loads(text, strict=False, parse_constant=lambda _: None)
        return msgspec.json.decode(json.dumps(lenient, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


class JsonPlaces:
    """Finds the list of rows in JSON documents, and the fields in each row."""

    def __init__(self, rows: str, feed: Feed, attempt: Attempts, where: str = "read.rows.path") -> None:
        self.rows = attempt(where, lambda: json_value(rows))
        self.takes = takes(feed, attempt, also=("css", "xpath") if feed.read.kind == "html" else ())
        self.at_page = {name for name, rule in feed.fields.items() if rule.at == "page"}

    def find(self, documents: Iterable[Any]) -> Found:
        """The rows of all documents; an object where a list is expected is one row, anything else none."""
        rows: list[Any] = []
        columns: dict[str, list[Raw]] = {name: [] for name in self.takes}
        for one in documents:
            found = self.rows(one)
            items = found if isinstance(found, list) else [found] if isinstance(found, dict) else []
            rows += items
            for name, column in self.columns(items, one).items():
                columns[name] += column
        return Found(len(rows), columns, plain=True, layout=layout.of_objects(rows))

    def columns(self, rows: Sequence[Any], document: Any) -> dict[str, list[Raw]]:
        """What stands in the fields of the rows of one document."""
        return {
            name: [take(document)] * len(rows) if name in self.at_page else [take(row) for row in rows]
            for name, take in self.takes.items()
        }


class DocumentReader:
    """Finds rows and fields in JSON documents."""

    def __init__(self, feed: Feed, read: JsonRead, attempt: Attempts) -> None:
        self.path = read.rows
        self.places = JsonPlaces(read.rows, feed, attempt, "read.rows")
        self.next = following(feed, attempt)

    def find(self, body: bytes, content_type: str, url: str) -> Found:
        """What the document holds; raises ParseError where it is none, or has no list at `read.rows`."""
        whole = document(body, content_type, url)
        rows = self.places.rows(whole)
        if not isinstance(rows, list):
            raise ParseError(
                url,
                f"expected a list at {self.path!r}, found none in the JSON",
                "check the address and read.rows",
            )
        columns = self.places.columns(rows, whole)
        links = _links(self.next, whole, url)
        return Found(len(rows), columns, links, url, plain=True, layout=layout.of_objects(rows))


class ColumnsReader:
    """Finds columns of equal length in JSON documents."""

    def __init__(self, feed: Feed, attempt: Attempts) -> None:
        self.takes = takes(feed, attempt)
        self.at_page = {name for name, rule in feed.fields.items() if rule.at == "page"}
        self.next = following(feed, attempt)

    def find(self, body: bytes, content_type: str, url: str) -> Found:
        """What the document holds; raises ParseError where its columns are no lists of equal length.

        A JSON path that drops missing items, such as `prices[*].value`, makes its column too short.
        """
        whole = document(body, content_type, url)
        values = {name: take(whole) for name, take in self.takes.items()}
        lengths = {
            name: len(value)
            for name, value in values.items()
            if name not in self.at_page and isinstance(value, list)
        }
        others = [
            name
            for name, value in values.items()
            if name not in {*lengths, *self.at_page} and value is not None
        ]
        if not lengths or others or len(set(lengths.values())) > 1:
            listed = ", ".join([*(f"{name} has {n}" for name, n in lengths.items()), *others]) or "none"
            raise ParseError(
                url,
                f"expected lists of equal length, found {listed}",
                "check the address and the paths of fields",
            )
        count = next(iter(lengths.values()))
        columns: dict[str, Sequence[Raw]] = {
            name: value if name in lengths and isinstance(value, list) else [value] * count
            for name, value in values.items()
        }
        return Found(
            count, columns, _links(self.next, whole, url), url, plain=True, layout=layout.of_objects([whole])
        )


def takes(feed: Feed, attempt: Attempts, also: Sequence[str] = ()) -> Mapping[str, Take]:
    """What takes each field that has a JSON path; other kinds of places than `also` are noted as wrong."""
    for name, rule in feed.fields.items():
        other = next(
            (place for place in ("css", "xpath", "column") if getattr(rule, place) is not None), None
        )
        if other is not None and other not in also:
            attempt.expect(f"fields.{name}.{other}", False, "expected path, as the rows are JSON")
    return {
        name: attempt(f"fields.{name}.path", partial(json_value, rule.path))
        for name, rule in feed.fields.items()
        if rule.path is not None
    }


def following(feed: Feed, attempt: Attempts) -> Take | None:
    """What takes the address of the next page from a JSON document, where the feed's walk asks for it."""
    select = feed.walk.next if isinstance(feed.walk, PagesWalk) else None
    if select is None:
        return None
    path = select.path
    attempt.expect("walk.next", path is not None, "expected path, as the answers are JSON")
    return attempt("walk.next.path", lambda: json_value(path)) if path is not None else None


def _links(take: Take | None, whole: Any, url: str) -> tuple[str, ...]:
    found = take(whole) if take is not None else None
    return addresses(url, found if isinstance(found, list) else [found])
