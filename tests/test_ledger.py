"""The ledger: a chain that shows every change, and a number that only one writer gets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import LedgerError, StalePromotionError
from perennial.live import ledger
from perennial.live.ledger import Facts, FolderStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[1]


def facts(version: str, hours: float = 0, kind: str = "promotion", **changes: object) -> Facts:
    values = {
        "system": "demo",
        "kind": kind,
        "version": version,
        "bundle_digest": f"digest-{version}",
        "bundle_identity": f"identity-{version}",
        "from_version": None,
        "at": NOON + timedelta(hours=hours),
        "who": "tester@host",
        "reasons": ("better on the same rows", 'says "so"\u2028'),
        "evidence": {"accuracy_score": 0.1 + 0.2, "rows": 200, "nested": [None, True, {"é": "ü"}]},
    }
    return Facts(**{**values, **changes})  # type: ignore[arg-type]


def rollback(version: str, from_version: str, hours: float = 0) -> Facts:
    return facts(version, hours, "rollback", from_version=from_version, barred=(from_version,))


def filled(folder: Path, *all_facts: Facts) -> FolderStore:
    store = FolderStore(folder)
    for head, one in enumerate(all_facts):
        ledger.append(store, one, head)
    return store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return filled(tmp_path / "ledger", facts("v1"), facts("v2", 1), facts("v3", 2))


def test_what_was_appended_is_read_back_exactly(store: FolderStore) -> None:
    history = ledger.entries(store)
    assert [e.number for e in history] == [1, 2, 3]
    assert [e.facts for e in history] == [facts("v1"), facts("v2", 1), facts("v3", 2)]
    assert history[0].previous == ""


def test_digests_follow_the_files(store: FolderStore) -> None:
    """The chain recomputed with nothing but the files and the standard library."""
    from hashlib import sha256

    before = ""
    for path in sorted(store.folder.iterdir()):
        content = json.loads(path.read_text())
        assert content["previous"] == before
        sealed = {k: v for k, v in content.items() if k != "digest"}
        plain = json.dumps(sealed, sort_keys=True, separators=(",", ":")).encode()
        assert content["digest"] == sha256(plain).hexdigest()
        before = sha256(path.read_bytes()).hexdigest()


def test_an_empty_ledger_has_no_champion(tmp_path: Path) -> None:
    history = ledger.entries(FolderStore(tmp_path / "none"))
    assert history == ()
    assert ledger.champion(history) is None
    assert ledger.at(history, NOON) is None
    assert ledger.previous(history) is None


def test_a_time_in_another_zone_is_the_same_instant(tmp_path: Path) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    store = filled(tmp_path, facts("v1", at=local))
    assert json.loads((tmp_path / "000001.json").read_text())["at"] == NOON.isoformat()
    assert ledger.entries(store)[0].facts.at == NOON


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        facts("v1", at=datetime(2026, 3, 1))


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("byte", [0, 40, 200, -2, -1])
def test_a_flipped_byte_names_the_entry(store: FolderStore, number: int, byte: int) -> None:
    path = store.folder / f"{number:06d}.json"
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=rf"entry {path.name}"):
        ledger.entries(store)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_byte_can_be_changed_unseen(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = filled(tmp_path_factory.mktemp("ledger"), facts("v1"), facts("v2"))
    path = store.folder / data.draw(st.sampled_from(["000001.json", "000002.json"]))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    replacement = data.draw(st.binary(max_size=3).filter(lambda b: b != content[position : position + 1]))
    path.write_bytes(content[:position] + replacement + content[position + 1 :])
    with pytest.raises(LedgerError, match=path.name):
        ledger.entries(store)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\xff", b'{"format": 2}', b"[" * 100_000])
def test_what_is_no_entry_is_refused(store: FolderStore, content: bytes) -> None:
    (store.folder / "000002.json").write_bytes(content)
    with pytest.raises(LedgerError, match=r"000002\.json"):
        ledger.entries(store)


def test_a_missing_entry_is_named(store: FolderStore) -> None:
    (store.folder / "000002.json").unlink()
    with pytest.raises(LedgerError, match=r"000002\.json: expected to find it, found 000003\.json"):
        ledger.entries(store)


def test_a_rewritten_entry_breaks_the_chain_after_it(store: FolderStore, tmp_path: Path) -> None:
    """An entry forged with digests of its own is betrayed by the one that follows."""
    other = filled(tmp_path / "other", facts("v1"), facts("v9", 1))
    (store.folder / "000002.json").write_bytes(other.read("000002.json"))
    with pytest.raises(LedgerError, match=r"000003\.json.*does not follow"):
        ledger.entries(store)


def test_an_entry_of_another_system_is_refused(store: FolderStore) -> None:
    with pytest.raises(LedgerError, match="expected an entry for demo, found one for other"):
        ledger.append(store, facts("v4", system="other"), 3)


def test_nothing_is_appended_to_a_broken_ledger(store: FolderStore) -> None:
    (store.folder / "000001.json").write_text("{}")
    with pytest.raises(LedgerError):
        ledger.append(store, facts("v4"), 3)
    assert len(store.list()) == 3


@pytest.mark.parametrize("expected_head", [0, 2, 4])
def test_a_stale_head_loses(store: FolderStore, expected_head: int) -> None:
    with pytest.raises(StalePromotionError, match=f"at entry {expected_head}, found entry 3"):
        ledger.append(store, facts("v4"), expected_head)
    assert len(store.list()) == 3


class Interrupted(FolderStore):
    """A store where somebody else writes between the check and the creation."""

    def create_exclusive(self, name: str, data: bytes) -> None:
        ledger.append(FolderStore(self.folder), facts("v-other"), 3)
        super().create_exclusive(name, data)


def test_the_exclusive_creation_is_the_lock(store: FolderStore) -> None:
    with pytest.raises(StalePromotionError):
        ledger.append(Interrupted(store.folder), facts("v4"), 3)
    assert [e.facts.version for e in ledger.entries(store)] == ["v1", "v2", "v3", "v-other"]


def test_evidence_without_a_number_is_refused_before_anything_is_written(store: FolderStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ledger.append(store, facts("v4", evidence={"score": float("nan")}), 3)
    assert len(store.list()) == 3


def test_files_that_are_no_entries_are_left_alone(store: FolderStore) -> None:
    (store.folder / ".000004.json.abc").write_text("half")
    (store.folder / "README").write_text("hello")
    assert len(ledger.entries(store)) == 3


def test_who_served_when(store: FolderStore) -> None:
    history = ledger.entries(store)
    served = {
        -0.001: None,
        0: "v1",
        0.999: "v1",
        1: "v2",
        1.5: "v2",
        2: "v3",
        9999: "v3",
    }
    for hours, version in served.items():
        entry = ledger.at(history, NOON + timedelta(hours=hours))
        assert (entry and entry.facts.version) == version, hours


def test_a_clock_that_ran_ahead_does_not_hide_later_entries(tmp_path: Path) -> None:
    history = ledger.entries(filled(tmp_path, facts("v1", 9000), facts("v2", 1)))
    entry = ledger.at(history, NOON + timedelta(hours=2))
    assert entry is not None
    assert entry.facts.version == "v2"


def test_an_entry_of_another_kind_does_not_change_what_serves(store: FolderStore) -> None:
    ledger.append(store, facts("v4", 3, kind="share", evidence={"v4": 0.1}), 3)
    entry = ledger.champion(ledger.entries(store))
    assert entry is not None
    assert entry.facts.version == "v3"


@pytest.mark.parametrize(
    ("steps", "fallback"),
    [
        (["v1"], None),
        (["v1", "v2"], "v1"),
        (["v1", "v2", "v3"], "v2"),
        (["v1", "v2", "v2>v1"], None),
        (["v1", "v2", "v3", "v3>v2"], "v1"),
        (["v1", "v2", "v3", "v3>v1"], None),
        (["v1", "v2", "v3", "v3>v1", "v4"], "v1"),
        (["v1", "v2", "v3", "v3>v1", "v1>v3"], "v1"),
        (["v1", "v2", "v3", "v3>v2", "v2>v1", "v4"], "v1"),
    ],
)
def test_the_release_to_fall_back_to(tmp_path: Path, steps: list[str], fallback: str | None) -> None:
    made = [
        rollback(*reversed(step.split(">")), hours=hour) if ">" in step else facts(step, hour)
        for hour, step in enumerate(steps)
    ]
    entry = ledger.previous(ledger.entries(filled(tmp_path, *made)))
    assert (entry and entry.facts.version) == fallback


def test_a_version_rolled_back_from_is_barred_until_it_is_brought_back(tmp_path: Path) -> None:
    store = filled(tmp_path, facts("v1"), facts("v2", 1), rollback("v1", "v2", 2))
    assert ledger.barred(ledger.entries(store)) == {"v2"}
    ledger.append(store, facts("v3", 3), 3)
    assert ledger.barred(ledger.entries(store)) == {"v2"}
    ledger.append(store, rollback("v2", "v3", 4), 4)
    assert ledger.barred(ledger.entries(store)) == {"v3"}


WRITER = """
import sys, time
from datetime import datetime, timedelta, UTC
from pathlib import Path
from perennial.errors import PerennialError
from perennial.live import ledger
folder, who, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
count, head = int(sys.argv[4]), int(sys.argv[5])
store = ledger.FolderStore(folder)
time.sleep(max(0.0, start - time.time()))
try:
    for n in range(count):
        entry = ledger.append(store, ledger.Facts("demo", "promotion", f"v{head + n + 1}", "d", "i", None,
                                                  datetime(2026, 1, 1, tzinfo=UTC), who), head + n)
        print(entry.number, entry.digest, flush=True)
