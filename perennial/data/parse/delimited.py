"""Rows in text files with a header line."""

from __future__ import annotations

import csv
import io
from itertools import islice

from perennial.config_web import CsvRead, Feed
from perennial.data.parse import layout
from perennial.data.parse.encoding import data_text, encoding_named, media_type
from perennial.data.parse.reading import Attempts, Found
from perennial.data.parse.select import Raw
from perennial.errors import ParseError

_SEPARATORS = (",", ";", "\t")
_HEAD_LINES = 50
_HEAD_CHARACTERS = 100_000


class DelimitedReader:
    """Finds rows and fields in comma-separated and similar files."""

    def __init__(self, feed: Feed, read: CsvRead, attempt: Attempts) -> None:
        self.encoding, self.separator = read.encoding, read.separator
        if read.encoding != "auto":
            attempt("read.encoding", lambda: encoding_named(read.encoding))
        usable = read.separator == "auto" or (len(read.separator) == 1 and read.separator not in '"\r\n\0')
        attempt.expect("read.separator", usable, f"expected auto or one sign, found {read.separator!r}")
        for name, rule in feed.fields.items():
            attempt.expect(
                f"fields.{name}", rule.column is not None, "expected column, as the answers are CSV files"
            )
            attempt.expect(f"fields.{name}.at", rule.at == "row", "expected row, as a CSV file has no page")
        self.columns = {name: rule.column or "" for name, rule in feed.fields.items()}

    def find(self, body: bytes, content_type: str, url: str) -> Found:
        """What the file holds; raises ParseError where it is no such file.

        The header is the first of the leading lines that has most of the columns asked for, so that a preamble
        does no harm. Rows whose number of cells differs from the header's are `ragged`; blank cells at the end
        do not count.
        """
        text = data_text(body, content_type, self.encoding, url)
        if "html" in media_type(content_type) or text[:200].lstrip().lower().startswith(
            ("<!doctype", "<html")
        ):
            raise ParseError(
                url, "expected a CSV file, found a page of HTML", "check the address and read.kind"
            )
        try:
            separator, skip = self._header(text)
            lines = islice(csv.reader(io.StringIO(text, newline=""), delimiter=separator), skip, None)
            header = [cell.strip() for cell in next(lines, [])]
            rows = [cells for cells in lines if len(cells) > 1 or any(cell.strip() for cell in cells)]
        except csv.Error as error:
            raise ParseError(
                url, f"expected a CSV file, found what cannot be read ({error})", "set read.separator"
            ) from error
        if not any(header):
            raise ParseError(url, "expected a header line, found none", "check the address and read.kind")
        doubled = [column for column in self.columns.values() if header.count(column) > 1]
        if doubled:
            raise ParseError(url, f"expected one column {doubled[0]}, found several", "name another column")
        places = {name: header.index(c) if c in header else -1 for name, c in self.columns.items()}
        columns: dict[str, list[Raw]] = {
            name: [cells[place] if 0 <= place < len(cells) else None for cells in rows]
            for name, place in places.items()
        }
        width = len(header)
        ragged = frozenset(
            row
            for row, cells in enumerate(rows)
            if len(cells) < width or (len(cells) > width and any(cell.strip() for cell in cells[width:]))
        )
        return Found(
            len(rows),
            columns,
            base=url,
            plain=separator != ";",
            layout=layout.of_names(header),
            ragged=ragged,
        )

    def _header(self, text: str) -> tuple[str, int]:
        """The separator and the number of the header line, by which most columns are found."""
        separators = _SEPARATORS if self.separator == "auto" else (self.separator,)
        wanted = set(self.columns.values())
        best = (0, 0, separators[0], 0)
        for separator in separators:
            lines = csv.reader(io.StringIO(text[:_HEAD_CHARACTERS], newline=""), delimiter=separator)
            for number, cells in enumerate(islice(lines, _HEAD_LINES)):
                known = len(wanted & {cell.strip() for cell in cells})
                if (known, -number) > best[:2]:
                    best = (known, -number, separator, number)
        return best[2], best[3]
