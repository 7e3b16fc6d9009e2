"""A dealer's stock table in a database of its own, for the tests of scoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from perennial.config_score import Score
from perennial.live import release
from perennial.live.load import load_predictor
from perennial.live.predict import Predictor
from perennial.live.sign import SigningKey
from tests import releases

BAD, UNSEEN, BEYOND = 5, 6, 7
"""Rows with a year that is none, with an unseen fuel, and with an impossible mileage."""
VARIABLE = "PERENNIAL_TEST_STOCK"


@dataclass(frozen=True)
class Database:
    """An empty database: how a config names it, and an engine to look at it."""

    reference: str
    engine: sa.Engine

    def run(self, statement: str, rows: list[dict[str, Any]] | None = None, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), rows or values)

    def all(self, query: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(sa.text(query), values).all())


def predictor(
    folder: Path, key: SigningKey, strengths: tuple[float, ...] = (1.0,), kind: str = "prices"
) -> Predictor:
    """The last one of as many releases as there are strengths."""
    for hours, strength in enumerate(strengths):
        releases.promote(folder, key, releases.build(folder, key, kind, strength), hours)
    bundle = release.champion_bundle(folder, kind, key.public_path)
    assert bundle is not None
    return load_predictor(bundle)


def rows(count: int = 100) -> list[dict[str, Any]]:
    """Cars under the stock's own names, three of them flawed."""
    frame = releases.tables("prices")[0].frame.iloc[:count]
    cars = [
        {
            "id": i,
            "site": f"s{i % 3}",
            "jahr": str(car.year),
            "mileage": car.mileage,
            "fuel": car.fuel,
            "serviced": bool(car.serviced),
            "tax": None if car.tax != car.tax else car.tax,
        }
        for i, car in enumerate(frame.itertuples())
    ]
    cars[BAD]["jahr"], cars[UNSEEN]["fuel"], cars[BEYOND]["mileage"] = "about 2010", "Steam", -5.0
    return cars


def make(database: Database, cars: list[dict[str, Any]], name: str = "cars", key: str = "id") -> None:
    """The stock table, with the given primary key ("" for none)."""
    primary = f", PRIMARY KEY ({key})" if key else ""
    database.run(
        f"CREATE TABLE {name} (id INTEGER, site VARCHAR(20), jahr VARCHAR(20), mileage DOUBLE PRECISION, "
        f"fuel VARCHAR(20), serviced BOOLEAN, tax NUMERIC(8, 2), remark TEXT{primary})"
    )
    names = ", ".join(f":{n}" for n in ("id", "site", "jahr", "mileage", "fuel", "serviced", "tax"))
    columns = "id, site, jahr, mileage, fuel, serviced, tax"
    database.run(f"INSERT INTO {name} ({columns}) VALUES ({names})", cars)


def section(database: Database, **changes: Any) -> Score:
    """The config's section for the stock table, in batches that do not divide its rows."""
    usual = {
        "url": database.reference,
        "table": "cars",
        "key": ("id",),
        "columns": {"jahr": "year"},
        "batch_rows": 7,
    }
    return Score(**{**usual, **changes})


def expected(predictor: Predictor, cars: list[dict[str, Any]]) -> Mapping[int, tuple[float | None, ...]]:
    """Prediction, low and high per id, answered row by row as requests are; None for the row that is refused."""
    found: dict[int, tuple[float | None, ...]] = {}
    for car in cars:
        if not car["jahr"].isdecimal():
            found[car["id"]] = (None, None, None)
            continue
        row = {n: car[n] for n in ("mileage", "fuel", "serviced", "tax")} | {"year": int(car["jahr"])}
        answers = predictor.answer_rows([row]).answers
        assert answers.low is not None and answers.high is not None
        found[car["id"]] = tuple(float(v[0]) for v in (answers.prediction, answers.low, answers.high))
    return found
