"""The review page: what a person presses, what the database and the journal then hold, and what goes wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from dashboard import review
from perennial.home import Home
from perennial.live.journal.store import open_store
from perennial.live.journal.tables import WITHDRAWN, tables
from tests.scoring import run
from tests.stock import BAD, Database, make, rows, section
from tests.test_ui import field, made, page, predictor, press, said

LOOK = 'score={{url: "{}", table: cars, key: [id], columns: {{jahr: year}}}}'


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made(tmp_path_factory.mktemp("prices"), "prices")


@pytest.fixture
def stock(prices: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A scored stock, and a journal of the test's own."""
    monkeypatch.setenv("PERENNIAL_HOME", str(prices.root))
    monkeypatch.setenv("PERENNIAL_JOURNAL", str(tmp_path / "journal.sqlite"))
    path = tmp_path / "stock.sqlite"
    path.touch()
    found = Database(str(path), sa.create_engine(f"sqlite:///{path}"))
    make(found, rows())
    run(section(found), predictor(prices))
    yield found
    found.engine.dispose()


def drawn_for(prices: Home, stock: Database, name: str = "Ann") -> AppTest:
    drawn = page(prices, "review", LOOK.format(stock.reference))
    return field(drawn, "Your name").set_value(name).run() if name else drawn


def kept(stock: Database) -> list[tuple[str, ...]]:
    query = "SELECT key, verdict, value, note, reviewer FROM perennial_reviews ORDER BY reviewed_at"
    return [tuple(row) for row in stock.all(query)]


def truths() -> list[str]:
    """What the journal holds as truth of reviews."""
    store = open_store("synthetic", os.environ["PERENNIAL_JOURNAL"])
    try:
        with store.connection() as connection:
            truth = tables().truth
            found = connection.execute(
                sa.select(truth.c.value).where(truth.c.source == "review").order_by(truth.c.seq)
            )
            return [row[0] for row in found]
    finally:
        store.close()


def first(drawn: AppTest) -> str:
    """The score that is looked at."""
    return str(drawn.metric[0].label)


def test_a_reviewer_without_a_name_keeps_nothing(prices: Home, stock: Database) -> None:
    drawn = press(drawn_for(prices, stock, ""), "Reject")
    assert "Expected your name beside a review, found none; fill it in above." in said(drawn)
    assert not sa.inspect(stock.engine).has_table("perennial_reviews")
    assert first(page(prices, "review", LOOK.format(stock.reference))) == f"id {BAD}"


def test_verdicts_are_kept_and_done_scores_leave_the_list(
    prices: Home, stock: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "CLICKS_APART_S", 0.0)
    drawn = drawn_for(prices, stock)
    assert first(drawn) == f"id {BAD}" and [b.disabled for b in drawn.button[:3]] == [True, False, False]
    field(drawn, "Right value").set_value(7250.0)
    field(drawn, "Note").set_value("called the dealer")
    drawn = press(drawn, "Correct")
    assert f"Kept: id {BAD} corrected." in said(drawn)
    second = first(drawn)
    assert second != f"id {BAD}"
    drawn = press(drawn, "Accept")
    third = first(drawn)
    drawn = press(drawn, "Reject")
    assert [row[1:] for row in kept(stock)] == [
        ("corrected", "7250.0", "called the dealer", "Ann"),
        ("accepted", None, "", "Ann"),
        ("rejected", None, "", "Ann"),
    ]
    assert len({f"id {BAD}", second, third, first(drawn)}) == 4
    number = second.removeprefix("id ")
    accepted = stock.all("SELECT predicted_price_gbp FROM cars_scores WHERE id = :id", id=int(number))[0][0]
    assert [json.loads(text) for text in truths()] == [7250.0, accepted, None]
    again = drawn_for(prices, stock)
    assert first(again) == first(drawn) and len(again.expander) == 3


def test_a_verdict_that_says_nothing_or_too_much_is_not_kept(prices: Home, stock: Database) -> None:
    drawn = press(drawn_for(prices, stock), "Correct")
    assert "Expected the right value beside Correct, found none; fill it in." in said(drawn)
    drawn = drawn_for(prices, stock)
    field(drawn, "Right value").set_value(7250.0)
    drawn = press(drawn, "Reject")
    assert "Expected a right value beside Correct alone, found one" in said(drawn)
    assert not sa.inspect(stock.engine).has_table("perennial_reviews")


def test_a_second_click_at_once_does_not_judge_the_next_score(
    prices: Home, stock: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "CLICKS_APART_S", 3600.0)
    drawn = press(drawn_for(prices, stock), "Reject")
    after = first(drawn)
    drawn = press(drawn, "Reject")
    assert first(drawn) == after and len(kept(stock)) == 1
    assert "A second click came at once, and was not counted." in said(drawn)


def test_who_comes_second_is_told_and_may_change_it_later(
    prices: Home, stock: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review, "CLICKS_APART_S", 0.0)
    ann, bob = drawn_for(prices, stock), drawn_for(prices, stock, "Bob")
    assert first(ann) == first(bob) == f"id {BAD}"
    press(ann, "Reject")
    field(bob, "Right value").set_value(9000.0)
    bob = press(bob, "Correct")
    text = said(bob)
    assert "Ann was first (rejected, " in text and "theirs is kept; change it below if it is wrong." in text
    assert [row[1:] for row in kept(stock)] == [("rejected", None, "", "Ann")]
    assert first(bob) != f"id {BAD}"

    values = [f for f in bob.number_input if f.label.startswith("Right value")]
    values[1].set_value(9000.0)
    bob = press(bob, "Correct", place=1)
    assert [row[1:] for row in kept(stock)] == [("corrected", "9000.0", "", "Bob")]
    assert truths() == [WITHDRAWN, "9000.0"]
    press(bob, "Reject", place=1)
    assert truths() == [WITHDRAWN, "9000.0", WITHDRAWN]
    assert first(bob) != f"id {BAD}"


def test_the_page_says_in_one_sentence_what_is_wrong(
    prices: Home, stock: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "names no table to score" in said(page(prices, "review"))
    gone = page(prices, "review", LOOK.format(tmp_path / "gone.sqlite"))
    assert "expected an SQLite file, found none" in said(gone) and len(gone.error) == 1
    monkeypatch.setenv("STOCK_URL", "postgresql://clerk:whispered@127.0.0.1:9/stock")
    away = page(prices, "review", LOOK.format("env:STOCK_URL"))
    assert len(away.error) == 1 and "whispered" not in said(away)

    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("PERENNIAL_JOURNAL", str(blocked / "journal.sqlite"))
    drawn = drawn_for(prices, stock)
    field(drawn, "Right value").set_value(1.0)
    drawn = press(drawn, "Correct")
    assert len(kept(stock)) == 1 and "The review is kept, but the journal has not taken it" in said(drawn)
