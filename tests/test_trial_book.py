"""Trials stand in the ledger: one at a time, of a sound bundle, over when it is stopped or something is released."""

from datetime import timedelta

import pytest
from releases import NOW, build, damage, promote

from perennial.errors import BundleError, InputError, LedgerError, UnknownNameError
from perennial.live import ledger, release, shelf
from perennial.live.sign import key_pair
from perennial.live.trial import book


@pytest.fixture
def place(tmp_path):
    """A releases folder with two versions of `prices`, the first one released."""
    key = key_pair(tmp_path / "keys")
    folder = tmp_path / "releases"
    first, second = (build(folder, key, "prices", strength) for strength in (1.0, 500.0))
    promote(folder, key, first)
    return folder, key, second


def start(place, version="v2", mode="split", share=0.2, hours=1):
    folder, key, _ = place
    now = NOW + timedelta(hours=hours)
    return book.start(
        folder, "prices", version, mode, share, key.public_path, now, "worth a try", "tester@host"
    )


def test_a_trial_changes_nothing_that_serves_and_ends_when_it_is_stopped(place):
    folder, _, _ = place
    begun = start(place)
    past = shelf.history(folder, "prices")
    assert book.current(past) == begun and begun.number == 2 and begun.name == "prices-2"
    assert (begun.champion, begun.challenger, begun.shares) == (
        "v1",
        "v2",
        {"champion": 0.8, "challenger": 0.2},
    )
    assert ledger.champion(past).facts.version == "v1"
    assert [row.version for row in release.status(folder)] == ["v1"]
    with pytest.raises(LedgerError, match="stop it first"):
        start(place, hours=2)
    assert book.stop(folder, "prices", NOW + timedelta(hours=3), "enough") == begun
    assert book.current(shelf.history(folder, "prices")) is None
    with pytest.raises(LedgerError, match="found none; start one first"):
        book.stop(folder, "prices", NOW + timedelta(hours=4), "again")
    assert start(place, mode="shadow", share=1.0, hours=5).name == "prices-4"


def test_a_release_ends_a_trial(place):
    folder, key, second = place
    start(place)
    promote(folder, key, second, 2)
    assert book.current(shelf.history(folder, "prices")) is None
    with pytest.raises(LedgerError, match="v2, the champion"):
        start(place, hours=3)


@pytest.mark.parametrize(
    ("mode", "share"), [("split", 0.0), ("split", 1.0), ("split", -0.1), ("shadow", 1.1)]
)
def test_a_share_that_cannot_be_is_refused(place, mode, share):
    with pytest.raises(InputError, match="expected a share above 0"):
        start(place, mode=mode, share=share)


def test_what_cannot_be_tried_is_told_and_leaves_no_entry(place, tmp_path):
    folder, key, _ = place
    with pytest.raises(UnknownNameError, match="v9"):
        start(place, "v9")
    damage(folder, "prices", "v2", "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        start(place)
    assert len(shelf.history(folder, "prices")) == 1
    with pytest.raises(LedgerError, match="promote one first"):
        start((tmp_path / "none", key, None))
