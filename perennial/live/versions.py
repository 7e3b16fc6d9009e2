"""Every version of a system: what its bundle says of itself, and what the ledger says became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from perennial.errors import BundleError, UnknownNameError
from perennial.evidence import Comparison, Decision, Evaluation
from perennial.live import ledger, shelf
from perennial.live.bundle import Bundle, answers_alike, open_bundle
from perennial.live.ledger import Entry
from perennial.live.report.text import time_text

Fate = Literal["serving", "served", "kept", "same", "undecided"]
_NUMBERS = ("value", "low", "high", "difference", "p_value")


@dataclass(frozen=True)
class Version:
    """One version. Its model was not loaded, and not even read.

    `fate` is `serving`, `served` (was champion), `kept` (kept out), `same` (the model of a released version, so that
    there was nothing to decide) or `undecided`: its training goes on, or was cut short. `told` says that in words;
    `entries` are the ledger's entries that name it, `alike` the released versions that hold the same model.
    """

    bundle: Bundle
    fate: Fate
    told: str
    entries: tuple[Entry, ...]
    alike: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The version, such as v3."""
        return self.bundle.manifest.version

    @property
    def status(self) -> str:
        """What became of it in a few words: `told` without the reason."""
        return "kept out" if self.fate == "kept" else self.told

    @cached_property
    def evaluation(self) -> Evaluation:
        """How good it was on its own hold-out rows; NaN stands where a number could not be measured."""
        return evaluation_from(self.bundle.metrics["evaluation"])

    @property
    def holdout(self) -> str:
        """What is equal where two versions were measured on the same rows with the same truth.

        A bundle that does not name its hold-out rows is known by its dataset and the rows that it was fitted on.
        """
        manifest = self.bundle.manifest
        rows = manifest.files["fitted_rows.npy"]["sha256"]
        return str(self.bundle.metrics.get("holdout") or f"{manifest.dataset['fingerprint']}-{rows}")

    @property
    def settings(self) -> dict[str, Any] | None:
        """The config that it came from (see `perennial.live.settings`); None where the bundle does not hold it."""
        found = self.bundle.manifest.files
        return dict(json.loads(self.bundle.read("config.json"))) if "config.json" in found else None

    @property
    def judgement(self) -> dict[str, Any]:
        """The newest judgement on it in the ledger, as JSON values; empty where there is none."""
        found = [e.facts.evidence["judgement"] for e in self.entries if "judgement" in e.facts.evidence]
        return dict(found[-1]) if found else {}

    @property
    def decision(self) -> Decision | None:
        """What the rules said about it; None where there is no judgement."""
        return Decision.model_validate(self.judgement["decision"]) if self.judgement else None

    @property
    def against_champion(self) -> Comparison | None:
        """How it did against the champion of its day on rows that neither had seen; None where none was compared."""
        found = self.judgement.get("against_champion")
        return None if found is None else Comparison.model_validate(_with_nan(found))

    @property
    def model_bytes(self) -> int:
        """The size of the model file that serves, in bytes."""
        manifest = self.bundle.manifest
        return int(manifest.files[f"model.{manifest.backend}"]["size"])


@dataclass(frozen=True)
class Versions:
    """All versions of a system, oldest first, the ledger, and a sentence for each version that cannot be read."""

    system: str
    known: tuple[Version, ...]
    history: tuple[Entry, ...]
    problems: tuple[str, ...]

    @property
    def newest(self) -> Version | None:
        """The version that was built last; None where there is none."""
        return self.known[-1] if self.known else None


def read_versions(releases: Path, system: str, public_key: Path) -> Versions:
    """All versions of `system` in the releases folder.

    A bundle that is damaged or gone is told among the problems, and hides no other.

    Raises:
        UnknownNameError: the folder holds no such system.
        LedgerError: the ledger is broken.
    """
    systems = _systems(releases)
    if system not in systems:
        raise UnknownNameError("system with a bundle", system, systems)
    past = shelf.history(releases, system)
    bundles, problems = [], []
    names = shelf.versions(releases, system)
    for name in names:
        try:
            bundles.append(_looked_at(releases, system, name, public_key))
        except BundleError as error:
            problems.append(str(error))
    gone = sorted({e.facts.version for e in past} - set(names), key=lambda name: int(name[1:]))
    problems.extend(f"the ledger names {name}, whose bundle is gone" for name in gone)
    released = {e.facts.version for e in ledger.serving(past)}
    champions = [b for b in bundles if b.manifest.version in released]
    known = (_version(bundle, past, champions) for bundle in bundles)
    return Versions(system, tuple(known), past, tuple(problems))


def newest_version(releases: Path, system: str, public_key: Path) -> Version | None:
    """The version that was built last; None where there is none.

    Raises:
        BundleError: it is damaged, or not signed.
        LedgerError: the ledger is broken.
    """
    names = shelf.versions(releases, system)
    if not names:
        return None
    _looked_at(releases, system, names[-1], public_key)
    return read_versions(releases, system, public_key).newest


def evaluation_from(values: Mapping[str, Any]) -> Evaluation:
    """The evaluation that was written as JSON, where NaN had become null."""
    metrics = [_with_nan(metric) for metric in values["metrics"]]
    baselines = {name: [_with_nan(metric) for metric in found] for name, found in values["baselines"].items()}
    against = [_with_nan(comparison) for comparison in values["against_baselines"]]
    told = {**values, "metrics": metrics, "baselines": baselines, "against_baselines": against}
    return Evaluation.model_validate(told)


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if key in _NUMBERS and value is None else value for key, value in values.items()}


def _systems(releases: Path) -> list[str]:
    found = releases.iterdir() if releases.is_dir() else ()
    return sorted(path.name for path in found if (path / "bundles").is_dir())


def _looked_at(releases: Path, system: str, name: str, public_key: Path) -> Bundle:
    """The bundle of a version, of which signature and metrics were read; raises BundleError."""
    found = open_bundle(shelf.bundle_path(releases, system, name), public_key, whole=False)
    found.read("metrics.json")
    return found


def _version(bundle: Bundle, past: Sequence[Entry], champions: Sequence[Bundle]) -> Version:
    name = bundle.manifest.version
    own = tuple(entry for entry in past if entry.facts.version == name)
    alike = tuple(c.manifest.version for c in champions if c is not bundle and answers_alike(c, bundle))
    return Version(bundle, *_fate(name, past, own, alike), own, alike)


def _fate(name: str, past: Sequence[Entry], own: Sequence[Entry], alike: Sequence[str]) -> tuple[Fate, str]:
    """What became of a version, as one word and as a sentence."""
    champion, serving = ledger.champion(past), ledger.serving(past)
    if champion is not None and champion.facts.version == name:
        return "serving", f"serves since {time_text(champion.facts.at)}"
    if mine := ledger.serving(own):
        after = next(e for e in serving if e.number > mine[-1].number)
        how = "rolled back at" if name in ledger.barred(past) else "served until"
        return "served", f"{how} {time_text(after.facts.at)}"
    if own:
        first = next(iter(own[-1].facts.reasons), "no reason was written down")
        return "kept", f"kept out: {first}"
    if alike:
        return "same", f"the same model as {alike[-1]}"
    return "undecided", "no decision: its training goes on, or was cut short"
