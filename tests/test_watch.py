"""A worker follows the ledger: what is wrong with a release is told, and the one before goes on answering."""

import shutil
import threading
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from releases import NOW, damage, promote, two_versions

from bento.answering import Answering
from bento.state import NotReady, Settings
from bento.watch import FIRST_RETRY_S, LAST_RETRY_S, Watch, prepared
from perennial.live import golden, release


@pytest.fixture
def place(tmp_path):
    """A releases folder with two versions of `prices`, the first one released."""
    return two_versions(tmp_path)


def watching(place, system="prices", load=prepared, every_s=60.0):
    """A watch that nobody started, and its clock."""
    folder, key, _ = place
    clock = [0.0]
    watch = Watch(Settings(folder, system, key.public_path, 1000, every_s), load, clock=lambda: clock[0])
    return watch, clock


def version(watch):
    state = watch.standing.state
    return state.names["version"] if isinstance(state, Answering) else None


def back(folder, key):
    release.rollback(folder, "prices", None, key.public_path, NOW + timedelta(days=1), "slow", "tester@host")


def test_a_release_is_swapped_in_and_the_one_before_stays_warm(place):
    folder, key, second = place
    watch, _ = watching(place)
    watch.look()
    assert version(watch) == "v1" and watch.standing.swaps == 0 and watch.standing.warm is None
    before, standing = watch.standing.state, watch.standing
    watch.look()
    assert watch.standing is standing
    promote(folder, key, second, 1)
    watch.look()
    assert version(watch) == "v2" and watch.standing.warm is before and watch.standing.swaps == 1
    assert watch.standing.state.facts["version"] == "v2"


def test_a_return_takes_the_warm_release_and_reads_no_bundle(place, monkeypatch):
    folder, key, second = place
    watch, _ = watching(place)
    watch.look()
    first = watch.standing.state
    promote(folder, key, second, 1)
    watch.look()
    back(folder, key)
    replayed = []
    real = golden.replay
    monkeypatch.setattr(golden, "replay", lambda *of: replayed.append(of) or real(*of))
    shutil.rmtree(folder / "prices" / "bundles")
    watch.look()
    assert watch.standing.state is first and watch.standing.trouble == "" and len(replayed) == 1


@pytest.mark.parametrize(
    "name", ["model.onnx", "manifest.json", "golden.json", "manifest.sig", "contract.json"]
)
def test_a_damaged_release_is_left_out_and_named(place, name):
    folder, key, second = place
    watch, clock = watching(place)
    watch.look()
    promote(folder, key, second, 1)
    damage(folder, "prices", "v2", name)
    watch.look()
    assert version(watch) == "v1" and watch.standing.failures == 1
    assert "v2" in watch.standing.trouble or name in watch.standing.trouble
    back(folder, key)
    clock[0] = 100.0
    watch.look()
    assert version(watch) == "v1" and watch.standing.trouble == ""


def test_a_bundle_that_is_still_on_its_way_is_tried_again_ever_more_rarely(place, tmp_path):
    folder, key, second = place
    watch, clock = watching(place)
    watch.look()
    promote(folder, key, second, 1)
    shutil.move(folder / "prices" / "bundles" / "v2", tmp_path / "v2")
    tried = []
    for moment in range(200):
        clock[0] = float(moment)
        before = watch.standing.failures
        watch.look()
        if watch.standing.failures > before:
            tried.append(moment)
    gaps = [b - a for a, b in pairwise(tried)]
    assert gaps[0] == FIRST_RETRY_S and gaps == sorted(gaps) and gaps[-1] == LAST_RETRY_S
    assert "is gone" in watch.standing.trouble and version(watch) == "v1"
    shutil.move(tmp_path / "v2", folder / "prices" / "bundles" / "v2")
    clock[0] = 1000.0
    watch.look()
    assert version(watch) == "v2" and watch.standing.trouble == "" and watch.standing.swaps == 1


def test_a_broken_ledger_changes_nothing_and_an_empty_one_is_told(place, tmp_path):
    folder, key, second = place
    watch, _ = watching(place)
    watch.look()
    promote(folder, key, second, 1)
    entry = folder / "prices" / "ledger" / "000002.json"
    entry.chmod(0o644)
    entry.write_text("{}")
    watch.look()
    assert version(watch) == "v1" and "000002.json" in watch.standing.trouble
    nothing, _ = watching((tmp_path / "none", key, None), system=None)
    nothing.look()
    assert (
        isinstance(nothing.standing.state, NotReady) and "train and promote" in nothing.standing.state.reason
    )


def test_what_is_no_error_of_ours_is_survived(place):
    def broken(*_):
        raise MemoryError

    watch, _ = watching(place, load=broken)
    watch.look()
    assert "MemoryError" in watch.standing.trouble and watch.standing.failures == 1


def test_the_thread_follows_and_ends(place):
    folder, key, second = place
    watch, _ = watching(place, every_s=0.01)
    watch.look()
    threads, looks = threading.active_count(), []
    watch.start(looks.append)
    promote(folder, key, second, 1)
    deadline = time.monotonic() + 20
    while version(watch) != "v2" and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.stop()
    assert version(watch) == "v2" and threading.active_count() == threads and looks.count(True) == 1
