"""One review at a time: what waits for it, two people at once, a double click, and a change of mind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

from perennial.config_score import Score as Section
from perennial.live.predict import Predictor
from perennial.live.scoring.database import open_database
from perennial.live.scoring.one_review import Said, newest, say
from perennial.live.scoring.reviews import Review, Verdict, review_truths
from perennial.live.scoring.scores import find_scores
from perennial.live.scoring.stock import Stock, open_stock
from perennial.live.scoring.waiting import Score, Wanted, waiting_scores
from tests.scoring import NOW, database, models, run, server
from tests.stock import BAD, BEYOND, UNSEEN, Database, make, rows, section

__all__ = ("database", "models", "server")


def opened(score: Section, predictor: Predictor) -> Stock:
    return open_stock(open_database(score.url), score, predictor.bundle.contract)


def scored(database: Database, predictor: Predictor) -> tuple[Section, Stock]:
    make(database, rows())
    score = section(database)
    run(score, predictor)
    return score, opened(score, predictor)


def waits(
    stock: Stock, score: Section, predictor: Predictor, most: int = 1000, **wanted: object
) -> list[Score]:
    rule = predictor.bundle.rule
    place = find_scores(stock, score.into, rule)
    return waiting_scores(stock, place, rule, "prices", Wanted(**wanted), most)  # type: ignore[arg-type]


def verdict(score: Score, said: Verdict, value: float | None = None, note: str = "") -> Review:
    return Review(score.key, score.model_version, score.scored_at, score.predicted, said, value, note)


def test_the_filter_finds_what_it_says(database: Database, models: tuple[Predictor, Predictor]) -> None:
    score, stock = scored(database, models[0])
    name = "predicted_price_gbp"
    database.run(f"UPDATE cars_scores SET {name}_high = {name}_high + {name} WHERE id = 42")

    def ids(**wanted: object) -> list[int]:
        return [int(one.key["id"]) for one in waits(stock, score, models[0], **wanted)]

    assert len(ids()) == 100 and ids()[0] == BAD and set(ids()[1:3]) == {UNSEEN, BEYOND} and ids()[3] == 42
    assert ids(kind="unanswered") == [BAD]
    assert set(ids(kind="flagged")) == {BAD, UNSEEN, BEYOND}
    assert len(ids(kind="plain")) == 97 and BAD not in ids(kind="plain")
    assert ids(text="STEAM") == [UNSEEN] and ids(text="%") == []
    assert ids(doubt=1.0) == [BAD, 42], "a row without an answer is in doubt beyond any number"
    assert ids(most=2) == ids()[:2]
    first = waits(stock, score, models[0], kind="unanswered")[0]
    assert first.predicted is None and first.inputs["jahr"] == "about 2010" and first.scored_at == NOW
    stock.engine.dispose()


def test_a_row_that_changed_is_scored_and_reviewed_anew(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    score, stock = scored(database, models[0])
    one = waits(stock, score, models[0], most=1, kind="plain")[0]
    number = int(one.key["id"])
    say(stock.engine, "prices", stock.name, verdict(one, "accepted"), "Ann", NOW + timedelta(hours=1))
    assert len(waits(stock, score, models[0])) == 99

    database.run("UPDATE cars SET mileage = mileage * 3 WHERE id = :id", id=number)
    assert run(score, models[0], hours=2).scored == 1
    (again,) = (s for s in waits(stock, score, models[0]) if s.key == one.key)
    assert again.model_version == one.model_version and again.predicted != one.predicted
    said = say(
        stock.engine, "prices", stock.name, verdict(again, "rejected"), "Bob", NOW + timedelta(hours=3)
    )
    assert (said.reviewer, said.review.verdict) == ("Bob", "rejected")
    late = say(stock.engine, "prices", stock.name, verdict(one, "rejected"), "Ann", NOW + timedelta(hours=4))
    assert late == said, "a page that still shows the former score takes nobody's place"
    assert len(waits(stock, score, models[0])) == 99
    stock.engine.dispose()


def test_of_two_people_at_once_one_is_kept_and_the_other_is_told(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    score, stock = scored(database, models[0])
    first, second = opened(score, models[0]), opened(score, models[0])
    found = waits(stock, score, models[0], most=20, kind="plain")
    together = Barrier(2)

    def reviewing(mine: Stock, who: str, value: float) -> list[Said]:
        said = []
        for one in found:
            together.wait(timeout=30)
            review = verdict(one, "corrected", value)
            said.append(say(mine.engine, "prices", mine.name, review, who, NOW + timedelta(hours=value)))
        return said

    with ThreadPoolExecutor(2) as pool:
        ann = pool.submit(reviewing, first, "Ann", 1.0)
        bob = pool.submit(reviewing, second, "Bob", 2.0)
        both = ann.result(60), bob.result(60)
    assert both[0] == both[1], "each is told what is kept, and the same is kept for both"
    assert {one.reviewer for one in both[0]} <= {"Ann", "Bob"}
    assert all(one.review.value == {"Ann": 1.0, "Bob": 2.0}[one.reviewer] for one in both[0])
    kept = database.all("SELECT key, reviewer FROM perennial_reviews")
    assert len(kept) == len(found)
    assert not {str(one.key) for one in found} & {str(one.key) for one in waits(stock, score, models[0])}
    for each in (stock, first, second):
        each.engine.dispose()


def test_a_double_click_is_one_review_and_a_later_one_takes_its_place(
    database: Database, models: tuple[Predictor, Predictor]
) -> None:
    score, stock = scored(database, models[0])
    one = waits(stock, score, models[0], most=1, kind="plain")[0]

    def says(review: Review, who: str, hours: float, over: Said | None = None) -> Said:
        return say(stock.engine, "prices", stock.name, review, who, NOW + timedelta(hours=hours), over)

    first = says(verdict(one, "accepted"), "Ann", 1)
    assert says(verdict(one, "accepted"), "Ann", 2) == first
    assert newest(stock.engine, "prices", stock.name, 10) == [first]
    assert first.truth in list(review_truths(stock.engine, "prices", stock.name))

    assert says(verdict(one, "rejected"), "Bob", 3) == first, "who did not see it takes nobody's place"
    second = says(verdict(one, "corrected", 7250.0, "by mistake"), "Bob", 4, over=first)
    assert (second.reviewer, second.review.value) == ("Bob", 7250.0)
    assert says(verdict(one, "rejected"), "Ann", 5, over=first) == second, "it is another by now"
    third = says(replace(second.review, verdict="rejected", value=None), "Ann", 6, over=second)
    assert third.truth.value is None and third.review.note == "by mistake"
    assert newest(stock.engine, "prices", stock.name, 10) == [third]
    assert newest(stock.engine, "kinds", stock.name, 10) == []
    stock.engine.dispose()
