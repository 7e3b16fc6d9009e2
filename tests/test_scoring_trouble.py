"""What can go wrong with scoring: kills, databases that go away, and configs that do not fit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pydantic
import pytest
import sqlalchemy as sa

from perennial.config_score import Score
from perennial.errors import DatabaseError, InputError, PerennialError, SourceError, TableError
from perennial.live.predict import Predictor
from perennial.live.scoring.database import open_database
from perennial.live.scoring.scores import find_scores, make_scores
from perennial.live.scoring.stock import Stock, open_stock
from perennial.live.scoring.writing import Place
from perennial.live.sign import PUBLIC
from tests.postgres import Server
from tests.project import ROOT
from tests.scoring import database, models, run, server
from tests.stock import VARIABLE, Database, make, rows, section

__all__ = ("database", "models", "server")

BATCH = 50
RUN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from perennial.config_score import Score
from perennial.live.bundle import open_bundle
from perennial.live.load import load_predictor
from perennial.live.scoring.score import score_table

predictor = load_predictor(open_bundle(Path(sys.argv[2]), Path(sys.argv[3])))
print("ready", flush=True)
found = score_table(Score.model_validate_json(sys.argv[1]), predictor, lambda: datetime.now(UTC))
print(found.scored, found.skipped, flush=True)
"""


def many(database: Database, count: int) -> None:
    """A stock of many rows, every one different."""
    make(database, rows(200))
    copied = "site, jahr, mileage + :more, fuel, serviced, tax"
    for more in range(200, count, 200):
        insert = (
            f"INSERT INTO cars (id, site, jahr, mileage, fuel, serviced, tax) SELECT id + :more, {copied}"
        )
        database.run(f"{insert} FROM cars WHERE id < 200", more=more)


