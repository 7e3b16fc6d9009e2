"""Prices of used cars, from listings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.config import FileSource, Source
from perennial.errors import InputError, UnknownNameError
from perennial.systems import System
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    Column("id", "text", "digest of the listing's content", role="id"),
    Column("time", "time", "day of the listing", role="time"),
    Column("known_at", "time", "day on which the listing was known", role="known_at"),
    Column("make", "category", "manufacturer"),
    Column("model", "category", "model line, without the manufacturer"),
    Column("year", "integer", "year of first registration", unit="1", minimum=1900),
    Column("transmission", "category", "kind of gearbox"),
    Column("mileage_miles", "number", "distance driven", unit="miles", minimum=0, maximum=1_000_000),
    Column("fuel_type", "category", "what the car runs on"),
    Column("tax_gbp", "number", "yearly road tax", unit="GBP", minimum=0, maximum=10_000, nullable=True),
    Column(
        "mpg",
        "number",
        "official fuel economy; plug-in hybrids have very high ones",
        unit="miles per imperial gallon",
        minimum=5,
        maximum=1_000,
        nullable=True,
        impossible="blank",
    ),
    Column(
        "engine_size_l",
        "number",
        "engine displacement; missing where it is unknown or the car has no combustion engine",
        unit="litres",
        minimum=0.1,
        maximum=10,
        nullable=True,
        impossible="blank",
    ),
    Column("price_gbp", "number", "asking price", role="target", unit="GBP", minimum=1, maximum=10_000_000),
)


def contract(source: Source) -> Contract:
    """The listing's columns; the source's own column names become aliases.

    Raises:
        UnknownNameError: where `source.columns` maps to a column that there is not.
    """
    from perennial.data.source import collected_on

    file = _file(source)
    known = [c.name for c in COLUMNS]
    for target in file.columns.values():
        if target not in known:
            raise UnknownNameError("column in source.columns", target, known)
    newest = collected_on(file).year + 1

    def from_source(column: Column) -> Column:
        aliases = tuple(old for old, new in file.columns.items() if new == column.name and old != new)
        maximum = newest if column.name == "year" else column.maximum
        return replace(column, aliases=aliases, maximum=maximum)

    return Contract(system="used_cars", columns=COLUMNS).updated(from_source)


def collect(source: Source, seed: int) -> pd.DataFrame:
    """The listings of the file, with the day on which they were collected; `seed` changes nothing."""
    import pandas as pd

    from perennial.data.source import collected_on, read_file

    file = _file(source)
    listings = read_file(file, text=[c.name for c in COLUMNS if c.kind in ("category", "text")])
    day = pd.Timestamp(collected_on(file), tz="UTC").as_unit("us")
    return listings.assign(time=day, known_at=day)


def prepare(records: pd.DataFrame) -> pd.DataFrame:
    """The listings as they are: every feature is a column of the source."""
    return records.copy()


def _file(source: Source) -> FileSource:
    if not isinstance(source, FileSource):
        raise InputError(f"system used_cars: expected source.kind to be file, found {source.kind}")
    return source


SYSTEM = System(
    name="used_cars",
    title="asking price of a used car",
    task="regression",
    contract=contract,
    collect=collect,
    prepare=prepare,
    segments=("make", "fuel_type", "transmission"),
)
