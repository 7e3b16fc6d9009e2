"""Where bundles and ledgers lie in the releases folder, and how a bundle is taken from there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.errors import BundleError, UnknownNameError
from perennial.live import ledger
from perennial.live.ledger import Entry, FolderStore

if TYPE_CHECKING:
    from perennial.evidence import BundleReference
    from perennial.live.bundle import Bundle

VERSION = re.compile(r"v[1-9]\d*")
GONE = "restore it from a copy, roll back, or promote another version"


def store(releases: Path, system: str) -> FolderStore:
    """Where the ledger of `system` is kept."""
    return FolderStore(releases / system / "ledger")


def history(releases: Path, system: str) -> tuple[Entry, ...]:
    """All entries of the ledger of `system`, verified; their number is the ledger's head."""
    return ledger.entries(store(releases, system))


def bundle_path(releases: Path, system: str, version: str) -> Path:
    """Where the bundle of a version lies."""
    return releases / system / "bundles" / version


def versions(releases: Path, system: str) -> list[str]:
    """The bundle versions of `system`, oldest first, released or not."""
    folder = releases / system / "bundles"
    found = [p.name for p in folder.iterdir() if VERSION.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(found, key=lambda version: int(version[1:]))


def newest_released(releases: Path, system: str) -> int:
    """The highest version number that the ledger of `system` names; 0 where it is empty."""
    return max((int(entry.facts.version[1:]) for entry in history(releases, system)), default=0)


def release_entry(past: Sequence[Entry], system: str, version: str) -> Entry:
    """The latest entry that released a version; raises UnknownNameError where it never was."""
    found = ledger.serving(past)
    for entry in reversed(found):
        if entry.facts.version == version:
            return entry
    raise UnknownNameError(f"released version of {system}", version, {e.facts.version for e in found})


def challenger(releases: Path, system: str, wanted: BundleReference | str, public_key: Path) -> Bundle:
    """The bundle to promote, opened and its golden rows replayed just now.

    Raises:
        UnknownNameError: there is no such version.
        BundleError: it is damaged, unsigned, not the bundle of that reference, or answers wrongly.
    """
    from perennial.live.bundle import open_bundle
    from perennial.live.load import load_predictor

    version = wanted if isinstance(wanted, str) else wanted.version
    known = versions(releases, system)
    if version not in known:
        raise UnknownNameError(f"bundle version of {system}", version, known)
    opened = open_bundle(bundle_path(releases, system, version), public_key)
    found = opened.manifest
    if (found.system, found.version) != (system, version):
        raise BundleError(
            opened.path,
            f"expected {system} {version}, found {found.system} {found.version}",
            "put the folder back under its own name",
        )
    if not isinstance(wanted, str) and wanted.digest != opened.digest:
        raise BundleError(opened.path, "it is not the bundle that was judged", "evaluate it again")
    load_predictor(opened)
    return opened


def released(releases: Path, entry: Entry, public_key: Path) -> Bundle:
    """The bundle that an entry released or put on trial, opened; raises BundleError where it is another by now."""
    from perennial.live.bundle import open_bundle

    facts = entry.facts
    path = bundle_path(releases, facts.system, facts.version)
    what = f"ledger entry {entry.number} {'released' if facts.kind in ledger.SERVING_KINDS else 'names'}"
    if not path.is_dir():
        raise BundleError(path, f"the bundle that {what} is gone", GONE)
    opened = open_bundle(path, public_key)
    if opened.digest != facts.bundle_digest:
        raise BundleError(
            opened.path,
            f"it is not the bundle that {what}",
            "restore the released one from a copy",
        )
    return opened
