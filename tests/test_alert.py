"""Alerts, against a real SMTP server, a real webhook, and processes that are really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perennial.config import Alerts
from perennial.live import alert, incident
from tests.alerted import FORK, NOON, SECRET, TROUBLE, Hook, after, hook, killed, lines, mails, silent, to
from tests.project import ROOT

__all__ = ("hook", "mails", "silent")


def test_many_reports_are_one_message_and_the_recovery_another(
    tmp_path: Path, hook: Hook, mails: list[Any]
) -> None:
    told = to("TEST_HOOK", "TEST_MAIL")
    opened = [incident.report(tmp_path, *TROUBLE, after(hours=n)) for n in range(3)]
    assert [one is not None for one in opened] == [True, False, False]
    for hour in range(3, 6):
        assert alert.tell(told, tmp_path, "used_cars", after(hours=hour)) == []
        incident.report(tmp_path, *TROUBLE, after(hours=hour))
    assert hook.titles == ["used_cars: collection breached its contract"]
    body = hook.got[0]["message"]
    assert "cars.price: `css: .prix` < found & nothing" in body and "Since 2026-03-01 12:00 UTC." in body
    assert "training waits" in body and hook.got[0]["type"] == "failure"

    ended = incident.recover(tmp_path, *TROUBLE[:3], after(hours=30))
    assert ended is not None and ended.count == 6
    assert incident.recover(tmp_path, *TROUBLE[:3], after(hours=30)) is None
    for hour in (31, 32):
        assert alert.tell(told, tmp_path, "used_cars", after(hours=hour)) == []
    assert hook.titles[1:] == ["used_cars: recovered: collection keeps its contract again"]
    assert "1 day 6 hours" in hook.got[1]["message"] and "6 reports" in hook.got[1]["message"]
    assert hook.got[1]["type"] == "success"

    assert [mail["subject"] for mail in mails] == hook.titles
    assert mails[0]["to"] == "team@cars.example" and mails[0]["from"] == "loop@cars.example"
    plain = mails[0].get_body(("html", "plain")).get_content()
    assert "&lt; found &amp; nothing" in plain or "< found & nothing" in plain
    assert [line["event"] for line in lines(tmp_path)] == ["opened", "closed"]
    assert lines(tmp_path)[0]["to"] == ["env:TEST_HOOK", "env:TEST_MAIL"]


def test_the_same_trouble_later_is_a_new_incident(tmp_path: Path) -> None:
    for start in (0, 10):
        incident.report(tmp_path, *TROUBLE, after(hours=start))
        alert.tell(Alerts(), tmp_path, "used_cars", after(hours=start))
        incident.recover(tmp_path, *TROUBLE[:3], after(hours=start + 1))
        alert.tell(Alerts(), tmp_path, "used_cars", after(hours=start + 1))
    told = [(line["incident"], line["event"]) for line in lines(tmp_path)]
    assert told == [(1, "opened"), (1, "closed"), (2, "opened"), (2, "closed")]


def _report_and_tell(barrier: Any, results: Any, folder: Path) -> None:
    barrier.wait()
    opened = incident.report(folder, *TROUBLE, NOON)
    results.put((opened is not None, alert.tell(to("TEST_HOOK"), folder, "used_cars", NOON)))


def _recover_and_tell(barrier: Any, results: Any, folder: Path) -> None:
    barrier.wait()
    closed = incident.recover(folder, *TROUBLE[:3], after(hours=1))
    results.put((closed is not None, alert.tell(to("TEST_HOOK"), folder, "used_cars", after(hours=1))))


def test_processes_that_report_at_once_alert_once(tmp_path: Path, hook: Hook) -> None:
    for n, work in enumerate((_report_and_tell, _recover_and_tell), 1):
        barrier, results = FORK.Barrier(3), FORK.Queue()
        processes = [FORK.Process(target=work, args=(barrier, results, tmp_path)) for _ in range(3)]
        for process in processes:
            process.start()
        found = [results.get(timeout=60) for _ in processes]
        assert sorted(first for first, _ in found) == [False, False, True]
        assert [problems for _, problems in found] == [[], [], []]
        assert len(hook.got) == len(lines(tmp_path)) == n
    assert incident.incidents(tmp_path)[0].count == 3


def _dies_before_sending(folder: Path) -> None:
    incident.report(folder, *TROUBLE, NOON)
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_alert_that_a_killed_run_did_not_send_is_sent_by_the_next(tmp_path: Path, hook: Hook) -> None:
    killed(_dies_before_sending, tmp_path)
    assert hook.got == []
    for minute in range(3):
        incident.report(tmp_path, *TROUBLE, after(minutes=minute))
        assert alert.tell(to("TEST_HOOK"), tmp_path, "used_cars", after(minutes=minute)) == []
    assert hook.titles == ["used_cars: collection breached its contract"]


def _tells(folder: Path) -> None:
    (folder / "pid").write_text(str(os.getpid()))
    alert.tell(to("TEST_HOOK"), folder, "used_cars", NOON)


def test_a_kill_between_delivery_and_its_tick_sends_again_and_never_not_at_all(
    tmp_path: Path, hook: Hook
) -> None:
    incident.report(tmp_path, *TROUBLE, NOON)

    def kill_the_teller() -> None:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    hook.on_message = kill_the_teller
    killed(_tells, tmp_path)
    hook.on_message = lambda: None
    for minute in range(3):
        assert alert.tell(to("TEST_HOOK"), tmp_path, "used_cars", after(minutes=minute)) == []
    assert len(hook.got) == 2 and hook.got[0]["message"] == hook.got[1]["message"]


def test_a_dead_address_breaks_nothing_and_is_tried_again_later(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 403
    monkeypatch.setenv("TEST_ODD", f"nonsense://{SECRET}")
    told = to("TEST_HOOK", "TEST_ODD", "TEST_UNSET")
    incident.report(tmp_path, *TROUBLE, NOON)
    refused, odd, unset = alert.tell(told, tmp_path, "used_cars", NOON)
    assert refused.startswith("env:TEST_HOOK") and "HTTP status 403" in refused
    assert odd.startswith("env:TEST_ODD") and "Apprise" in odd
    assert unset.startswith("env:TEST_UNSET") and "TEST_UNSET" in unset
    assert "ALERT used_cars: collection breached its contract" in caplog.text
    assert incident.untold(tmp_path) == {1: list(told.to)}

    hook.status, seen = 200, len(hook.got)
    assert alert.tell(told, tmp_path, "used_cars", after(seconds=alert.RETRY_S - 1)) == []
    assert len(hook.got) == seen
    monkeypatch.delenv("TEST_ODD")
    assert len(alert.tell(told, tmp_path, "used_cars", after(seconds=alert.RETRY_S))) == 2
    assert len(alert.tell(told, tmp_path, "used_cars", after(hours=9))) == 2
    assert len(hook.got) == seen + 1 and len(lines(tmp_path)) == 1
    assert incident.untold(tmp_path) == {1: ["env:TEST_ODD", "env:TEST_UNSET"]}


def test_a_teller_that_hangs_does_not_hang_the_others(tmp_path: Path) -> None:
    import fcntl

    incident.report(tmp_path, *TROUBLE, NOON)
    with (tmp_path / "telling.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (problem,) = alert.tell(Alerts(), tmp_path, "used_cars", NOON, within_s=-4.8)
    assert "another process" in problem and not (tmp_path / alert.LINES).exists()
    assert alert.tell(Alerts(), tmp_path, "used_cars", NOON) == [] and len(lines(tmp_path)) == 1


LOUD = """
import logging, sys
from datetime import UTC, datetime
from pathlib import Path
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from perennial.config import Alerts
from perennial.live import alert, incident
folder, now = Path(sys.argv[1]), datetime(2026, 3, 1, 12, tzinfo=UTC)
incident.report(folder, "used_cars", "collection", "contract", "No.", now)
names = ("TEST_HOOK", "TEST_SILENT", "TEST_ODD", "TEST_DEAD", "TEST_PASSWORD")
told = Alerts(to=tuple(f"env:{name}" for name in names))
for problem in alert.tell(told, folder, "used_cars", now, within_s=4.0):
    print("problem", problem)
