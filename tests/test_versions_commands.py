"""Two versions side by side, and the commands that list, compare and trigger."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import run
from perennial.errors import InputError, UnknownNameError
from perennial.live import sign
from perennial.live.comparison import SideBySide, find, paired_verdict, side_by_side
from perennial.live.load import load_predictor
from perennial.live.report import compare
from perennial.live.sign import SigningKey
from perennial.table import Contract, Table
from tests.ready_homes import Homes
from tests.releases import FEATURES, tables
from tests.versions_fixtures import Shelf, against

HOME_KEYS = (sign.PRIVATE, sign.PUBLIC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with v1 (served), v2 (champion), v3 (kept out) and v4 (other columns, undecided)."""
    root = tmp_path_factory.mktemp("home")
    shelf = Shelf(root / "releases", sign.key_pair(root / "keys"))
    shelf.promote(shelf.build(0.1, settings={"seed": 7, "learn.folds": 3}), 1)
    shelf.promote(shelf.build(50.0, settings={"seed": 7, "learn.folds": 5, "learn.gaps": 0.1}), 2)
    shelf.keep_out(shelf.build(900.0, dataset=2), 3, against("v3", "v2", 3.5))
    train, holdout = (without(table, "tax") for table in tables("prices"))
    from perennial.learn import recipes

    kept = tuple(c for c in FEATURES if c.name != "tax")
    model = recipes.ridge(kept, {"alpha": 1.0}, 7, 1).fit(train.X, np.log(train.y))
    shelf.build(1.0, train=train, holdout=holdout, contract=train.contract, estimator=model)
    return root


@pytest.fixture
def shelf(home: Path) -> Shelf:
    return Shelf(home / "releases", SigningKey(None, home / "keys" / sign.PUBLIC))  # type: ignore[arg-type]


def without(table: Table, name: str) -> Table:
    """The table without a column, and with another unit of `mileage`."""
    columns = (c for c in table.contract.columns if c.name != name)
    changed = tuple(replace(c, unit="km") if c.name == "mileage" else c for c in columns)
    return Table(table.frame.drop(columns=name), Contract(table.contract.system, changed))


def beside(shelf: Shelf, a: str, b: str) -> SideBySide:
    """Two versions of the shelf, side by side."""
    versions = shelf.versions()
    return side_by_side(versions.system, find(versions, a), find(versions, b))


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("champion", "v2"),
        ("previous", "v1"),
        ("latest", "v4"),
        ("v3", "v3"),
        ("3", "v3"),
    ],
)
def test_versions_have_several_names(shelf: Shelf, name: str, version: str) -> None:
    assert find(shelf.versions(), name).name == version


def test_a_name_of_none_or_of_many_gets_one_sentence(shelf: Shelf) -> None:
    versions = shelf.versions()
    with pytest.raises(UnknownNameError, match="did you mean 'champion'"):
        find(versions, "champoin")
    for unknown in ("v9", "", "9"):
        with pytest.raises(UnknownNameError, match="expected a known version of prices"):
            find(versions, unknown)
    with pytest.raises(InputError, match="with which v1, v2, v3, v4 do"):
        find(versions, "v")
    with pytest.raises(InputError, match="expected a version that is the champion, found none"):
        find(replace(versions, history=()), "champion")
    only = replace(versions, known=versions.known[2:3])
    assert find(only, "v").name == "v3"
    with pytest.raises(InputError, match="the bundle of v2 cannot be read"):
        find(only, "champion")


def test_a_version_does_not_differ_from_itself(shelf: Shelf) -> None:
    for name in ("v1", "v4"):
        found = beside(shelf, name, name)
        assert (found.settings, found.parameters, found.columns, found.apart) == ((), (), (), "")
        assert paired_verdict(found) == f"{name} is one and the same version."
        assert [(r.differing, r.largest_gap, r.other_flags) for r in found.replies] == [(0, 0.0, 0)]


