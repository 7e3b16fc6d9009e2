"""From a source to a slot: the ledger's new entries, then the champion's bundle, checked before it counts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bento.edge.slots import Device, State
from bento.edge.source import Source, read_whole
from perennial.errors import BundleError, FetchError, LedgerError, PerennialError
from perennial.live import ledger, sign
from perennial.live.bundle import MANIFEST, SIGNATURE, open_bundle
from perennial.live.files import digest, sync_folder
from perennial.live.ledger import Entry, FolderStore
from perennial.live.shelf import VERSION

ENTRY_BYTES, MANIFEST_BYTES, SIGNATURE_BYTES = 4 * 2**20, 2**20, 4096
MAX_ENTRIES = 100_000
SPARE_BYTES = 8 * 2**20
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class PullError(PerennialError):
    """A release that is not taken; `outcome` is the one word for why."""

    def __init__(self, outcome: str, sentence: str) -> None:
        self.outcome = outcome
        super().__init__(sentence)


class _Entries(dict[str, bytes]):
    """Ledger entries in memory, by name."""

    def list(self) -> list[str]:
        return [*self]

    def read(self, name: str) -> bytes:
        return self[name]

    def create_exclusive(self, name: str, data: bytes) -> None:
        if name in self:
            raise FileExistsError(name)
        self[name] = data


def follow_ledger(source: Source, device: Device) -> tuple[Entry, ...]:
    """All entries of the ledger; the new ones are kept, each only after the whole chain was checked.

    What a device has once accepted is the beginning of every ledger that it accepts later: its head is a counter
    that only grows, and an older or another history is refused.

    Raises:
        PullError: `ledger` where the source's ledger is shorter, another, or broken; `unreachable`.
    """
    store = FolderStore(device.ledger)
    known = _Entries({name: store.read(name) for name in store.list()})
    found = _Entries(known)
    try:
        if known and _entry(source, device.system, len(known)) != known[f"{len(known):06d}.json"]:
            raise PullError(
                "ledger",
                f"ledger of {device.system}: expected entry {len(known)} as this device knows it, found another or "
                "none; restore the source's ledger",
            )
        while (content := _entry(source, device.system, len(found) + 1)) is not None:
            _check_follows(content, found, device.system)
            found[f"{len(found) + 1:06d}.json"] = content
        chain = ledger.entries(found)
    except LedgerError as error:
        raise PullError("ledger", str(error)) from error
    except FetchError as error:
        raise PullError("unreachable", str(error)) from error
    if chain and chain[0].facts.system != device.system:
        raise PullError(
            "ledger", f"expected the ledger of {device.system}, found that of {chain[0].facts.system}"
        )
    for name in list(found)[len(known) :]:
        store.create_exclusive(name, found[name])
    return chain


def check_order(chain: Sequence[Entry], entry: Entry, state: State) -> None:
    """Returns if the champion may be taken: newer than all that this device took, or rolled back to on purpose.

    Raises PullError `downgrade`.
    """
    facts = entry.facts
    if not VERSION.fullmatch(facts.version):
        raise PullError(
            "ledger", f"{facts.system}: expected a version such as v3, found {facts.version[:40]!r}"
        )
    sequence = int(facts.version[1:])
    if facts.kind == "promotion" and sequence < state.highest:
        raise PullError(
            "downgrade",
            f"{facts.system}: expected a promotion of v{state.highest} or newer, found one of {facts.version}; roll "
            "back to it instead, or build it again",
        )
    before = {(e.facts.version, e.facts.bundle_digest) for e in ledger.serving(chain[: entry.number - 1])}
    if facts.kind == "rollback" and (facts.version, facts.bundle_digest) not in before:
        raise PullError(
            "downgrade",
            f"{facts.system}: expected a rollback to a release of this ledger, found one to {facts.version}, which "
            "was none; promote it instead",
        )


def fetch_bundle(source: Source, device: Device, entry: Entry, slot: str) -> None:
    """Puts the entry's bundle into a slot, whole or not at all.

    Files that were fetched before an interruption are not fetched again.

    Raises:
        PullError: `unreachable`, `corrupt`, `unsigned`, `incompatible` or `disk`.
    """
    folder, arriving = f"{device.system}/bundles/{entry.facts.version}", device.arriving(slot)
    subject = f"{device.system} {entry.facts.version}"
    try:
        content = read_whole(source, f"{folder}/{MANIFEST}", MANIFEST_BYTES)
        signature = read_whole(source, f"{folder}/{SIGNATURE}", SIGNATURE_BYTES)
        files = _signed_files(device, entry, content, signature)
        arriving.mkdir(parents=True, exist_ok=True)
        _make_room(device, arriving, files, subject)
        for name, facts in sorted(files.items()):
            _fetch_file(source, f"{folder}/{name}", arriving / name, facts)
        for name, data in ((MANIFEST, content), (SIGNATURE, signature)):
            _write(arriving / name, data)
        _put_in_place(device, slot, subject)
    except FetchError as error:
        raise PullError("unreachable", str(error)) from error
    except FileNotFoundError as error:
        raise PullError(
            "unreachable", f"{folder}: expected {error.filename or error}, found none; it may be on its way"
        ) from error
    except OSError as error:
        raise PullError(
            "disk", f"{arriving}: {error.strerror or error}; free space or mend the disk"
        ) from error


def _entry(source: Source, system: str, number: int) -> bytes | None:
    try:
        return read_whole(source, f"{system}/ledger/{number:06d}.json", ENTRY_BYTES)
    except FileNotFoundError:
        return None


def _check_follows(content: bytes, found: _Entries, system: str) -> None:
    """Stops at the first answer that is no next entry: there may be no end to what else a server says."""
    before = found.get(f"{len(found):06d}.json")
    expected = hashlib.sha256(before).hexdigest() if before is not None else ""
    try:
        follows = json.loads(content)["previous"] == expected
    except (ValueError, KeyError, TypeError):
        follows = False
    if not follows or len(found) == MAX_ENTRIES:
        raise PullError(
            "ledger",
            f"ledger of {system}: expected entry {len(found) + 1} to follow the one before it, found something else; "
            "mend the source, or the network that answers in its place",
        )


def _signed_files(
    device: Device, entry: Entry, content: bytes, signature: bytes
) -> Mapping[str, Mapping[str, Any]]:
    """The files of a manifest that is the released one and signed with the pinned key."""
    subject = f"{device.system} {entry.facts.version}"
    if hashlib.sha256(content).hexdigest() != entry.facts.bundle_digest:
        raise PullError("corrupt", f"{subject}: expected the manifest that the ledger names, found another")
    try:
        sign.verify(device.public_key, content, signature, subject)
    except BundleError as error:
        raise PullError("unsigned", str(error)) from error
    try:
        manifest = json.loads(content)
        told = (manifest["system"], manifest["version"], f"v{manifest['sequence']}")
        files: dict[str, dict[str, Any]] = manifest["files"]
        odd = [name for name in files if not PLAIN.fullmatch(name) or name.endswith(".part")]
        sizes = [int(facts["size"]) + len(facts["sha256"]) for facts in files.values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PullError("incompatible", f"{subject}: its manifest is of another format") from error
    version = entry.facts.version
    if told != (device.system, version, version):
        raise PullError("corrupt", f"expected the manifest of {subject}, found that of {' '.join(told)}")
    if odd or not sizes:
        raise PullError("incompatible", f"{subject}: expected files with plain names, found {odd[:1]}")
    return files


def _make_room(device: Device, arriving: Path, files: Mapping[str, Mapping[str, Any]], subject: str) -> None:
    """Removes what is left of another bundle; raises PullError where the disk is too full."""
    for path in arriving.iterdir():
        if path.name not in files:
            path.unlink()
    needed = sum(facts["size"] for name, facts in files.items() if not (arriving / name).exists())
    free = shutil.disk_usage(device.root).free
    if needed + SPARE_BYTES > free:
        raise PullError(
            "disk",
            f"{subject}: expected {needed + SPARE_BYTES:,} bytes free in {device.root}, found {free:,}; free some",
        )


def _fetch_file(source: Source, name: str, path: Path, facts: Mapping[str, Any]) -> None:
    if path.exists() and digest(path) == facts["sha256"]:
        return
    part = path.with_name(f"{path.name}.part")
    found, size = hashlib.sha256(), 0
    with part.open("wb") as file:
        for chunk in source.chunks(name):
            size += len(chunk)
            if size > facts["size"]:
                break
            found.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if size != facts["size"] or found.hexdigest() != facts["sha256"]:
        part.unlink()
        raise PullError("corrupt", f"{name}: expected the content that the manifest names, found another")
    part.replace(path)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _put_in_place(device: Device, slot: str, subject: str) -> None:
    """Makes the folder that was put together the slot, which nothing answers from."""
    arriving, target = device.arriving(slot), device.slot(slot)
    sync_folder(arriving)
    try:
        open_bundle(arriving, device.public_key)
    except BundleError as error:
        raise PullError("incompatible", f"{subject}: {error}") from error
    if target.exists():
        shutil.rmtree(target)
    arriving.rename(target)
    sync_folder(device.root)
