"""The journal stays within its limits: by one worker of all, a few rows at a time, while others write."""

from __future__ import annotations

import itertools
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from releases import build, promote

from bento.process import ROOT, free_port, service_environment, started
from bento.prune import Limits, limits
from perennial.errors import InputError
from perennial.live.journal.entry import Entry, microseconds
from perennial.live.journal.figures import figures
from perennial.live.journal.prune import BATCH, Pruned, prune, surplus
from perennial.live.journal.store import Store, open_store
from perennial.live.journal.truth import read_truth, record_truth
from perennial.live.sign import key_pair
from tests.postgres import running
from tests.project import Project
from tests.test_service_kill import Repeating, until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entries(count: int, days_ago: float, now: datetime = NOW, prefix: str = "p") -> list[Entry]:
    """Predictions a second apart, the last one so many days ago."""
    time_us = microseconds(now - timedelta(days=days_ago))
    return [
        Entry(f"{prefix}{n}", "champion", time_us - (count - n) * 1_000_000, "v1", '{"a":1}', "{}", 0.001)
        for n in range(count)
    ]


def said(store: Store, now: datetime, *ids: str) -> None:
    """Records a truth for each id."""
    record_truth(store, read_truth([{"truth": 1.0, "prediction_id": one} for one in ids], "test"), now)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path_factory.mktemp("journals"))
        return
    with running() as server:
        yield server.url


@pytest.fixture
def place(address: str) -> tuple[str, str]:
    """A system without a journal so far, and where it will be."""
    system = f"s{uuid.uuid4().hex[:8]}"
    return system, address if "://" in address else f"{address}/{system}.sqlite"


def test_truth_that_waits_goes_by_its_own_age(place: tuple[str, str]) -> None:
    store = open_store(*place)
    said(store, NOW - timedelta(days=50), "never came")
    said(store, NOW - timedelta(days=20), "still to come")
    store.insert(entries(10, 40) + entries(10, 1, prefix="young"))
    said(store, NOW - timedelta(days=2), "p1", "young1")
    assert surplus(store, NOW, 30) == 10
    assert prune(store, NOW, max_age_days=30) == Pruned(10, 1)
    found = figures(store)
    assert (found.predictions, found.joined, found.truth, found.pending) == (10, 1, 3, 2)
    store.insert(entries(1, 0, prefix="still to come"))
    assert prune(store, NOW, max_age_days=30) == Pruned(0, 0)
    store.close()


def test_what_is_too_large_takes_the_truth_before_it_along(place: tuple[str, str]) -> None:
    store = open_store(*place)
    said(store, NOW - timedelta(days=9), "never came")
    store.insert(entries(3_000, 5))
    said(store, NOW - timedelta(days=4), "p0", "p2999")
    megabytes = store.size_bytes() / 1e6 / 2
    beyond = surplus(store, NOW, None, megabytes)
    done = prune(store, NOW, max_mb=megabytes)
    assert 1_000 < beyond <= done.predictions < 2_200 and done.truth == 1
    assert store.size_bytes() <= megabytes * 1e6
    assert figures(store).first == NOW - timedelta(days=5, seconds=3_000 - done.predictions)
    assert prune(store, NOW, max_mb=megabytes) == Pruned(0, 0)
    store.close()


def test_no_transaction_deletes_more_than_a_batch(place: tuple[str, str]) -> None:
    store, left = open_store(*place), [2_200]
    store.insert(entries(2_200, 40))
    said(store, NOW - timedelta(days=39), *(f"p{n}" for n in range(700)))
    prune(store, NOW, max_age_days=30, rest=lambda _: left.append(total(store)))
    assert left[-1] == 0
    assert all(before - after <= BATCH for before, after in itertools.pairwise(left[1:]))
    store.close()


def total(store: Store) -> int:
    found = figures(store)
    return found.predictions + found.truth


def test_one_of_all_leads_until_it_ends(place: tuple[str, str]) -> None:
    first, second = open_store(*place), open_store(*place)
    assert first.lead() and first.lead() and not second.lead()
    first.close()
    assert second.lead() and not first.lead()
    second.close()
    other = open_store(f"{place[0]}x", place[1] if "://" in place[1] else f"{place[1]}x")
    assert first.lead() and other.lead(), "every system has its own"
    first.close()
    other.close()


