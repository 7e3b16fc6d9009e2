"""Incidents and alerts, against a real SMTP server, a real webhook, and processes that are really killed."""

from __future__ import annotations

import http.server
import json
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import click
import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.alerts import cli as alerts_command
from perennial.config import Alerts
from perennial.errors import BundleError, CheckError, CollectionError, PerennialError, SourceError
from perennial.live import alert, incident
from perennial.live.alert import Alert
from tests.project import ROOT, Project

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "T0K3N-that-nobody-may-see"
FORK = multiprocessing.get_context("fork")
TROUBLE = ("used_cars", "collection", "contract", "cars.price: `css: .prix` < found & nothing")


def after(**span: float) -> datetime:
    return NOON + timedelta(**span)


@dataclass
class Hook:
    """A webhook on localhost that keeps what it got; `status` is its answer, `on_message` runs before it."""

    port: int = 0
    status: int = 200
    got: list[dict[str, Any]] = field(default_factory=list)
    on_message: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.got]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    found = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == f"/{SECRET}"
            found.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            found.on_message()
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("TEST_HOOK", found.url)
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An address in TEST_SILENT whose host takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv(
            "TEST_SILENT", f"json://127.0.0.1:{server.getsockname()[1]}/{SECRET}?rto=60&cto=60"
        )
        yield


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The mails that an SMTP server at the address in TEST_MAIL got."""
    got: list[Any] = []

    class Inbox:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            got.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    controller = Controller(Inbox(), hostname="127.0.0.1", port=port)
    controller.start()
    monkeypatch.setenv(
        "TEST_MAIL", f"mailto://127.0.0.1:{port}/?from=loop@cars.example&to=team@cars.example&mode=insecure"
    )
    yield got
    controller.stop()


def to(*names: str) -> Alerts:
    return Alerts(to=tuple(f"env:{name}" for name in names))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / alert.LINES).read_text().splitlines()]


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


def _killed(work: Callable[[Path], None], folder: Path) -> None:
    """Runs `work` in a process that has to die of SIGKILL."""
    process = FORK.Process(target=work, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _dies_before_sending(folder: Path) -> None:
    incident.report(folder, *TROUBLE, NOON)
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_alert_that_a_killed_run_did_not_send_is_sent_by_the_next(tmp_path: Path, hook: Hook) -> None:
    _killed(_dies_before_sending, tmp_path)
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
    _killed(_tells, tmp_path)
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
    _killed(work, tmp_path)
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
