"""What a device keeps on its disk: two slots for bundles, a copy of the ledger, and which slot answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from perennial.errors import BundleError
from perennial.live.bundle import Bundle, open_bundle
from perennial.live.files import canonical, write_atomic

FORMAT = 1
NAMES = ("a", "b")


@dataclass(frozen=True)
class Trial:
    """A release on probation.

    Attributes:
        slot: where it lies.
        digest: the digest of its manifest.
        version: its version ("v3").
        answered: predictions that it has made without an error.
        strikes: how often the process died while the model was at work.
        busy: whether the model is at work now; found after a start, it means that the process died of it.
    """

    slot: str
    digest: str
    version: str
    answered: int = 0
    strikes: int = 0
    busy: bool = False


@dataclass(frozen=True)
class Refusal:
    """A release that failed here: why, and with which libraries; with others it may be tried again."""

    version: str
    why: str
    runtime: str


@dataclass(frozen=True)
class State:
    """Which slot answers.

    Attributes:
        slot: the slot of the confirmed release; "" where there is none yet.
        trial: the release on probation.
        highest: the highest sequence number that was ever taken from the ledger.
        refused: by digest, the releases that failed here.
        returns: how often a release on trial was given up.
        contact: when the source last told what serves, in seconds since 1970; None for never.
        before: the digest of the release that was confirmed before the one that is; "" for none.
    """

    slot: str = ""
    trial: Trial | None = None
    highest: int = 0
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    returns: int = 0
    contact: float | None = None
    before: str = ""


@dataclass(frozen=True)
class Device:
    """The folder of one system on a device; paths, and what is read from them."""

    root: Path
    system: str
    public_key: Path

    @property
    def ledger(self) -> Path:
        """The entries of the ledger that this device has accepted."""
        return self.root / "ledger"

    def slot(self, name: str) -> Path:
        """The folder of slot `a` or `b`: a whole bundle, or nothing."""
        return self.root / name

    def arriving(self, name: str) -> Path:
        """The folder in which the next bundle of a slot is put together."""
        return self.root / f"{name}.part"

    def bundle(self, name: str) -> Bundle:
        """The bundle in a slot, its signature and digests checked; raises BundleError."""
        opened = open_bundle(self.slot(name), self.public_key)
        if opened.manifest.system != self.system:
            raise BundleError(
                opened.path, f"expected {self.system}, found {opened.manifest.system}", "empty the slot"
            )
        return opened

    def holds(self, name: str, digest: str) -> bool:
        """Whether a slot holds the bundle with this digest, whole."""
        try:
            return self.bundle(name).digest == digest
        except BundleError:
            return False

    def save(self, state: State) -> None:
        """Makes `state` what counts, durably and at once."""
        write_atomic(self.root / "state.json", canonical({"format": FORMAT, **asdict(state)}))

    def load(self) -> State:
        """What counted last. Where it cannot be read, the newest whole slot counts."""
        path = self.root / "state.json"
        if not path.exists():
            return self.recovered()
        try:
            return _state(json.loads(path.read_bytes()))
        except (ValueError, KeyError, TypeError):
            return self.recovered()

    def recovered(self, damaged: str = "", state: State | None = None) -> State:
        """The state in which the newest whole slot counts, but for the damaged one and a release that failed here."""
        state = state or State()
        found: dict[str, int] = {}
        for name in NAMES:
            try:
                opened = self.bundle(name)
            except BundleError:
                continue
            if name != damaged and opened.digest not in state.refused:
                found[name] = opened.manifest.sequence
        slot = max(found, key=lambda name: found[name], default="")
        return replace(state, slot=slot, trial=None, highest=max(state.highest, *found.values(), 0))


def other(slot: str) -> str:
    """The slot that is free while `slot` answers."""
    return NAMES[1] if slot == NAMES[0] else NAMES[0]


def runtime() -> str:
    """The libraries that run a model here."""
    return f"numpy {version('numpy')}, onnxruntime {version('onnxruntime')}"


def _state(saved: dict[str, Any]) -> State:
    if saved.pop("format") != FORMAT:
        raise ValueError("another format")
    trial = Trial(**saved.pop("trial")) if saved["trial"] else saved.pop("trial")
    refused = {digest: Refusal(**facts) for digest, facts in saved.pop("refused").items()}
    state = State(trial=trial, refused=refused, **saved)
    if state.slot not in ("", *NAMES):
        raise ValueError(f"slot {state.slot!r}")
    return state
