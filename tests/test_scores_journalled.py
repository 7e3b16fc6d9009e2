"""Scores in the journal: one prediction per score, which its review meets, whatever is killed between."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial.errors import InputError, JournalError
from perennial.live.journal.masking import HASHED, MASKED, Rules
from perennial.live.journal.outcomes import Outcome, outcomes
from perennial.live.journal.store import open_store
from perennial.live.predict import Predictor
from perennial.live.scoring.database import open_database
from perennial.live.scoring.journalled import Journalling, journalling
from perennial.live.scoring.reviews import Review, keep_reviews, review_truths
from perennial.live.scoring.score import Scored, score_table
from perennial.live.scoring.telling import tell_journal
from tests.scoring import NOW, database, models, server
from tests.stock import BAD, UNSEEN, Database, expected, make, rows, section

__all__ = ("database", "models", "server")
NOTHING_PRIVATE = Rules({}, {}, b"")


def scored(
    database: Database, predictor: Predictor, folder: Path, hours: float = 0, rules: Rules = NOTHING_PRIVATE
) -> Scored:
    """Scores the stock, into the table and into a journal in `folder`."""
    store = open_store("prices", folder / "j.sqlite")
    try:
        return score_table(
            section(database),
            predictor,
            lambda: NOW + timedelta(hours=hours),
            journal=Journalling(store, rules),
        )
    finally:
        store.close()


def journalled(folder: Path) -> list[Outcome]:
    """All predictions of the journal, oldest first."""
    store = open_store("prices", folder / "j.sqlite")
    found = list(outcomes(store, NOW - timedelta(1), NOW + timedelta(days=9)))
    store.close()
    return found


def reviewed(database: Database, folder: Path, number: int, value: float | None, hours: float) -> None:
    """A person corrects the score of one row that was made at NOW or, without a value, rejects it."""
    engine = open_database(section(database).url)
    review = Review({"id": str(number)}, "v1", NOW, 1.0, "corrected" if value else "rejected", value)
    keep_reviews(engine, "prices", "cars", [review], "ann", NOW + timedelta(hours=hours))
    truths = review_truths(engine, "prices", "cars")
    tell_journal("prices", truths, NOW + timedelta(hours=hours), str(folder / "j.sqlite"))
    engine.dispose()


def test_every_score_is_a_prediction_that_its_review_meets(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    cars = rows()
    make(database, cars)
    assert scored(database, models[0], tmp_path).scored == 100
    found = journalled(tmp_path)
    wanted = expected(models[0], cars)
    answers = sorted(one.output["prediction"] for one in found if one.output["prediction"] is not None)
    assert answers == pytest.approx(
        sorted(values[0] for number, values in wanted.items() if number != BAD), rel=1e-12
    )
    assert {one.inputs["mileage"] for one in found} == {car["mileage"] for car in cars}
    assert {(one.model_version, one.quality, one.time) for one in found} == {("v1", "score", NOW)}
    (unseen,) = (one for one in found if one.inputs["fuel"] == "Steam")
    assert unseen.flag == "fuel 'Steam' was not seen in training" and unseen.truth is None

    reviewed(database, tmp_path, UNSEEN, 4_321.0, hours=1)
    met = [one for one in journalled(tmp_path) if one.truth is not None]
    assert [(one.prediction_id, one.truth) for one in met] == [(unseen.prediction_id, 4_321.0)]


def test_an_accepted_score_that_is_rejected_later_has_no_truth(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    make(database, rows())
    scored(database, models[0], tmp_path)
    reviewed(database, tmp_path, UNSEEN, 4_321.0, hours=1)
    assert [one.truth for one in journalled(tmp_path) if one.truth_source == "review"] == [4_321.0]
    reviewed(database, tmp_path, UNSEEN, None, hours=2)
    assert {one.truth for one in journalled(tmp_path)} == {None}
    reviewed(database, tmp_path, UNSEEN, 4_400.0, hours=3)
    assert [one.truth for one in journalled(tmp_path) if one.truth is not None] == [4_400.0]


def test_what_is_not_scored_again_is_not_journalled_again(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    make(database, rows())
    scored(database, models[0], tmp_path)
    assert scored(database, models[0], tmp_path, hours=1).scored == 0
    assert len(journalled(tmp_path)) == 100
    database.run("UPDATE cars SET mileage = mileage + 1 WHERE id = 40")
    assert scored(database, models[0], tmp_path, hours=2).scored == 1
    assert scored(database, models[1], tmp_path, hours=3).scored == 100
    assert len(journalled(tmp_path)) == 201
    assert len({one.prediction_id for one in journalled(tmp_path)}) == 201


def test_a_journal_that_cannot_be_written_leaves_nothing_scored(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    make(database, rows())
    (tmp_path / "j.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(JournalError, match="not a database"):
        scored(database, models[0], tmp_path)
    assert database.all("SELECT count(*) FROM cars_scores") == [(0,)]
    (tmp_path / "j.sqlite").unlink()
    assert scored(database, models[0], tmp_path).scored == len(journalled(tmp_path)) == 100


def test_private_inputs_stay_out(
    database: Database, models: tuple[Predictor, Predictor], tmp_path: Path
) -> None:
    make(database, rows())
    scored(
        database,
        models[0],
        tmp_path,
        rules=Rules({"fuel": "mask", "mileage": "hash"}, {"fuel": "fuel", "mileage": "mileage"}, b"k"),
    )
    for one in journalled(tmp_path):
        assert one.inputs["fuel"] in (MASKED, None)
        assert one.inputs["mileage"] is None or one.inputs["mileage"].startswith(HASHED)
        assert "Steam" not in json.dumps([one.inputs, one.flag])


def test_which_journal(
    models: tuple[Predictor, Predictor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    monkeypatch.delenv("PERENNIAL_JOURNAL", raising=False)
    contract = models[0].bundle.contract

    def place(address: str) -> Any:
        with journalling("prices", address, contract) as kept:
            return kept.store.place

    assert place("") == str(tmp_path / "journal" / "prices.sqlite")
    monkeypatch.setenv("PERENNIAL_JOURNAL", "elsewhere.sqlite")
    assert place("") == str(Path("elsewhere.sqlite").absolute())
    assert place("own.sqlite") == str(Path("own.sqlite").absolute())
    monkeypatch.setenv("JOURNAL_URL", "postgresql://me:secret@host/db")
    assert "host/db" in place("env:JOURNAL_URL")
    for wrong, what in (("off", "found it off"), ("env:NOT_SET", "NOT_SET to hold the address")):
        with pytest.raises(InputError, match=what):
            place(wrong)
