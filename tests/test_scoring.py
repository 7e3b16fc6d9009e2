"""Scoring a stock table, in real databases: what is written, what is left alone, what is refused."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from perennial.live import sign
from perennial.live.predict import Predictor
from perennial.live.scoring.stock import after
from perennial.live.scoring.writing import Place, replace
from tests import stock
from tests.scoring import NOW, database, models, run, server
from tests.stock import BAD, BEYOND, UNSEEN, Database, expected, make, rows, section

__all__ = ("database", "models", "server")
INTO = ({"kind": "table"}, {"kind": "columns"})
COLUMNS = "predicted_price_gbp, predicted_price_gbp_low, predicted_price_gbp_high"


def where_scores_are(into: dict[str, str]) -> str:
    return "cars_scores" if into["kind"] == "table" else "cars"


@pytest.mark.parametrize("into", INTO, ids=lambda i: i["kind"])
def test_scores_are_what_a_request_would_be_answered(
    database: Database, models: tuple[Predictor, Predictor], into: dict[str, str]
) -> None:
    cars = rows()
    make(database, cars)
    found = run(section(database, into=into), models[0])
    assert (found.rows, found.scored, found.skipped, found.flagged, found.unanswered) == (100, 100, 0, 3, 1)
    written = database.all(f"SELECT id, {COLUMNS} FROM {where_scores_are(into)}")
    assert len(written) == 100
    wanted = expected(models[0], cars)
    for number, *values in written:
        assert values == (list(wanted[number]) if number == BAD else pytest.approx(wanted[number], rel=1e-12))
    flags = dict(database.all(f"SELECT id, score_flag FROM {where_scores_are(into)} WHERE score_flag <> ''"))
    assert flags == {
        BAD: "year: expected a whole number, found 'about 2010'",
        UNSEEN: "fuel 'Steam' was not seen in training",
        BEYOND: "mileage -5 is outside 0 to 1000000: treated as missing",
    }
    versions = database.all(f"SELECT DISTINCT model_version, scored_at FROM {where_scores_are(into)}")
    ((version, moment),) = versions
    assert version == "v1"
    assert (moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)) == NOW


@pytest.mark.parametrize("into", INTO, ids=lambda i: i["kind"])
def test_only_what_changed_is_scored_again(
    database: Database, models: tuple[Predictor, Predictor], into: dict[str, str]
) -> None:
    make(database, rows())
    score, first, second = section(database, into=into), *models
    run(score, first)
    query = f"SELECT * FROM {where_scores_are(into)} ORDER BY id"
    before = database.all(query)
    assert run(score, first, hours=1).skipped == 100
    assert database.all(query) == before

    database.run("UPDATE cars SET mileage = mileage + 1 WHERE id = 40")
    database.run("UPDATE cars SET jahr = 'around 2010' WHERE id = :id", id=BAD)
    database.run("UPDATE cars SET remark = 'sold' WHERE id = 41")
    database.run(
        "INSERT INTO cars (id, jahr, mileage, fuel, serviced) VALUES (1000, '2010', 5000, 'Diesel', true)"
    )
    assert run(score, first, hours=2).scored == 3
    moments = dict(database.all(f"SELECT id, scored_at FROM {where_scores_are(into)}"))
    assert len(moments) == 101
    assert {number for number, moment in moments.items() if moment != moments[0]} == {40, BAD, 1000}

    assert run(score, second, hours=3).scored == 101
    assert run(score, second, hours=4).scored == 0
    assert run(score, second, hours=5, again=True).scored == 101
    assert database.all(f"SELECT DISTINCT model_version FROM {where_scores_are(into)}") == [("v2",)]
    assert database.all(f"SELECT count(*) FROM {where_scores_are(into)}") == [(101,)]


@pytest.mark.parametrize("size", [1, 2, 33, 34, 1000])
@pytest.mark.parametrize("key", [("id",), ("site", "id"), ("site", "jahr", "id")], ids=len)
def test_every_row_is_read_once_whatever_the_key_and_the_batch(
    database: Database, models: tuple[Predictor, Predictor], key: tuple[str, ...], size: int
) -> None:
    cars = rows(34)
    make(database, cars, key=", ".join(key))
    found = run(section(database, key=key, batch_rows=size), models[0])
    assert (found.rows, found.scored) == (34, 34)
    assert sorted(n for (n,) in database.all("SELECT id FROM cars_scores")) == list(range(34))


def test_a_condition_chooses_rows(database: Database, models: tuple[Predictor, Predictor]) -> None:
    make(database, rows(), key="")
    condition = "cast(mileage as int) % 2 = 0 and site like 's%' and fuel <> ':x'"
    found = run(section(database, where=condition), models[0])
    chosen = database.all("SELECT id FROM cars WHERE cast(mileage as int) % 2 = 0 ORDER BY id")
    assert 0 < found.rows < 100
    assert database.all("SELECT id FROM cars_scores ORDER BY id") == chosen


def test_names_that_need_quotes_and_other_tables(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    make(database, rows(20), name='"Stock of %s"', key="")
    database.run('ALTER TABLE "Stock of %s" RENAME COLUMN id TO "car no. 5%"')
    score = section(database, table="Stock of %s", key=("car no. 5%",))
    run(score.model_copy(update={"into": section(database, into={"kind": "columns"}).into}), models[0])
    run(
        score.model_copy(
            update={"into": section(database, into={"kind": "table", "name": 'my "scores"'}).into}
        ),
        models[0],
    )
    own = database.all(f'SELECT "car no. 5%", {COLUMNS} FROM "my ""scores""" ORDER BY 1')
    assert own == database.all(f'SELECT "car no. 5%", {COLUMNS} FROM "Stock of %s" ORDER BY 1')
    assert len(own) == 20