def test_answers_are_those_of_both_models_to_the_same_golden_rows(shelf: Shelf) -> None:
    found = beside(shelf, "v1", "v3")
    a, b = (load_predictor(version.bundle) for version in (found.a, found.b))
    rows = found.a.bundle.golden["rows"]
    ours, theirs = (p.answer_rows(rows, len(rows)).answers.prediction for p in (a, b))
    (replies,) = found.replies
    assert replies.of == "v1 and v3"
    np.testing.assert_allclose(replies.answers, np.column_stack([ours, theirs]), rtol=1e-12)
    assert replies.largest_gap == pytest.approx(np.abs(ours - theirs).max())
    assert replies.typical_gap == pytest.approx(np.median(np.abs(ours - theirs)))
    assert replies.differing == sum(~np.isclose(ours, theirs, rtol=1e-6, atol=1e-6)) > 0
    mirrored = beside(shelf, "v3", "v1").replies[0]
    assert mirrored.gaps == replies.gaps


def test_what_differs_is_named(shelf: Shelf) -> None:
    found = beside(shelf, "v1", "v2")
    assert compare.change_rows(found.settings or ()) == [
        ("learn.folds", "3", "5"),
        ("learn.gaps", "not set", "0.1"),
    ]
    assert compare.change_rows(found.parameters) == [("strength", "0.1", "50.0")]
    other = beside(shelf, "v1", "v4")
    told = {column.name: compare.column_text(column, other) for column in other.columns}
    assert told == {"tax": "only in v1", "mileage": "unit miles -> km"}
    assert other.apart == ""  # v1's rows hold all that v4 asks for
    assert [r.of for r in other.replies] == ["v1"]


def test_other_targets_are_not_answered_together(shelf: Shelf, tmp_path: Path, home: Path) -> None:
    kinds = Shelf(tmp_path, sign.key_pair(home / "keys"), "kinds")
    kinds.build(1.0)
    kinds.build(0.001)
    found = side_by_side("mixed", find(shelf.versions(), "v1"), find(kinds.versions(), "v1"))
    assert found.apart == "their task differs: regression and classification"
    assert found.replies == ()
    classes = beside(kinds, "v1", "v2").replies[0]
    assert classes.shown == "probability of young"
    assert all(0 <= p <= 1 for pair in classes.points for p in pair)
    assert classes.other_classes == sum(a != b for a, b in classes.answers)
    assert "in the class" in compare.reply_text(classes)


def test_the_comparison_of_the_day_is_told_with_both_names(shelf: Shelf) -> None:
    expected = (
        "When v3 challenged v2, it was worse: absolute error differed by 3.5 [2.5, 4.5] GBP on 100 rows that neither "
        "was fitted on."
    )
    for pair in (("v2", "v3"), ("v3", "v2")):
        assert " ".join(paired_verdict(beside(shelf, *pair)).split()) == expected
    assert "never paired row by row" in paired_verdict(beside(shelf, "v1", "v3"))
    half = replace(beside(shelf, "v1", "v3"), same_rows=False)
    assert "do not say which one is better" in paired_verdict(half)
    assert {row[3] for row in compare.metric_rows(half)} == {"–"}
    assert {row[3] for row in compare.metric_rows(beside(shelf, "v1", "v3"))} == {"900"}


def test_a_version_with_the_model_of_the_champion_stands_for_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "releases", sign.key_pair(tmp_path / "keys"))
    shelf.promote(shelf.build(1.0), 1)
    shelf.keep_out(shelf.build(9.0), 2, against("v2", "v1", 3.5))
    shelf.build(1.0, dataset=2)
    assert paired_verdict(beside(shelf, "v2", "v3")).startswith(
        "When v2 challenged v1, the same model as v3, it was"
    )
    assert beside(shelf, "v1", "v3").paired is None


