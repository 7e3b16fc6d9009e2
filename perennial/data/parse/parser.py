"""From an answer to its rows, as a feed's rules say."""

from __future__ import annotations

from perennial.config_web import CsvRead, Feed, HtmlRead, JsonRead
from perennial.data.answer import Parsed
from perennial.data.parse.delimited import DelimitedReader
from perennial.data.parse.documents import ColumnsReader, DocumentReader
from perennial.data.parse.encoding import INFLATED_MB, inflated
from perennial.data.parse.pages import PageReader
from perennial.data.parse.reading import Attempts, Reader
from perennial.data.parse.values import FieldReader
from perennial.errors import ConfigError, Violation


class Parser:
    """Reads the answers of one feed; selectors, paths and patterns are compiled once.

    Raises:
        ConfigError: where the feed's selectors, paths, patterns or options are wrong; see `check`.
    """

    def __init__(self, feed: Feed, inflated_mb: float = INFLATED_MB) -> None:
        self.feed, self.inflated_mb = feed, inflated_mb
        self._reader, self._fields, violations = _compiled(feed)
        if violations:
            raise ConfigError("of a feed", violations)

    def parse(self, body: bytes, content_type: str, url: str) -> Parsed:
        """The rows and links of an answer with its Content-Type header ("" for none) and its final address.

        Raises:
            ParseError: where the answer is not what the feed says it is.
        """
        found = self._reader.find(inflated(body, self.inflated_mb, url), content_type, url)
        columns = {
            name: field.column(found.columns[name], found.base, found.plain)
            for name, field in self._fields.items()
        }
        bad = found.ragged.union(*(column.bad_rows for column in columns.values()))
        values = zip(*(column.values for column in columns.values()), strict=True)
        rows = [dict(zip(columns, row, strict=True)) for row in values]
        if bad:
            rows = [row for number, row in enumerate(rows) if number not in bad]
        return Parsed(
            rows=tuple(rows),
            links=found.links,
            found=found.rows,
            rejected=len(bad),
            hits={name: column.hits for name, column in columns.items()},
            unreadable={name: column.unreadable for name, column in columns.items()},
            out_of_range={name: column.out_of_range for name, column in columns.items()},
            layout=found.layout,
        )


def parser(feed: Feed, inflated_mb: float = INFLATED_MB) -> Parser:
    """The parser of a feed's answers, which inflates gzip files up to `inflated_mb` MB.

    Raises:
        ConfigError: see `check`.
    """
    return Parser(feed, inflated_mb)


def check(feed: Feed) -> list[Violation]:
    """All that is wrong with a feed's selectors, paths, patterns, formats, zones and encodings; asks nothing.

    >>> from perennial.config_web import Feed
    >>> walk, read = {"kind": "once", "urls": ["/"]}, {"kind": "html", "rows": {"css": "article"}}
    >>> fields = {"price": {"css": "span.price:", "parse": "number"}}
    >>> check(Feed(walk=walk, read=read, fields=fields, key=["price"]))[0].where
    'fields.price.css'
    """
    return _compiled(feed)[2]


def _compiled(feed: Feed) -> tuple[Reader, dict[str, FieldReader], list[Violation]]:
    attempt = Attempts()
    reader = _reader(feed, attempt)
    fields = {name: FieldReader(name, rule, attempt) for name, rule in feed.fields.items()}
    return reader, fields, attempt.violations


def _reader(feed: Feed, attempt: Attempts) -> Reader:
    read = feed.read
    if isinstance(read, HtmlRead):
        return PageReader(feed, read, attempt)
    if isinstance(read, JsonRead):
        return DocumentReader(feed, read, attempt)
    if isinstance(read, CsvRead):
        return DelimitedReader(feed, read, attempt)
    return ColumnsReader(feed, attempt)
