"""The typed form of the `score` section: which rows of somebody's own database are scored, and where scores go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from perennial.config_section import Section, is_reference, option


def is_database(value: str) -> str:
    """`value`, if it is a reference or an SQLite file; raises ValueError without repeating it.

    >>> is_database("stock.sqlite"), is_database("env:STOCK_URL")
    ('stock.sqlite', 'env:STOCK_URL')
    """
    if value.startswith("env:"):
        return is_reference(value)
    scheme, colon, _ = value.partition("://")
    if not value.strip() or (colon and scheme != "sqlite"):
        raise ValueError(
            "expected the path of an SQLite file, sqlite:///FILE, or a reference such as env:NAME to the URL of "
            "another database; keep secrets out of files"
        )
    return value


class IntoTable(Section):
    """Scores in a table of their own, one row per scored row, under the same key."""

    kind: Literal["table"] = option(about="tag of this variant")
    name: str = option("", about="the table; none means the stock table's name with _scores behind it")


class IntoColumns(Section):
    """Scores in new columns of the stock table."""

    kind: Literal["columns"] = option(about="tag of this variant")


Into = Annotated[IntoTable | IntoColumns, Field(discriminator="kind")]


class Score(Section):
    """A table of a database whose rows the released model scores."""

    url: Annotated[str, AfterValidator(is_database)] = option(
        about="the database: env:NAME of a variable that holds an SQLAlchemy URL, or an SQLite file"
    )
    table: str = option(
        about="the table or view with the rows; schema.table for one in another schema", min_length=1
    )
    key: tuple[str, ...] = option(about="columns that together tell rows apart", min_length=1)
    columns: dict[str, str] = option({}, about="stock column -> contract column, where the names differ")
    where: str = option("", about="SQL condition of the rows to score, such as sold = 0; none for all")
    into: Into = option(lambda: IntoTable(kind="table"), about="where scores go")
    journal: bool = option(
        False, about="whether scores are predictions of the journal too, so that reviews meet them there"
    )
    batch_rows: int = option(
        32_768, about="rows that are read, predicted and written at once", unit="rows", ge=1, le=200_000
    )

    @field_validator("key")
    @classmethod
    def _are_different(cls, key: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(key)) < len(key):
            raise ValueError("expected different columns, found one twice; name each once")
        return key