except PerennialError as error:
    print(type(error).__name__, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def writer(folder: Path, who: str, start: float = 0, count: int = 1, head: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), who, str(start), str(count), str(head)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_of_several_processes_at_once_exactly_one_wins(tmp_path: Path) -> None:
    for head in range(5):
        start = time.time() + 0.5
        writers = [writer(tmp_path, f"p{i}", start, head=head) for i in range(4)]
        ended = [(w.communicate(timeout=60), w.returncode) for w in writers]
        codes = sorted(code for _, code in ended)
        assert codes == [0, 1, 1, 1]
        assert all(err.strip() == "StalePromotionError" for (_, err), code in ended if code)
    assert len(ledger.entries(FolderStore(tmp_path))) == 5


def test_kill_nine_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for delay in (0.0, 0.002, 0.005, 0.011, 0.023, 0.05):
        folder = tmp_path / str(delay)
        process = writer(folder, "p", count=100_000)
        assert process.stdout is not None
        acknowledged = [process.stdout.readline()]
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += process.stdout.readlines()
        process.wait()
        whole = [line.split() for line in acknowledged if line.endswith("\n")]
        history = ledger.entries(FolderStore(folder))
        assert len(whole) >= 1
        assert len(history) in (len(whole), len(whole) + 1)
        assert [e.digest for e in history][: len(whole)] == [digest for _, digest in whole]
        ledger.append(FolderStore(folder), facts("v-next"), len(history))


def kept(version: str, hours: float = 0) -> Facts:
    return facts(version, hours, "kept", from_version="v1", evidence={"failed": ["champion"]})


def test_what_was_kept_changes_nothing_that_serves(tmp_path: Path) -> None:
    made = [facts("v1"), facts("v2", 1), rollback("v1", "v2", 2), facts("v3", 3)]
    plain = ledger.entries(filled(tmp_path / "plain", *made))
    mixed = [one for done in made for one in (done, kept("v2", 9), kept("v9", 9))]
    noted = ledger.entries(filled(tmp_path / "noted", *mixed))
    assert [e.facts for e in ledger.serving(noted)] == [e.facts for e in plain]
    for count in range(1, len(made) + 1):
        before, after = plain[:count], noted[: 3 * count]
        for ask in (ledger.champion, ledger.previous):
            a, b = ask(before), ask(after)
            assert (a and a.facts) == (b and b.facts)
        assert ledger.barred(before) == ledger.barred(after)
    assert ledger.at(noted, NOON + timedelta(hours=9.5)).facts.version == "v3"


def test_entries_that_change_nothing_do_not_make_a_promotion_stale(store: FolderStore) -> None:
    ledger.append(store, kept("v4"), 3)
    assert ledger.append_after(store, facts("v5"), 3).number == 5
    for head in (3, 4, 7):
        with pytest.raises(StalePromotionError, match=f"at entry {head}"):
            ledger.append_after(store, facts("v6"), head)
    assert len(store.list()) == 5


class Noted(FolderStore):
    """A store where somebody else's challenger is refused, or released, between the check and the creation."""

    kind = "kept"

    def create_exclusive(self, name: str, data: bytes) -> None:
        other = FolderStore(self.folder)
        if len(other.list()) == 3:
            ledger.append(other, facts("v-other", kind=self.kind), 3)
        super().create_exclusive(name, data)


def test_a_race_with_a_refusal_is_won(store: FolderStore) -> None:
    racing = Noted(store.folder)
    assert ledger.append_after(racing, facts("v4"), 3).number == 5
    assert [e.facts.version for e in ledger.entries(store)] == ["v1", "v2", "v3", "v-other", "v4"]


def test_a_race_with_a_release_is_lost(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noted, "kind", "promotion")
    with pytest.raises(StalePromotionError):
        ledger.append_after(Noted(store.folder), facts("v4"), 3)
    assert ledger.champion(ledger.entries(store)).facts.version == "v-other"