def start(score: Score, bundle: Path) -> subprocess.Popen[str]:
    """A scoring process that is about to begin."""
    command = [
        sys.executable,
        "-c",
        RUN,
        score.model_dump_json(),
        str(bundle),
        str(bundle.parents[3] / "keys" / PUBLIC),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.torture
@pytest.mark.parametrize("kind", ["table", "columns"])
def test_kills_lose_nothing_and_write_nothing_twice(
    database: Database, models: tuple[Predictor, Predictor], kind: str, tell: Callable[[str], None]
) -> None:
    many(database, 4000)
    score = section(database, into={"kind": kind}, batch_rows=BATCH)
    table = "cars_scores" if kind == "table" else "cars"
    scored, kills, rng = f"SELECT count(*) FROM {table} WHERE model_version = 'v1'", 0, random.Random(1)
    before = 0
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline:
        process = start(score, models[0].bundle.path)
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        left = process.communicate()[0]
        kills += process.returncode == -signal.SIGKILL
        try:
            ((now,),) = database.all(scored)
        except sa.exc.DatabaseError:
            continue  # killed before the table or the columns were made
        assert now >= before and now % BATCH == 0, "a batch is written whole or not at all"
        before = now
        if left or now == 4000:
            break
    assert kills >= 3
    last = start(score, models[0].bundle.path)
    told = last.communicate()[0]
    assert told == f"{4000 - before} {before}\n"
    assert database.all(scored) == [(4000,)]
    columns = (
        "id, predicted_price_gbp, predicted_price_gbp_low, predicted_price_gbp_high, score_flag, score_digest"
    )
    after = database.all(f"SELECT {columns} FROM {table} ORDER BY id")
    run(score, models[0], again=True)
    assert database.all(f"SELECT {columns} FROM {table} ORDER BY id") == after
    tell(f"scoring, {database.engine.dialect.name}, {kind}: {kills} kills, {before} of 4000 rows by then")


def test_a_server_that_goes_away_ends_the_run_and_the_next_goes_on(
    server: Server, models: tuple[Predictor, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from perennial.live.scoring.score import score_table
    from tests.scoring import NOW

    monkeypatch.setenv(VARIABLE, server.url)
    engine = sa.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    database = Database(f"env:{VARIABLE}", engine)
    database.run("DROP SCHEMA public CASCADE")
    database.run("CREATE SCHEMA public")
    make(database, rows(100))
    score = section(database, batch_rows=10)

    def crash(done: int, total: int) -> None:
        assert total == 100
        if done == 40:
            server.stop()

    try:
        with pytest.raises(
            DatabaseError, match=r"cars failed .*run the same command again to go on"
        ) as caught:
            score_table(score, models[0], lambda: NOW, progress=crash)
        assert "not-asked-for" not in str(caught.value) and "\n" not in str(caught.value)
    finally:
        server.stop()
        server.start()
    found = run(score, models[0])
    assert (found.scored, found.skipped) == (60, 40)


def test_two_runs_at_once_come_to_the_same(database: Database, models: tuple[Predictor, Predictor]) -> None:
    many(database, 2000)
    score = section(database, batch_rows=100)
    run(score.model_copy(update={"where": "id < 0"}), models[0])  # the table is there, and nothing in it
    both = [start(score, models[0].bundle.path) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert database.all("SELECT count(*), count(DISTINCT id) FROM cars_scores") == [(2000, 2000)]


def sentence(error: type[PerennialError], score: Score, predictor: Predictor) -> str:
    """The one sentence with which a run is refused."""
    with pytest.raises(error) as caught:
        run(score, predictor)
    assert "\n" not in str(caught.value) and "not-asked-for" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_told_in_one_sentence(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    make(database, rows(20), key="")
    model = models[0]

    def told(error: type[PerennialError] = SourceError, **changes: object) -> str:
        return sentence(error, section(database, **changes), model)

    assert "expected a table carz, found none; did you mean 'cars'?; mend score.table" in told(table="carz")
    assert "expected a column 'ident', found none" in told(TableError, key=("ident",))
    unmapped = told(TableError, columns={})
    assert unmapped.startswith("table cars: 1 problem found: year: expected a column 'year', found none")
    assert "expected a column 'jahrr', found none; did you mean 'jahr'?" in told(
        TableError, columns={"jahrr": "year"}
    )
    wrong = told(TableError, columns={"jahr": "price", "tax": "yaer"})
    assert (
        "2 problems" in wrong and "found 'price'" in wrong and "found 'yaer'; did you mean 'year'?" in wrong
    )
    twice = told(TableError, columns={"jahr": "year", "remark": "year"})
    assert "year: expected one column, found 'jahr' and 'remark'" in twice
    assert "mend score.where" in told(where="no such thing")
    assert "found several rows with 's" in told(key=("site",))
    assert "found the same; mend score.into.name" in told(into={"kind": "table", "name": "cars"})
    assert database.all("SELECT count(*) FROM cars") == [(20,)]

    database.run("UPDATE cars SET id = NULL WHERE id < 3")
    assert "expected id to tell the rows of cars apart, found 3 rows without it" in told()
    assert run(section(database, where="id IS NOT NULL"), model).scored == 17


def test_somebody_elses_table_and_columns_are_left_alone(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    make(database, rows(20))
    database.run("CREATE TABLE cars_scores (id INTEGER PRIMARY KEY, stars INTEGER)")
    told = sentence(SourceError, section(database), models[0])
    assert "expected the table cars_scores to hold scores, found it without predicted_price_gbp" in told
    database.run("ALTER TABLE cars ADD COLUMN model_version TEXT")
    database.run("UPDATE cars SET model_version = 'GT'")
    told = sentence(SourceError, section(database, into={"kind": "columns"}), models[0])
    assert "expected cars to have all columns of a score or none, found model_version" in told
    assert database.all("SELECT DISTINCT model_version FROM cars") == [("GT",)]
    assert database.all("SELECT * FROM cars_scores") == []


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("", "expected the environment variable STOCK to hold the URL of the database, found none; set it"),
        ("postgresql://u:not-asked-for@h:port/d", "expected a URL such as postgresql://"),
        ("oracel://u:not-asked-for@h/d", "expected a database that SQLAlchemy knows, found oracel"),
        ("mssql+pymssql://u:not-asked-for@h/d", "expected its driver, found no package pymssql; install it"),
        (
            "postgresql://u:not-asked-for@127.0.0.1:1/d?password=not-asked-for",
            "expected an answer, found: conn",
        ),
        ("sqlite:////nowhere/stock.sqlite", "expected an SQLite file, found none"),
        ("/nowhere/stock.sqlite", "expected an SQLite file, found none"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_without_its_password(url: str, found: str) -> None:
    with pytest.raises(InputError) as caught:
        open_database("env:STOCK", {"STOCK": url})
    assert found in str(caught.value)
    assert "not-asked-for" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_not_made_and_a_file_of_another_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found none"):
        open_database(str(tmp_path / "stock.sqlite"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.txt").write_text("no database" * 100)
    with pytest.raises(SourceError, match="file is not a database"):
        open_database(str(tmp_path / "text.txt"))


def test_a_config_takes_no_secrets() -> None:
    for url in ("postgresql://u:not-asked-for@h/d", "env:", "mysql://h/d", " "):
        with pytest.raises(pydantic.ValidationError) as caught:
            Score(url=url, table="cars", key=("id",))
        assert "expected" in str(caught.value.errors()[0]["msg"])
        assert "not-asked-for" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("kind", ["table", "columns"])
def test_many_who_score_first_at_once_make_one_place(
    database: Database, models: tuple[Predictor, Predictor], kind: str
) -> None:
    make(database, rows())
    score, n = section(database, into={"kind": kind}), 4
    rule, contract = models[0].bundle.rule, models[0].bundle.contract
    stocks = [open_stock(open_database(score.url), score, contract) for _ in range(n)]
    together = Barrier(n)

    def making(stock: Stock) -> Place:
        together.wait(timeout=30)
        return make_scores(stock, score.into, rule)

    with ThreadPoolExecutor(n) as pool:
        places = list(pool.map(making, stocks))
    assert {find_scores(stock, score.into, rule).columns for stock in stocks} == {places[0].columns}
    for stock in stocks:
        stock.engine.dispose()
    assert run(score, models[0]).scored == 100
