"""Rows in HTML pages: elements, or objects in the JSON of their scripts."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from perennial.config_web import Feed, FieldRule, HtmlRead, PagesWalk, Select
from perennial.data.parse import layout
from perennial.data.parse.documents import JsonPlaces, embedded
from perennial.data.parse.encoding import encoding_named, media_type, page_text
from perennial.data.parse.reading import Attempts, Found, addresses
from perennial.data.parse.select import Take, css_to_xpath, element_value, holder, json_value, nodes
from perennial.errors import ParseError

_OTHER_MEDIA = (
    "image/",
    "audio/",
    "video/",
    "font/",
    "application/json",
    "application/pdf",
    "application/zip",
)
_BASE = etree.XPath("string((/html/head/base | /html/body/base)[@href][1]/@href)", smart_strings=False)
_BREAKS = etree.XPath("//br")
_LARGE_BYTES = 200_000
_MOST_ATTRIBUTES = 20_000
_VALUE = re.compile(rb"=\s*+(?:\"[^\"]*+\"|'[^']*+')")
_TAG = re.compile(rb"<[a-zA-Z](?:[^>=]++|=\s*+\"[^\"]*+\"|=\s*+'[^']*+'|=)*+")


class PageReader:
    """Finds rows and fields in HTML pages."""

    def __init__(self, feed: Feed, read: HtmlRead, attempt: Attempts) -> None:
        self.encoding = read.encoding
        if read.encoding != "auto":
            attempt("read.encoding", lambda: encoding_named(read.encoding))
        following = feed.walk.next if isinstance(feed.walk, PagesWalk) else None
        self.in_script = JsonPlaces(read.rows.path, feed, attempt) if read.rows.path is not None else None
        if self.in_script is None:
            self.rows = _nodes("read.rows", read.rows, attempt)
        self.takes = {
            name: _take(f"fields.{name}", rule, attempt, rows_are_json=read.rows.path is not None)
            for name, rule in feed.fields.items()
            if rule.path is None or self.in_script is None
        }
        self.places = {
            name: place
            for name, rule in feed.fields.items()
            if not attempt.violations and self.in_script is None and rule.at == "row"
            if (place := holder(rule.css, rule.xpath)) is not None
        }
        self.at_page = {name for name, rule in feed.fields.items() if rule.at == "page"}
        self.scripts = attempt("read.script", lambda: nodes(read.script, None))
        self.next_path: Take | None = None
        self.next_nodes = None
        if following is not None and following.path is not None:
            path = following.path
            self.next_path = attempt("walk.next.path", lambda: json_value(path))
        elif following is not None:
            self.next_nodes = _nodes("walk.next", following, attempt)

    def find(self, body: bytes, content_type: str, url: str) -> Found:
        """What the page holds; raises ParseError where it is no page, or larger than the parser's limits."""
        root = page(body, content_type, url, self.encoding)
        try:
            return self._found(root, url)
        except etree.XPathError as error:
            raise ParseError(
                url, f"found a page that an XPath expression fails on: {error}", "mend it"
            ) from error

    def _found(self, root: etree._Element, url: str) -> Found:
        base = _base(root, url)
        documents: list[Any] = []
        if self.in_script is not None or self.next_path is not None:
            documents = self._documents(root, url)
        written: list[Any] = []
        if self.next_nodes is not None:
            written = [node if isinstance(node, str) else node.get("href") for node in self.next_nodes(root)]
        elif self.next_path is not None:
            for document in documents:
                found = self.next_path(document)
                written += found if isinstance(found, list) else [found]
        links = addresses(base, written)
        if self.in_script is not None:
            within = self.in_script.find(documents)
            columns = dict(within.columns)
            for name, take in self.takes.items():
                columns[name] = [take(root)] * within.rows
            return Found(within.rows, columns, links, base, plain=True, layout=within.layout)
        rows = self.rows(root)
        if any(isinstance(row, str) for row in rows):
            raise ParseError(url, "expected elements as rows, found texts", "select elements in read.rows")
        columns = {
            name: [take(root)] * len(rows) if name in self.at_page else [take(row) for row in rows]
            for name, take in self.takes.items()
        }
        return Found(len(rows), columns, links, base, layout=layout.of_elements(rows, self.places, columns))

    def _documents(self, root: etree._Element, url: str) -> list[Any]:
        texts = [script.text for script in self.scripts(root) if not isinstance(script, str) and script.text]
        documents = [document for text in texts if (document := embedded(text)) is not None]
        if texts and not documents:
            raise ParseError(
                url,
                f"expected JSON in {len(texts)} scripts, found none that can be read",
                "check read.script",
            )
        return documents


