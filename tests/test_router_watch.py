"""A worker follows the trial of the ledger: the challenger is checked like a release, and costs nobody anything."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from releases import NOW, build, damage, parts, promote, two_versions

from bento.answering import Answering
from bento.state import Settings
from bento.watch import FIRST_RETRY_S, Watch, prepared
from perennial.errors import BundleError, InputError, LedgerError
from perennial.live import ledger, release, shelf
from perennial.live.build import build_bundle
from perennial.live.trial import book
from perennial.live.trial.fit import request_misfits
from perennial.table import Column, Contract


@pytest.fixture
def place(tmp_path):
    """A releases folder with two versions of `prices`, the first one released."""
    return two_versions(tmp_path)[:2]


def begin(place, version="v2", mode="split", share=0.5):
    folder, key = place
    now = NOW + timedelta(hours=1)
    return book.start(folder, "prices", version, mode, share, key.public_path, now, "a try", "tester@host")


def end(place):
    book.stop(place[0], "prices", NOW + timedelta(hours=2), "enough", "tester@host")


def watching(place, load=prepared):
    folder, key = place
    clock = [0.0]
    watch = Watch(Settings(folder, "prices", key.public_path, 1000, 60.0), load, clock=lambda: clock[0])
    watch.look()
    return watch, clock


def version(state):
    return state.names["version"] if isinstance(state, Answering) else None


def test_a_challenger_comes_with_its_trial_and_goes_with_it(place):
    watch, _ = watching(place)
    champion = watch.standing.state
    assert watch.standing.trial is None and watch.standing.challenger is None
    trial = begin(place)
    watch.look()
    standing = watch.standing
    assert version(standing.challenger) == "v2" and standing.trial == trial and standing.state is champion
    assert standing.swaps == 0 and standing.trial_trouble == ""
    watch.look()
    assert watch.standing is standing
    end(place)
    watch.look()
    assert watch.standing.challenger is None and watch.standing.trial is None
    assert watch.standing.state is champion


def test_a_promoted_challenger_is_swapped_in_without_being_loaded_again(place):
    folder, key = place
    loaded = []
    watch, _ = watching(place, lambda *of: loaded.append(of) or prepared(*of))
    begin(place)
    watch.look()
    challenger = watch.standing.challenger
    trial = watch.standing.trial
    book.promote(folder, "prices", trial, key.public_path, NOW + timedelta(hours=2), ("better",), {"rows": 7})
    watch.look()
    standing = watch.standing
    assert standing.state is challenger and version(standing.warm) == "v1" and len(loaded) == 2
    assert standing.challenger is None and standing.trial is None and standing.swaps == 1
    entry = ledger.champion(shelf.history(folder, "prices"))
    assert entry.facts.evidence == {"trial": "prices-2", "rows": 7} and entry.facts.from_version == "v1"


def test_another_release_ends_a_trial_even_where_it_cannot_be_taken(place):
    folder, key = place
    watch, _ = watching(place)
    begin(place)
    watch.look()
    third = build(folder, key, "prices", 20.0)
    promote(folder, key, third, 2)
    damage(folder, "prices", "v3", "model.onnx")
    watch.look()
    standing = watch.standing
    assert version(standing.state) == "v1" and standing.trouble
    assert standing.challenger is None and standing.trial is None and standing.trial_trouble == ""


@pytest.mark.parametrize("name", ["model.onnx", "manifest.sig", "golden.json"])
def test_a_damaged_challenger_is_told_and_the_champion_answers_all(place, name, tmp_path):
    folder, _ = place
    watch, clock = watching(place)
    begin(place)
    shutil.copytree(folder / "prices" / "bundles" / "v2", tmp_path / "kept")
    damage(folder, "prices", "v2", name)
    watch.look()
    standing = watch.standing
    assert standing.challenger is None and "v2" in standing.trial_trouble and standing.trial is not None
    assert version(standing.state) == "v1" and standing.trouble == "" and standing.failures == 0
    watch.look()
    assert watch.standing is standing
    shutil.rmtree(folder / "prices" / "bundles" / "v2")
    shutil.move(tmp_path / "kept", folder / "prices" / "bundles" / "v2")
    clock[0] = FIRST_RETRY_S
    watch.look()
    assert version(watch.standing.challenger) == "v2" and watch.standing.trial_trouble == ""


def test_another_bundle_under_the_challengers_name_does_not_answer(place):
    folder, key = place
    trial = begin(place)
    shutil.rmtree(folder / "prices" / "bundles" / "v2")
    build(folder, key, "prices", 77.0)
    watch, _ = watching(place)
    assert "not the bundle that ledger entry 2 names" in watch.standing.trial_trouble
    with pytest.raises(BundleError, match="not the bundle that was on trial"):
        book.promote(folder, "prices", trial, key.public_path, NOW + timedelta(hours=2), ("better",), {})
    assert ledger.champion(shelf.history(folder, "prices")).facts.version == "v1"


def test_what_a_challenger_raises_is_survived(place):
    def broken(chosen, entry):
        if entry.facts.version == "v2":
            raise MemoryError
        return prepared(chosen, entry)

    begin(place)
    watch, _ = watching(place, broken)
    assert "MemoryError" in watch.standing.trial_trouble and version(watch.standing.state) == "v1"


def test_only_a_trial_that_runs_is_promoted(place):
    folder, key = place
    assert book.latest(release.history(folder, "prices")) is None
    trial = begin(place)
    assert book.latest(release.history(folder, "prices")) == (trial, None)
    end(place)
    assert book.latest(release.history(folder, "prices")) == (trial, NOW + timedelta(hours=2))
    with pytest.raises(LedgerError, match="expected a trial that runs"):
        book.promote(folder, "prices", trial, key.public_path, NOW, ("better",), {})
    again = begin(place)
    with pytest.raises(LedgerError, match="expected prices-2 to run, found prices-4"):
        book.promote(folder, "prices", trial, key.public_path, NOW, ("better",), {})
    assert book.running(folder, "prices") == again


def test_a_challenger_that_answers_another_question_is_refused(place):
    folder, key = place
    strange = parts("kinds", 1.0, "prices")
    build_bundle(strange, folder / "prices" / "bundles", key, NOW)
    with pytest.raises(
        InputError, match="found that it answers the task 'classification' and not 'regression'"
    ):
        begin(place, "v3")
    assert len(shelf.history(folder, "prices")) == 1


ASKED = Contract(
    "prices",
    (
        Column("year", "integer", "year", minimum=1900),
        Column("mileage", "number", "miles", unit="miles", aliases=("odometer",), nullable=True),
        Column("owner", "category", "who", privacy="hash"),
    ),
)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"year": {"kind": "number", "minimum": 2000.0}}, None),
        ({"owner": {"privacy": "mask", "categories": ("a",)}}, None),
        (
            {"mileage": {"name": "odometer", "aliases": ("mileage",)}},
            "it needs odometer, which callers do not send",
        ),
        ({"mileage": {"kind": "integer"}}, "its mileage is of the kind integer and not number"),
        ({"mileage": {"nullable": False}}, "its mileage must not be missing"),
        ({"mileage": {"aliases": ()}}, "it does not know mileage as odometer"),
        ({"owner": {"privacy": ""}}, "the journal would keep more of its owner"),
    ],
)
def test_contracts_that_callers_rows_do_not_suit(change, problem):
    offered = Contract(
        "prices", tuple(Column(**{**vars(c), **change.get(c.name, {})}) for c in ASKED.columns)
    )
    found = request_misfits(ASKED, offered)
    assert found == [] if problem is None else problem in found
    fewer = Contract("prices", ASKED.columns[1:])
    assert request_misfits(ASKED, fewer) == ["it does not know year"]
    assert request_misfits(fewer, ASKED) == ["it needs year, which callers do not send"]
