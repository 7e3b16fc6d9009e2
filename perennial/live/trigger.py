"""Whether a training is due: only where the data moved since the last one, or the last one came to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from perennial.errors import BundleError
from perennial.evidence import DatasetReference
from perennial.live.report.text import count_text, shortened, time_text
from perennial.live.settings import changes
from perennial.live.versions import Version, newest_version

MOST_KEYS = 5


@dataclass(frozen=True)
class Verdict:
    """Whether a training is due, and one sentence that says why or why not."""

    due: bool
    sentence: str


def verdict(
    releases: Path,
    system: str,
    public_key: Path,
    dataset: DatasetReference,
    committed_at: datetime | None,
    settings: Mapping[str, Any],
    config_digest: str,
) -> Verdict:
    """Whether `system` should be trained on `dataset`. The content of the data decides, and nothing else does.

    A training that was cut short is due again, and so is one whose bundle cannot be read. A config that
    changed since the last training is named, and makes no training due.

    Args:
        releases: the folder of bundles and ledgers.
        system: whose training it is.
        public_key: who must have signed the newest bundle.
        dataset: the version that a training would use now.
        committed_at: when that version was made; None where nobody knows.
        settings: the config of now (see `perennial.live.settings`).
        config_digest: its digest, for bundles that hold no config.

    Raises:
        LedgerError: the ledger is broken.
    """
    here = f"dataset version {dataset.version} ({count_text(dataset.rows, 'record')}{_since(committed_at)})"
    try:
        newest = newest_version(releases, system, public_key)
    except BundleError as error:
        return Verdict(
            True, f"training {system} on {here}: what the last training built is unreadable: {error}"
        )
    if newest is None:
        return Verdict(True, f"training {system} on {here}: it was never trained before")
    before = newest.bundle.manifest.dataset
    if before["fingerprint"] != dataset.fingerprint:
        told = f"training {system} on {here}: {newest.name} was trained on version {before['version']}"
        return Verdict(True, told)
    if newest.fate == "undecided":
        return Verdict(
            True, f"training {system} on {here}: on {newest.name}, trained on it, nothing was decided"
        )
    same = "" if before["version"] == dataset.version else f", when it was version {before['version']}"
    told = f"not trained: {here} is what {system} {newest.name} was trained on{same}"
    return Verdict(
        False, f"{told}{_changed(newest, settings, config_digest)}; to train, leave out --if-new-data"
    )


def _since(moment: datetime | None) -> str:
    return "" if moment is None else f", collected {time_text(moment)}"


def _changed(newest: Version, settings: Mapping[str, Any], config_digest: str) -> str:
    """What to say of a config that is not the one of the newest version; "" where it is."""
    before = newest.settings
    if before is None:
        same = newest.bundle.manifest.config_digest == config_digest
        return "" if same else "; the config has changed since"
    keys = [change.key for change in changes(before, settings)]
    if not keys:
        return ""
    more = f" and {count_text(len(keys) - MOST_KEYS, 'more key')}" if len(keys) > MOST_KEYS else ""
    return f"; the config has changed since ({shortened(', '.join(keys[:MOST_KEYS]), 200)}{more})"