def test_the_page_holds_all_of_it_and_nothing_foreign(shelf: Shelf) -> None:
    found = beside(shelf, "v2", "v3")
    changed = replace(found.a, told='<script>alert("x")</script>')
    page = compare.compare_html(replace(found, a=changed), "prices")
    assert page == compare.compare_html(replace(found, a=changed), "prices")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for text in ("It is worse than the champion.", "learn.folds", "0.250 ms", "8 golden rows of v2 and v3"):
        assert text in page
    assert len(re.findall("<svg", page)) == 2  # a metric and the golden rows
    assert "do not compare" in compare.compare_html(replace(found, same_rows=False), "prices")


def called(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `run.py ...` in this process, on a state folder."""
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    return run.main(list(arguments))


def test_leaderboard_prints_tables_json_and_csv(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(home, monkeypatch, "leaderboard", "prices", "--csv", str(tmp_path / "all.csv")) == 0
    told = capsys.readouterr().out
    listed = re.findall(r"^(v\d) +2026", told, flags=re.MULTILINE)
    assert listed == ["v1", "v4", "v2", "v3"]  # by their error; the strength is the error of the fixture
    assert "v3 was kept out: It is worse than the champion." in told
    assert "88.0% of 90%" in told
    assert called(home, monkeypatch, "leaderboard", "prices", "--json") == 0
    board = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert (
        [r["version"] for r in rows]
        == [v["version"] for h in board["holdouts"] for v in h["versions"]]
        == listed
    )
    assert [float(r["value"]) for r in rows] == [0.1, 1.0, 50.0, 900.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("leaderboard", "expected a system's name or --config FILE, found neither"),
        ("leaderboard prices --config x.yaml", "found both"),
        ("leaderboard prices --set seed=1", "expected --set beside --config"),
        ("leaderboard prizes", "did you mean 'prices'?"),
        ("leaderboard prices --metric mean_absolut_error", "did you mean 'mean_absolute_error'?"),
        ("leaderboard prices --csv no/such/folder/a.csv", "expected --csv in a folder that exists"),
        ("compare v1 v7 prices", "known are: champion, latest, previous, v1, v2, v3, v4"),
        ("compare v1 chmpion prices", "did you mean 'champion'?"),
        ("compare v1 v2 prices --html no/such/folder/a.html", "expected --html in a folder that exists"),
        ("compare v1 prices", "found neither"),
    ],
)
def test_a_wrong_call_gets_one_sentence(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    sentence: str,
) -> None:
    assert called(home, monkeypatch, *arguments.split()) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_compare_prints_both_sides_and_writes_the_page(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(home, monkeypatch, "compare", "champion", "3", "prices") == 0
    told = capsys.readouterr().out
    for text in ("When v3 challenged v2", "v3 - v2", "learn.folds", "FAILED  It is worse", "0.250 ms"):
        assert text in told
    page = home / "reports" / "prices" / "v2-v3.html"
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert called(home, monkeypatch, "compare", "v2", "v3", "prices", "--html", str(tmp_path / "a.html")) == 0
    assert (tmp_path / "a.html").read_bytes() == page.read_bytes()


@pytest.mark.slow
def test_train_if_new_data_once_through_run_py(homes: Homes, tmp_path: Path) -> None:
    project = homes.empty(tmp_path / "home")
    small = ("--set", "source.rows=400", "--set", "promotion.min_rows=50", "--if-new-data")
    first = project.train(*small)
    assert "it was never trained before" in first
    assert project.bundle("v1", "config.json")["source.rows"] == 400
    again = project.train(*small)
    assert again.startswith("not trained: dataset version 0 (400 records, collected ")
    assert "is what synthetic v1 was trained on; to train, leave out --if-new-data" in again
    changed = project.train(*small, "--set", "learn.folds=4")
    assert "the config has changed since (learn.folds)" in changed
    assert len(project.ledger()) == 1
    assert "hold-out" in project.run("leaderboard", "synthetic")
    assert "v1 is one and the same version." in project.run("compare", "champion", "latest", "synthetic")
