"""Prices of used cars, from listings in a file or on scraped result pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from perennial.config import FileSource, Source
from perennial.config_web import WebSource
from perennial.errors import InputError, UnknownNameError
from perennial.systems import System, no_features
from perennial.table import Column, Contract

if TYPE_CHECKING:
    import pandas as pd

    from perennial.config_features import Features

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


SCRAPED_ONLY = (
    Column("power", "number", "engine power", minimum=1, maximum=2_000, nullable=True),
    Column("dealer", "category", "who offers the car", nullable=True),
    Column("body", "category", "kind of body", nullable=True),
    Column("doors", "integer", "doors", unit="1", minimum=1, maximum=9, nullable=True),
)
LAST_YEAR = 2100


def contract(source: Source, features: Features | None = None) -> Contract:
    """The listing's columns: for a file the source's names become aliases, for pages the feed's fields decide.

    Raises:
        UnknownNameError: where `source.columns` maps to a column that there is not.
        InputError: where the pages' feed has no price, or the source is of a kind that holds no listings.
    """
    no_features("used_cars", features)
    if isinstance(source, WebSource):
        return _of_pages(source)
    return _of_file(_file(source))


def collect(source: Source, seed: int) -> pd.DataFrame:
    """The listings of the file, with the day on which they were collected; `seed` changes nothing."""
    import pandas as pd

    from perennial.data.source import collected_on, read_file

    file = _file(source)
    listings = read_file(file, text=[c.name for c in COLUMNS if c.kind in ("category", "text")])
    day = pd.Timestamp(collected_on(file), tz="UTC").as_unit("us")
    return listings.assign(time=day, known_at=day)


def prepare(records: pd.DataFrame, source: Source, features: Features | None = None) -> pd.DataFrame:
    """The listings as they are: every feature is a column of the source, of a scraped one the latest state."""
    from perennial.data.records import current

    if not isinstance(source, WebSource):
        return records.copy()
    names = [c.name for c in contract(source).columns]
    listings = current(records, next(iter(source.feeds)))
    listings = listings.assign(time=listings["event_time"], known_at=listings["available_at"])
    return listings[[name for name in names if name in listings]]


def _of_file(file: FileSource) -> Contract:
    from perennial.data.source import collected_on

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


def _of_pages(source: WebSource) -> Contract:
    """Roles as ever; a field is a column where we know what it is, such as mileage_km or price_eur.

    What a page leaves out is missing, so that only the price must be there.
    """
    feed = next(iter(source.feeds.values()))
    known = {_stem(c): c for c in (*COLUMNS, *SCRAPED_ONLY) if c.role in ("feature", "target")}
    columns = [c for c in COLUMNS if c.role in ("id", "time", "known_at")]
    for name, rule in feed.fields.items():
        stem = next((s for s in sorted(known, key=len, reverse=True) if f"{name}_".startswith(f"{s}_")), None)
        if stem is None:
            continue
        column = known[stem]
        unit = rule.unit or name.removeprefix(stem).removeprefix("_").upper() or column.unit
        maximum = LAST_YEAR if stem == "year" else column.maximum
        optional = column.role == "feature"
        columns.append(replace(column, name=name, unit=unit, maximum=maximum, nullable=optional))
    if not any(c.role == "target" for c in columns):
        raise InputError(
            "system used_cars: expected a field such as price_eur in the first feed, found "
            f"{', '.join(feed.fields)}; add it"
        )
    return Contract(system="used_cars", columns=tuple(columns))


def _stem(column: Column) -> str:
    """A column's name without its unit."""
    return column.name.removesuffix("_miles").removesuffix("_gbp").removesuffix("_l")


def _file(source: Source) -> FileSource:
    if not isinstance(source, FileSource):
        raise InputError(f"system used_cars: expected source.kind to be file or web, found {source.kind}")
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
