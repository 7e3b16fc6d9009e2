"""Scores in a CSV file for people to look at, the most uncertain ones first, and back again."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from perennial.errors import SourceError, TableError, Violation, suggestion
from perennial.live.answer import AnswerRule
from perennial.live.fields import as_number
from perennial.live.scoring.database import told
from perennial.live.scoring.reviews import (
    ACCEPTED,
    CORRECTED,
    VERDICTS,
    Review,
    Value,
    key_text,
)
from perennial.live.scoring.scores import TIME, VERSION, predicted_name
from perennial.live.scoring.stock import Stock
from perennial.live.scoring.waiting import Wanted, as_moment, cell, uncertain_first, unreviewed
from perennial.live.scoring.writing import Place

FORMULA = ("=", "+", "-", "@", "\t", "\r")
VERDICT, VALUE, NOTE = "review_verdict", "review_value", "review_note"


def export_scores(
    stock: Stock, scores: Place, rule: AnswerRule, system: str, output: TextIO, most: int, again: bool = False
) -> int:
    """Write scores as CSV with empty columns for the review; returns how many.

    Rows without an answer come first, then flagged ones, then the widest interval for its prediction (the least
    probable class). Scores that were reviewed are left out unless `again`. Raises DatabaseError.
    """
    names = [*uncertain_first(stock, scores, rule, Wanted()).selected_columns.keys(), VERDICT, VALUE, NOTE]
    writer = csv.writer(output)
    writer.writerow(names)
    written, read_back = 0, {*stock.key, predicted_name(rule)}
    for row in unreviewed(stock, scores, rule, system, again=again):
        if written == most:
            break
        told = (cell(v) if name in read_back else inert(cell(v)) for name, v in zip(names, row, strict=False))
        writer.writerow([*told, "", "", ""])
        written += 1
    return written


def inert(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula; numbers stay what they are.

    >>> inert("=HYPERLINK(...)"), inert(-5.0), inert("ford")
    ("'=HYPERLINK(...)", -5.0, 'ford')
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def read_reviews(path: Path, stock: Stock, rule: AnswerRule) -> tuple[list[Review], int]:
    """The reviews in a file that `export_scores` wrote and a person filled in, and how many rows have no verdict.

    Raises:
        SourceError: there is no such file, or it is no CSV file.
        TableError: naming every row that cannot be used.
    """
    needed = (*stock.key, VERSION, TIME, predicted_name(rule), VERDICT, VALUE, NOTE)
    reviews: list[Review] = []
    problems: list[Violation] = []
    blank = 0
    for line, row in _rows(path, needed):
        if not row[VERDICT].strip():
            blank += 1
            continue
        try:
            review = _review(row, stock.key, rule)
        except ValueError as error:
            problems.append(Violation(f"line {line}", str(error)))
            continue
        if _is_there(stock, review):
            reviews.append(review)
        else:
            problems.append(
                Violation(
                    f"line {line}",
                    f"expected a row of {stock.table.name}, found none with {key_text(review.key)}",
                )
            )
    if problems:
        raise TableError(str(path), problems)
    return reviews, blank


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    remedy = "name a file that `run.py review export` wrote"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.DictReader(
                file, delimiter=";" if head.count(";") > head.count(",") else ",", restval=""
            )
            if absent := [n for n in needed if n not in (reader.fieldnames or ())]:
                raise SourceError(
                    path, f"expected the columns {', '.join(absent)}, found none of these names", remedy
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(path, f"expected a CSV file in UTF-8, found {error}", remedy) from error


def _review(row: dict[str, str], key: Sequence[str], rule: AnswerRule) -> Review:
    """The review in a row; raises ValueError with what is wrong."""
    verdict, value = row[VERDICT].strip().lower(), row[VALUE].strip()
    if verdict not in VERDICTS:
        raise ValueError(f"{VERDICT}: expected {', '.join(VERDICTS)}, found {row[VERDICT]!r}")
    if bool(value) != (verdict == CORRECTED):
        raise ValueError(
            f"{VALUE}: expected a value beside {CORRECTED} alone, found {value!r} beside {verdict}"
        )
    predicted = row[predicted_name(rule)].strip()
    if verdict == ACCEPTED and not predicted:
        raise ValueError(f"{VERDICT}: expected a score that can be accepted, found none")
    return Review(
        key={name: row[name] for name in key},
        model_version=row[VERSION],
        scored_at=as_moment(row[TIME]),
        predicted=_value(predicted_name(rule), predicted, rule) if predicted else None,
        verdict=verdict,  # type: ignore[arg-type]
        value=_value(VALUE, value, rule) if value else None,
        note=row[NOTE].strip(),
    )


def _value(name: str, text: str, rule: AnswerRule) -> Value:
    if rule.task == "classification":
        if text not in rule.classes:
            raise ValueError(f"{name}: expected a class, found {text!r}{suggestion(text, rule.classes)}")
        return text
    number = as_number(text)
    if number is None or not math.isfinite(number):
        raise ValueError(f"{name}: expected a number such as 12500 or 12500.5, found {text!r}")
    return number


def _is_there(stock: Stock, review: Review) -> bool:
    """Whether the stock table has the row; text that the key's type cannot hold is no row's key."""
    query = (
        sa.select(sa.literal(1))
        .select_from(stock.table)
        .where(*(_equal(stock, k, v) for k, v in review.key.items()))
    )
    with told(stock.engine, f"reading {stock.table.name}"), stock.engine.connect() as connection:
        try:
            return connection.execute(query.limit(1)).first() is not None
        except sa.exc.DataError:
            return False


def _equal(stock: Stock, name: str, text: str) -> sa.ColumnElement[bool]:
    """Whether a column of the key has the value that is written as `text`."""
    column, kind = stock.table.c[name], stock.types[name]
    if isinstance(kind, sa.types.NullType):
        return sa.cast(column, sa.Text) == text
    if stock.engine.dialect.name == "sqlite":
        return column == text  # compared by the column's type, so that 5 equals '5' in a column of integers
    return column == sa.cast(sa.literal(text, sa.Text), kind)
