"""What serves, a row per system: read off ledgers and folder names, so that it answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from perennial.errors import LedgerError
from perennial.live import ledger, shelf
from perennial.live.ledger import Entry


@dataclass(frozen=True)
class Status:
    """What serves for one system.

    `entries` is the number of the entry that says so, or of all where nothing serves. `waiting` is the newest
    bundle version, where it was never released, and `refused` says since when and why not, where that was decided;
    `problem` says why the ledger cannot be read, or that the champion's bundle is gone ("" where all is well).
    """

    system: str
    version: str | None
    since: datetime | None
    who: str | None
    entries: int
    waiting: str | None
    problem: str = ""
    refused: str = ""

    @property
    def sentence(self) -> str:
        """The row for people."""
        if self.problem:
            return self.problem
        waiting = f"; {self.waiting} is packaged, {self.refused or 'not released'}" if self.waiting else ""
        if self.version is None or self.since is None:
            return f"nothing released{waiting}"
        serves = f"{self.version} serves since {self.since:%Y-%m-%d %H:%M} UTC, by {self.who}"
        return f"{serves}, ledger entry {self.entries}{waiting}"


def status(releases: Path) -> list[Status]:
    """What serves, a row per system, sorted by name; a broken ledger is told in its row."""
    folders = sorted(p for p in releases.iterdir() if p.is_dir()) if releases.is_dir() else []
    return [
        _status(releases, folder.name)
        for folder in folders
        if (folder / "ledger").is_dir() or (folder / "bundles").is_dir()
    ]


def _status(releases: Path, system: str) -> Status:
    try:
        past = shelf.history(releases, system)
    except LedgerError as error:
        return Status(system, None, None, None, 0, None, str(error))
    released = {e.facts.version for e in ledger.serving(past)}
    known = shelf.versions(releases, system)
    waiting = next((v for v in known[-1:] if v not in released), None)
    refused = _refused(past, waiting)
    entry = ledger.champion(past)
    if entry is None:
        return Status(system, None, None, None, len(past), waiting, refused=refused)
    facts = entry.facts
    if facts.version not in known:
        gone = f"the bundle of the champion {facts.version} is gone; {shelf.GONE}"
        return Status(system, None, None, None, len(past), waiting, gone)
    return Status(system, facts.version, facts.at, facts.who, entry.number, waiting, refused=refused)


def _refused(past: tuple[Entry, ...], waiting: str | None) -> str:
    """When the waiting version was last refused and by which rules; "" where it was not."""
    for entry in reversed(past):
        if entry.facts.kind == ledger.KEPT and entry.facts.version == waiting:
            rules = ", ".join(str(rule) for rule in entry.facts.evidence.get("failed", ()))
            return f"refused at {entry.facts.at:%Y-%m-%d %H:%M} UTC ({rules})"
    return ""
