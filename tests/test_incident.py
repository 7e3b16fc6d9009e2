"""Incidents: the store, runs that died without a word, and the command."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.alerts import cli as alerts_command
from perennial.config import Alerts
from perennial.errors import BundleError, CheckError, CollectionError, PerennialError, SourceError
from perennial.live import alert, incident
from perennial.live.alert import Alert
from tests.alerted import (
    FORK,
    NOON,
    TROUBLE,
    Hook,
    after,
    hook,
    killed,
    lines,
    to,
)
from tests.project import Project

__all__ = ("hook",)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b"])), max_size=12))
def test_the_store_follows_a_model(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[bool, str]]
) -> None:
    folder, still, closed = tmp_path_factory.mktemp("store"), {}, 0
    for hour, (trouble, key) in enumerate(moves):
        if trouble:
            opened = incident.report(folder, "s", "training", key, f"no {hour}", after(hours=hour))
            assert (opened is None) == (key in still)
            still[key] = still.get(key, 0) + 1
        else:
            ended = incident.recover(folder, "s", "training", key, after(hours=hour))
            assert (ended.count if ended else None) == still.pop(key, None)
            closed += ended is not None
    found = incident.incidents(folder)
    assert {one.key: one.count for one in found if one.closed_at is None} == still
    assert sum(one.closed_at is not None for one in found) == closed


def _runs_until_killed(folder: Path) -> None:
    with incident.running(folder, "used_cars", "collection", NOON):
        os.kill(os.getpid(), signal.SIGKILL)


def _runs_with_a_child(folder: Path) -> None:
    with incident.running(folder, "used_cars", "collection", NOON):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        (folder / "child").write_text(str(child))
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("work", [_runs_until_killed, _runs_with_a_child])
def test_a_run_killed_too_hard_to_speak_is_reported_by_the_next_start(
    tmp_path: Path, work: Callable[[Path], None]
) -> None:
    killed(work, tmp_path)
    (one,) = incident.report_dead(tmp_path, after(hours=1))
    assert (one.system, one.kind, one.key) == ("used_cars", "died", "collection")
    assert "began at 2026-03-01 12:00 UTC" in one.sentence
    assert incident.report_dead(tmp_path, after(hours=2)) == []
    if (tmp_path / "child").exists():
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    with alert.attended(Alerts(), tmp_path, "used_cars", "collection", lambda: after(hours=3)):
        assert [line["title"] for line in lines(tmp_path)] == ["used_cars: collection died without a word"]
    assert lines(tmp_path)[1]["title"] == "used_cars: recovered: collection runs to its end again"
    assert incident.incidents(tmp_path)[0].count == 1 and not list((tmp_path / "running").iterdir())


def test_a_run_that_is_alive_or_ended_by_an_error_is_not_dead(tmp_path: Path) -> None:
    with incident.running(tmp_path, "used_cars", "collection", NOON):
        assert incident.report_dead(tmp_path, NOON) == []
        found = _in_another_process(tmp_path)
    assert found == []
    with pytest.raises(SourceError), incident.running(tmp_path, "used_cars", "collection", NOON):
        raise SourceError("x", "y", "z")
    assert incident.report_dead(tmp_path, NOON) == [] and incident.incidents(tmp_path) == []


def _reap(results: Any, folder: Path) -> None:
    results.put([one.key for one in incident.report_dead(folder, NOON)])


def _in_another_process(folder: Path) -> Any:
    results = FORK.Queue()
    process = FORK.Process(target=_reap, args=(results, folder))
    process.start()
    found = results.get(timeout=30)
    process.join()
    return found


@pytest.mark.parametrize(
    ("what", "error", "kind", "title"),
    [
        (
            "collection",
            CollectionError("used_cars", ["no rows"], "mend it"),
            "collection",
            "collection breached its contract",
        ),
        ("collection", SourceError("x", "found nothing", "mend it"), "collection", "collection failed"),
        ("training", CheckError(["empty"], "q.parquet"), "validation", "checks block training"),
        ("training", BundleError("b", "damaged", "train again"), "promotion", "promotion failed"),
        ("training", ZeroDivisionError("by zero"), "training", "training failed"),
        (
            "training",
            CollectionError("used_cars", ["blocked"], "wait"),
            "collection",
            "collection breached its contract",
        ),
    ],
)
def test_a_failed_run_is_an_incident_that_a_good_one_ends(
    tmp_path: Path, what: incident.Kind, error: Exception, kind: str, title: str
) -> None:
    for hour in range(2):
        with (
            pytest.raises(type(error)),
            alert.attended(Alerts(), tmp_path, "used_cars", what, lambda hour=hour: after(hours=hour)),
        ):
            raise error
    (one,) = incident.incidents(tmp_path)
    assert (one.kind, one.count) == (kind, 2)
    with alert.attended(Alerts(), tmp_path, "used_cars", what, lambda: after(hours=5)):
        pass
    proven = what == "collection" or kind != "collection"
    assert lines(tmp_path)[0]["title"] == f"used_cars: {title}"
    assert [line["event"] for line in lines(tmp_path)] == ["opened", "closed"][: 1 + proven]


def test_a_store_that_cannot_be_written_does_not_hide_the_error_or_the_alert(
    tmp_path: Path, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / incident.STORE).write_bytes(b"this is no database" * 100)
    with (
        pytest.raises(SourceError, match="found nothing"),
        alert.attended(to("TEST_HOOK"), tmp_path, "used_cars", "collection", lambda: NOON),
    ):
        raise SourceError("x", "found nothing", "mend it")
    assert hook.titles == ["used_cars: collection failed"]
    assert "not a database" in caplog.text
    with alert.attended(Alerts(), tmp_path, "used_cars", "collection", lambda: NOON):
        pass


def test_send_names_only_what_failed(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    assert alert.send(Alert("a title", "a body"), []) == []
    with caplog.at_level(logging.DEBUG):
        (problem,) = alert.send(Alert("a title", "a body"), ["env:TEST_HOOK", "env:TEST_UNSET"])
    assert problem.startswith("env:TEST_UNSET") and hook.titles == ["a title"]


def test_the_command_lists_incidents_and_tests_addresses(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "home")
    assert project.run("alerts") == "no incident so far\n"
    monkeypatch.setenv("PERENNIAL_HOME", str(project.home))
    folder = project.home / "incidents"
    incident.report(folder, *TROUBLE, NOON)
    incident.report(folder, "load", "training", "run", "It failed.", NOON)
    incident.recover(folder, "load", "training", "run", after(hours=2))
    listed = _typed().stdout.splitlines()
    assert "open" in listed[0] and "used_cars" in listed[0] and TROUBLE[3] in listed[1]
    assert "closed" in listed[2] and "2 hours, 1 report" in listed[2]
    test = ("--test", "--config", "configs/synthetic.yaml", "--set")
    assert "took the test alert" in _typed(*test, "alerts.to=[env:TEST_HOOK]").stdout
    assert hook.titles == ["synthetic: test alert"] and lines(folder)[-1]["event"] == "test"
    with pytest.raises(PerennialError, match="TEST_UNSET"):
        _typed(*test, "alerts.to=[env:TEST_UNSET]")
    with pytest.raises(click.UsageError, match="--config"):
        _typed("--test")


def _typed(*arguments: str) -> Result:
    return CliRunner().invoke(alerts_command, arguments, catch_exceptions=False, standalone_mode=False)