"""


@pytest.mark.usefixtures("silent")
def test_dead_addresses_end_in_time_and_appear_in_no_log_error_file_or_process_list(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.status = 500
    commands: list[str] = []
    hook.on_message = lambda: commands.extend(map(_command_line, Path("/proc").glob("[0-9]*/cmdline")))
    monkeypatch.setenv("TEST_ODD", f"nonsense://{SECRET}")
    monkeypatch.setenv("TEST_DEAD", f"slack://{SECRET}/{SECRET}/{SECRET}/#alerts")
    monkeypatch.setenv("TEST_PASSWORD", f"mailtos://me:{SECRET}@127.0.0.1:1/?from=a@b.example")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", LOUD, str(tmp_path / "incidents")],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert len(problems) == 5 and "HTTP status 500" in problems[0]
    assert problems[1] == (
        "problem env:TEST_SILENT: expected an answer within 4 s, found none; see whether its host is up"
    )
    assert SECRET not in done.stdout
    assert any("deliver.py" in line for line in commands)
    assert not any(SECRET in line for line in commands)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"incidents.db", alert.LINES} <= {path.name for path in kept}
    assert not any(SECRET.encode() in path.read_bytes() for path in kept)


def _command_line(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_without_an_address_the_file_and_the_terminal_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    incident.report(tmp_path, *TROUBLE, NOON)
    for _ in range(3):
        assert alert.tell(Alerts(), tmp_path, "used_cars", NOON) == []
    assert caplog.text.count("ALERT used_cars: collection breached its contract") == 1
    (line,) = lines(tmp_path)
    assert line["title"] == "used_cars: collection breached its contract" and line["incident"] == 1


def test_a_torn_last_line_costs_no_later_one(tmp_path: Path) -> None:
    incident.report(tmp_path, *TROUBLE, NOON)
    alert.tell(Alerts(), tmp_path, "used_cars", NOON)
    path = tmp_path / alert.LINES
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    incident.recover(tmp_path, *TROUBLE[:3], NOON)
    alert.tell(Alerts(), tmp_path, "used_cars", NOON)
    first, torn, last = path.read_text().splitlines()
    assert json.loads(first)["event"] == "opened" and json.loads(last)["event"] == "closed"
    with pytest.raises(ValueError):
        json.loads(torn)


def test_a_recovery_takes_the_place_of_an_alert_that_never_left(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_HOOK")
    incident.report(tmp_path, *TROUBLE, NOON)
    assert len(alert.tell(to("TEST_HOOK"), tmp_path, "used_cars", NOON)) == 1
    incident.recover(tmp_path, *TROUBLE[:3], after(hours=1))
    monkeypatch.setenv("TEST_HOOK", hook.url)
    alert.tell(to("TEST_HOOK"), tmp_path, "used_cars", after(hours=1))
    assert hook.titles == ["used_cars: recovered: collection keeps its contract again"]


def test_nobody_is_told_of_the_past_or_of_other_systems(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident.report(tmp_path, *TROUBLE, NOON)
    alert.tell(Alerts(), tmp_path, "used_cars", NOON)
    incident.recover(tmp_path, *TROUBLE[:3], NOON)
    alert.tell(Alerts(), tmp_path, "used_cars", NOON)
    incident.report(tmp_path, "load", "training", "run", "No.", NOON)
    assert len(alert.tell(to("TEST_LATE"), tmp_path, "load", NOON)) == 1
    monkeypatch.setenv("TEST_LATE", hook.url)
    assert alert.tell(to("TEST_LATE"), tmp_path, "used_cars", after(hours=1)) == [] and hook.got == []
    assert alert.tell(to("TEST_LATE"), tmp_path, "load", after(hours=1)) == []
    assert hook.titles == ["load: training failed"]


def test_a_long_sentence_fits_into_one_message(tmp_path: Path) -> None:
    one = incident.report(tmp_path, *TROUBLE[:3], "x" * 50_000, NOON)
    assert one is not None and max(len(alert.opened(one).body), len(alert.recovered(one).body)) < 2000