def test_who_leads_and_is_killed_gives_way(place: tuple[str, str]) -> None:
    code = (
        "import sys, time\nfrom perennial.live.journal.store import open_store\n"
        "store = open_store(*sys.argv[1:])\nprint(store.lead(), flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, *place], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as leader:
        assert leader.stdout is not None and leader.stdout.readline() == "True\n"
        store = open_store(*place)
        assert not store.lead()
        leader.kill()
        leader.wait(30)
        until(store.lead)
        store.close()


def test_limits_come_from_the_environment() -> None:
    assert limits({}) == Limits(400.0, 20_000.0, 3600.0)
    assert limits({"PERENNIAL_JOURNAL_KEEP_DAYS": "0", "PERENNIAL_JOURNAL_KEEP_MB": "1.5"}) == Limits(0, 1.5)
    with pytest.raises(InputError, match="KEEP_DAYS to be a number of at least 0, found 'ever'"):
        limits({"PERENNIAL_JOURNAL_KEEP_DAYS": "ever"})
    with pytest.raises(InputError, match="KEEP_MB to be a number of at least 0, found '-1'"):
        limits({"PERENNIAL_JOURNAL_KEEP_MB": "-1"})


@pytest.mark.slow
def test_a_service_prunes_under_load_and_every_answer_is_written(tmp_path: Path) -> None:
    key, folder = key_pair(tmp_path / "keys"), tmp_path / "releases"
    promote(folder, key, build(folder, key, "prices", 1.0))
    journal = open_store("prices", tmp_path / "journal" / "prices.sqlite")
    now = datetime.now(UTC)
    journal.insert(entries(5_000, 40, now, "old") + entries(100, 1, now, "young"))
    environment = service_environment(folder, "prices", key.public_path, workers=2) | {
        "PERENNIAL_JOURNAL_KEEP_DAYS": "30",
        "PERENNIAL_JOURNAL_PRUNE_S": "0.5",
    }
    with started(environment, free_port()) as served, Repeating(served.url) as callers:
        until(lambda: "deleted" in served.log.read_text())
        before = len(callers.written)
        until(lambda: len(callers.written) > before + 50)
        log = served.log.read_text()
    assert log.count("deleted 5,000 predictions and 0 rows of truth beyond 30 days and 20000 MB") == 1
    assert (callers.not_written, callers.broken, set(callers.statuses)) == (0, 0, {200})
    found = figures(journal)
    assert found.predictions == 100 + len(callers.written)
    assert found.first is not None and found.first > now - timedelta(days=2)
    journal.close()


def test_a_service_with_wrong_limits_ends_with_one_sentence(tmp_path: Path) -> None:
    key, folder = key_pair(tmp_path / "keys"), tmp_path / "releases"
    environment = service_environment(folder, "prices", key.public_path)
    with (
        pytest.raises(Exception, match="expected PERENNIAL_JOURNAL_KEEP_MB to be a number"),
        started(environment | {"PERENNIAL_JOURNAL_KEEP_MB": "much"}, free_port()),
    ):
        raise AssertionError("it started")


def test_the_commands_tell_and_prune(tmp_path: Path) -> None:
    project, now = Project(tmp_path / "home"), datetime.now(UTC)
    store = open_store("synthetic", project.home / "journal" / "synthetic.sqlite")
    store.insert(entries(1_500, 500, now, "old") + entries(20, 1, now))
    said(store, now, "p3", "p4", "later")
    store.close()
    config = ("--config", "configs/synthetic.yaml")
    told = project.run("journal", "status", *config)
    assert "1,520 predictions from" in told and "kept for 400 days and up to 20000 MB" in told
    assert "2 with truth; 3 rows of truth, 1 of them wait for their prediction" in told
    would = project.run("journal", "prune", *config, "--dry-run")
    assert would == "synthetic: 1,500 predictions and their truth would be deleted\n"
    did = project.run("journal", "prune", *config)
    assert did == "synthetic: deleted 1,500 predictions and 0 rows of truth\n"
    off = project.run("journal", "status", *config, "--set", "journal.address=off", code=2)
    assert "expected a journal, found it off" in off
