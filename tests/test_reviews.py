"""Scores go out to people as CSV, and what they say comes back, once."""

from __future__ import annotations

import csv
import io
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest

from perennial.config_score import Score
from perennial.errors import SourceError, TableError
from perennial.live import sign
from perennial.live.answer import AnswerRule
from perennial.live.predict import Predictor
from perennial.live.scoring.database import open_database
from perennial.live.scoring.review_file import export_scores, read_reviews
from perennial.live.scoring.reviews import Kept, Review, keep_reviews, review_truths
from perennial.live.scoring.scores import find_scores
from perennial.live.scoring.stock import Stock, open_stock
from tests import releases, stock
from tests.project import Project
from tests.scoring import NOW, database, models, run, server
from tests.stock import BAD, BEYOND, UNSEEN, Database, make, rows, section

__all__ = ("database", "models", "server")


def opened(score: Score, predictor: Predictor) -> Stock:
    return open_stock(open_database(score.url), score, predictor.bundle.contract)


def exported(
    score: Score, predictor: Predictor, most: int = 1000, again: bool = False
) -> list[dict[str, str]]:
    """What a person finds in the file."""
    table, text, rule = opened(score, predictor), io.StringIO(newline=""), predictor.bundle.rule
    written = export_scores(table, find_scores(table, score.into, rule), rule, "prices", text, most, again)
    table.engine.dispose()
    found = list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))
    assert len(found) == written
    return found