def page(body: bytes, content_type: str, url: str, encoding: str = "auto") -> etree._Element:
    """The root element of a page, however broken its HTML, with a blank for every line break in it.

    Nothing is loaded, no entity but those of HTML is replaced, comments are dropped.

    Raises:
        ParseError: where there is no page, or one that is nested deeper, or has longer values or more attributes
            on one element, than libxml2 takes without its guards (depth 256, 10 MB).
    """
    if media_type(content_type).startswith(_OTHER_MEDIA):
        raise ParseError(
            url, f"expected HTML, found {media_type(content_type)}", "check the address and read.kind"
        )
    text = page_text(body, content_type, encoding)
    if len(text) > _LARGE_BYTES:
        _refuse_attribute_flood(text, url)
    parser = etree.HTMLParser(
        encoding="utf-8",
        recover=True,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.LxmlError as error:
        raise ParseError(
            url, f"expected HTML, found what cannot be read: {error}", "check the address"
        ) from error
    if root is None:
        raise ParseError(url, "expected HTML, found no element in it", "check the address and read.kind")
    for fault in parser.error_log:
        if fault.level == etree.ErrorLevels.FATAL:
            raise ParseError(
                url, f"expected a page within limits, found: {fault.message}", "leave the page out"
            )
    for line_break in _BREAKS(root):
        line_break.text = "\n"
    return root


def _refuse_attribute_flood(text: bytes, url: str) -> None:
    """Raises ParseError for a tag with very many attributes: libxml2 takes time that grows with their square."""
    for tag in _TAG.findall(text):
        if len(tag) > 2 * _MOST_ATTRIBUTES and len(_VALUE.sub(b" ", tag).split()) > _MOST_ATTRIBUTES:
            raise ParseError(
                url, f"found a tag with over {_MOST_ATTRIBUTES:,} attributes", "leave the page out"
            )


def _base(root: etree._Element, url: str) -> str:
    written = _BASE(root)
    if not written:
        return url
    found = addresses(url, [written])
    return found[0] if found else url


def _nodes(where: str, select: Select, attempt: Attempts) -> Any:
    if select.css is not None and where == "read.rows":
        return attempt(f"{where}.css", lambda: _elements(select.css or ""))
    return attempt(f"{where}.{_kind(select)}", lambda: nodes(select.css, select.xpath))


def _elements(css: str) -> Any:
    if re.search(r"/(?:text\(\)|@[\w:-]+)$", css_to_xpath(css)):
        raise ValueError(f"expected a selector of elements, found {css!r}")
    return nodes(css, None)


def _take(name: str, rule: FieldRule, attempt: Attempts, rows_are_json: bool) -> Take:
    def make() -> Take:
        if rule.path is not None or rule.column is not None:
            raise ValueError("expected css or xpath, as the rows are elements of a page")
        if rows_are_json and rule.at == "row":
            raise ValueError("expected path, as the rows are JSON; css and xpath need at: page")
        if rule.at == "row" and rule.xpath is not None and rule.xpath.lstrip("( ").startswith("/"):
            raise ValueError("expected an expression that starts in the row, such as .//span, or at: page")
        every = rule.regex is not None or rule.join is not None
        return element_value(rule.css, rule.xpath, every, rule.parse in ("number", "integer"))

    return attempt(f"{name}.{_kind(rule)}", make)


def _kind(select: Select) -> str:
    return next(place for place in select.places() if getattr(select, place) is not None)