def test_a_view_is_scored(database: Database, models: tuple[Predictor, Predictor]) -> None:
    make(database, rows(30))
    database.run("CREATE VIEW offers AS SELECT * FROM cars WHERE id < 12")
    assert run(section(database, table="offers"), models[0]).scored == 12
    assert database.all("SELECT count(*) FROM offers_scores") == [(12,)]


def test_a_classification_is_scored(database: Database, tmp_path: Path) -> None:
    key = sign.key_pair(tmp_path / "keys")
    predictor = stock.predictor(tmp_path / "kinds", key, kind="kinds")
    make(database, rows(30))
    run(section(database), predictor)
    found = database.all("SELECT id, predicted_kind, predicted_kind_probability FROM cars_scores ORDER BY id")
    assert {kind for _, kind, _ in found} == {"old", "young", None}
    assert [(kind, p) for number, kind, p in found if number == BAD] == [(None, None)]
    assert all(0.5 <= p <= 1 for number, _, p in found if number != BAD)


def test_odd_values_are_flagged_and_stop_nothing(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    make(database, rows(10))
    database.run("UPDATE cars SET mileage = :huge WHERE id = 0", huge=float("inf"))
    database.run("UPDATE cars SET jahr = NULL, fuel = '' WHERE id = 1")
    if database.engine.dialect.name == "sqlite":
        database.run("UPDATE cars SET fuel = CAST(x'ff41' AS TEXT), mileage = x'00' WHERE id = 2")
    found = run(section(database), models[0])
    assert found.scored == 10
    flags = dict(database.all("SELECT id, score_flag FROM cars_scores"))
    assert "found infinity" in flags[0]
    assert flags[1] == "year: expected a whole number, found null; fuel: expected text, found null"
    if database.engine.dialect.name == "sqlite":
        assert (
            flags[2] == "mileage: expected a number, found a bytes; fuel '\ufffdA' was not seen in training"
        )


def test_databases_without_upserts_or_tuples_get_the_same(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    make(database, rows(30), key="site, id")
    run(section(database, key=("site", "id")), models[0])
    before = database.all("SELECT * FROM cars_scores ORDER BY site, id")
    names = tuple(before[0]._fields)
    place = Place(sa.table("cars_scores", *map(sa.column, names)), names[:2], names[2:], own=True)
    for _ in range(2):
        with database.engine.begin() as connection:
            replace(connection, place, [tuple(row) for row in before[:20]])
    assert database.all("SELECT * FROM cars_scores ORDER BY site, id") == before
    for last in (("s0", 27), ("s1", 4), ("s2", 29), ("", 0)):
        spelt, compared = (
            sa.select(*place.table.c)
            .where(after(place.table, place.key, last, dialect))
            .order_by("site", "id")
            for dialect in ("mssql", database.engine.dialect.name)
        )
        with database.engine.connect() as connection:
            found = connection.execute(spelt).all()
            assert found == connection.execute(compared).all() == [r for r in before if tuple(r)[:2] > last]