def save(path: Path, lines: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(lines)
    return path


def imported(path: Path, score: Score, predictor: Predictor, hours: float = 0) -> Kept:
    table = opened(score, predictor)
    reviews, _ = read_reviews(path, table, predictor.bundle.rule)
    kept = keep_reviews(table.engine, "prices", table.name, reviews, "Ann", NOW + timedelta(hours=hours))
    table.engine.dispose()
    return kept


@pytest.mark.parametrize("into", ["table", "columns"])
def test_the_most_uncertain_scores_come_first(
    database: Database, models: tuple[Predictor, Predictor], into: str
) -> None:
    make(database, rows())
    score = section(database, into={"kind": into})
    with pytest.raises(
        SourceError, match=r"expected scores in .*, found none; run `python run.py score` first"
    ):
        exported(score, models[0])
    run(score, models[0])
    table, name = "cars_scores" if into == "table" else "cars", "predicted_price_gbp"
    database.run(f"UPDATE {table} SET {name}_high = {name}_high * (1 + (id * 7) % 11)")
    found = exported(score, models[0])
    assert [int(row["id"]) for row in found[:1]] == [BAD]
    assert {int(row["id"]) for row in found[1:3]} == {UNSEEN, BEYOND}
    widths = [(float(r[f"{name}_high"]) - float(r[f"{name}_low"])) / float(r[name]) for r in found[3:]]
    assert len(found) == 100 and len({round(w, 6) for w in widths}) == 11
    assert widths == pytest.approx(sorted(widths, reverse=True))
    assert found[0]["jahr"] == "about 2010" and found[0]["score_flag"].startswith("year: expected")
    assert exported(score, models[0], most=7) == found[:7]


def test_reviews_come_back_once_and_count_as_truth(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    make(database, rows())
    score = section(database)
    run(score, models[0])
    lines = exported(score, models[0])[:6]
    lines[0] |= {"review_verdict": "corrected", "review_value": "7250", "review_note": "called the dealer"}
    lines[1] |= {"review_verdict": " Accepted "}
    lines[2] |= {"review_verdict": "rejected"}
    path = save(tmp_path / "review.csv", lines, ";")
    assert imported(path, score, models[0]) == Kept(new=3, changed=0, repeated=0)
    assert imported(path, score, models[0], hours=1) == Kept(new=0, changed=0, repeated=3)

    table = opened(score, models[0])
    truths = list(review_truths(table.engine, "prices", table.name))
    ids = [line["id"] for line in lines]
    accepted = float(lines[1]["predicted_price_gbp"])
    wanted = {ids[0]: 7250.0, ids[1]: accepted, ids[2]: None}
    assert {t.key["id"]: t.value for t in truths} == wanted
    assert {(t.time, t.source, t.known_at) for t in truths} == {(NOW, "review", NOW)}
    assert list(review_truths(table.engine, "kinds", table.name)) == []

    lines[2] |= {"review_verdict": "corrected", "review_value": "1e4"}
    save(path, lines)
    assert imported(path, score, models[0], hours=2) == Kept(new=0, changed=1, repeated=2)
    newest = list(review_truths(table.engine, "prices", table.name))[-1]
    assert (newest.key, newest.value, newest.known_at) == ({"id": ids[2]}, 1e4, NOW + timedelta(hours=2))
    table.engine.dispose()

    assert {r["id"] for r in exported(score, models[0])} == {str(i) for i in range(100)} - set(ids[:3])
    assert len(exported(score, models[0], again=True)) == 100
    run(score, models[1])
    assert len(exported(score, models[1])) == 100, "another version's scores are other scores"


def test_a_file_that_cannot_be_used_is_told_whole_and_changes_nothing(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    make(database, rows())
    score, path = section(database), tmp_path / "review.csv"
    run(score, models[0])
    lines = exported(score, models[0])[:8]
    lines[0] |= {"review_verdict": "accepted"}
    lines[1] |= {"review_verdict": "fine"}
    lines[2] |= {"review_verdict": "corrected"}
    lines[3] |= {"review_verdict": "corrected", "review_value": "12.500,00"}
    lines[4] |= {"review_verdict": "rejected", "review_value": "5"}
    lines[5] |= {"review_verdict": "accepted", "id": "77777"}
    lines[6] |= {"review_verdict": "accepted", "id": "no number"}
    lines[7] |= {"review_verdict": "accepted"}
    with pytest.raises(TableError) as caught:
        imported(save(path, lines), score, models[0])
    told = [str(v) for v in caught.value.violations]
    assert [text.partition(":")[0] for text in told] == [f"line {n}" for n in range(2, 9)]
    assert "expected a score that can be accepted, found none" in told[0]
    assert "expected accepted, corrected, rejected, found 'fine'" in told[1]
    assert "expected a value beside corrected alone, found '' beside corrected" in told[2]
    assert "expected a number such as 12500 or 12500.5, found '12.500,00'" in told[3]
    assert "found '5' beside rejected" in told[4]
    assert (
        told[5].endswith('expected a row of cars, found none with {"id":"77777"}') and "no number" in told[6]
    )
    table = opened(score, models[0])
    assert list(review_truths(table.engine, "prices", table.name)) == []
    for content, found in ((b"a,b\n1,2\n", "expected the columns id, model_version"), (b"\xff\xfe", "UTF-8")):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=found):
            read_reviews(path, table, models[0].bundle.rule)
    with pytest.raises(SourceError, match="expected a CSV file"):
        read_reviews(tmp_path / "none.csv", table, AnswerRule("regression", "price", "GBP"))
    table.engine.dispose()


def test_many_who_review_first_at_once_make_the_table_once(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    make(database, rows())
    score, n = section(database), 4
    run(score, models[0])
    tables, together = [opened(score, models[0]) for _ in range(n)], Barrier(n)

    def reviewing(i: int) -> int:
        review = Review({"id": str(i)}, "v1", NOW, 1.0, "accepted")
        together.wait(timeout=30)
        return keep_reviews(tables[i].engine, "prices", tables[i].name, [review], "ann", NOW).new

    for _ in range(5):
        with ThreadPoolExecutor(n) as pool:
            assert list(pool.map(reviewing, range(n))) == [1] * n
        database.run("DROP TABLE perennial_reviews")
    for table in tables:
        table.engine.dispose()


def test_a_spreadsheet_finds_no_formula_in_what_others_wrote(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    cars = rows()
    cars[UNSEEN]["fuel"] = '=HYPERLINK("//x")'
    make(database, cars)
    score = section(database)
    run(score, models[0])
    lines = {line["id"]: line for line in exported(score, models[0])}
    assert lines[str(UNSEEN)]["fuel"] == '\'=HYPERLINK("//x")'
    assert lines[str(BEYOND)]["mileage"] == "-5.0", "a number is no text"
    assert not any(cell.startswith(("=", "+", "@")) for line in lines.values() for cell in line.values())


def test_classes_are_reviewed_by_name(database: Database, tmp_path: Path) -> None:
    predictor = stock.predictor(tmp_path / "kinds", sign.key_pair(tmp_path / "keys"), kind="kinds")
    make(database, rows(30))
    score = section(database)
    run(score, predictor)
    lines = exported(score, predictor)
    shares = [float(line["predicted_kind_probability"]) for line in lines[3:]]
    assert shares == sorted(shares)
    lines[0] |= {"review_verdict": "corrected", "review_value": "yuong"}
    with pytest.raises(TableError, match="expected a class, found 'yuong'; did you mean 'young'"):
        imported(save(tmp_path / "r.csv", lines), score, predictor)
    lines[0] |= {"review_value": "young"}
    assert imported(save(tmp_path / "r.csv", lines), score, predictor).new == 1
    table = opened(score, predictor)
    assert [t.value for t in review_truths(table.engine, "prices", table.name)] == ["young"]
    table.engine.dispose()


@pytest.mark.slow
def test_the_commands_score_export_and_import(tmp_path: Path) -> None:
    project, path, file = Project(tmp_path / "home"), tmp_path / "stock.sqlite", tmp_path / "review.csv"
    key = sign.key_pair(project.home / "keys")
    folder = project.home / "releases"
    releases.promote(folder, key, releases.build(folder, key, "prices", 1.0, "used_cars"))
    path.touch()
    with sqlite3.connect(path) as connection:
        names = ("id", "site", "year", "mileage", "fuel", "serviced", "tax")
        connection.execute(f"CREATE TABLE cars ({', '.join(names)}, PRIMARY KEY (id))")
        places = ", ".join("?" * len(names))
        connection.executemany(f"INSERT INTO cars VALUES ({places})", [tuple(car.values()) for car in rows()])
    config = ("--config", "configs/used_cars.yaml")
    assert "expected a section score: in the config" in project.run("score", *config, code=2)
    given = (*config, "--set", f"score.url={path}", "--set", "score.table=cars", "--set", "score.key=[id]")
    given += ("--set", "score.journal=true")
    assert "run `python run.py score` first" in project.run(
        "review", "export", *given, "--output", str(file), code=2
    )
    told = "used_cars v1: 100 rows of cars, 100 scored into cars_scores, 0 had this score already; 3 flagged"
    assert told in project.run("score", *given)
    assert "expected a column 'carid'" in project.run("score", *given, "--set", "score.key=[carid]", code=2)
    assert "exported 5 scores" in project.run(
        "review", "export", *given, "--output", str(file), "--rows", "5"
    )
    with file.open(newline="") as opened_file:
        lines = list(csv.DictReader(opened_file))
    lines[1]["review_verdict"] = "accepted"
    save(file, lines)
    done = project.run("review", "import", *given, "--input", str(file), "--by", "Ann")
    assert "imported 1 reviews of cars: 1 new, 0 changed, 0 known already; 4 rows without a verdict" in done
    nowhere = ("--set", f"journal.address={tmp_path}", "--input", str(file), "--by", "Ann")
    done = project.run("review", "import", *given, *nowhere, code=1)
    assert (
        "0 new, 0 changed, 1 known already" in done and "the reviews are kept; import the file again" in done
    )
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT reviewer, verdict FROM perennial_reviews").fetchall() == [
            ("Ann", "accepted")
        ]
    with sqlite3.connect(project.home / "journal" / "used_cars.sqlite") as journal:
        assert journal.execute("SELECT source FROM perennial_truth").fetchall() == [("review",)]
    status = project.run("journal", "status", *config)
    assert "100 predictions from" in status and "1 with truth; 1 rows of truth, 0 of them wait" in status
