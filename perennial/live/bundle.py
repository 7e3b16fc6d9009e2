"""What ships: a bundle, opened without trusting it.

A bundle is a folder: `manifest.json` (what it is, with the digest of every other file), `manifest.sig`,
`contract.json`, `answer.json`, `model.skops`, `model.onnx` (where the export passed its gate),
`reference.json`, `golden.json`, `config.json`, `metrics.json`, `fitted_rows.npy` and `MODEL_CARD.md`. Opening and
predicting need numpy, ONNX Runtime and cryptography alone.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perennial.errors import BundleError
from perennial.live import sign
from perennial.live.answer import AnswerRule, rule_from
from perennial.opaque import Opaque
from perennial.table import Contract, contract_from

if TYPE_CHECKING:
    from perennial.evidence import BundleReference

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
SAME_MODEL = ("model.skops", "contract.json", "answer.json")
DISTRUST = "do not use it: restore it from a copy, or build it again"


@dataclass(frozen=True)
class Manifest:
    """What a bundle says about itself; signed.

    `files` maps every other file's name to its `sha256` and `size` in bytes; `identity` is the digest over
    all content but time and sequence; `created_at` is ISO 8601 in UTC; `backend` is `onnx` or `skops`;
    `parity` is empty where no export was asked for, else `passed`, `required`, `reason` ("" where passed) and
    the numbers of `perennial.live.export.parity.Parity`, where there was something to measure.
    """

    format: int
    system: str
    version: str
    sequence: int
    created_at: str
    identity: str
    task: str
    target: str
    unit: str
    backend: str
    parity: Mapping[str, Any]
    candidate: str
    parameters: Mapping[str, Any]
    dataset: Mapping[str, Any]
    config_digest: str
    code_digest: str
    seed: int
    contract_fingerprint: str
    environment: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Bundle(Opaque):
    """An opened bundle: its signature and every digest were right; `digest` is the manifest's own."""

    path: Path
    manifest: Manifest
    contract: Contract
    rule: AnswerRule
    digest: str

    def read(self, name: str) -> bytes:
        """The content of a file, its digest checked again; raises BundleError."""
        return _checked(self.path, name, self.manifest.files)

    @cached_property
    def reference(self) -> dict[str, Any]:
        """The reference profile (see `perennial.live.reference`)."""
        return dict(json.loads(self.read("reference.json")))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What was measured: `time`, `seed`, `dataset`, digests, and the `evaluation` as JSON values."""
        return dict(json.loads(self.read("metrics.json")))

    @cached_property
    def golden(self) -> dict[str, Any]:
        """`rows` in request form, their `answers`, and the `tolerance`."""
        return dict(json.loads(self.read("golden.json")))

    @property
    def fitted_rows(self) -> npt.NDArray[np.uint64]:
        """The ids of the rows that the model was fitted on, sorted (see `perennial.live.row_ids.id_words`)."""
        found: npt.NDArray[np.uint64] = np.load(io.BytesIO(self.read("fitted_rows.npy")), allow_pickle=False)
        return found

    def as_reference(self) -> BundleReference:
        """The reference that goes into the ledger."""
        from perennial.evidence import BundleReference

        found = self.manifest
        return BundleReference(
            path=str(self.path),
            system=found.system,
            version=found.version,
            sequence=found.sequence,
            digest=self.digest,
        )


def bundles_folder(releases: Path | str, system: str) -> Path:
    """Where the bundles of a system lie, a folder per version."""
    return Path(releases) / system / "bundles"


def open_bundle(path: Path | str, public_key: Path, whole: bool = True) -> Bundle:
    """The bundle in `path`, checked before any loader runs.

    Without `whole` only the digests of the files that are read are checked, each when it is read: enough to look
    at what a bundle says, and quick where models are large.

    Raises:
        BundleError: naming the file at fault. In this order: signature, digests, missing and extra files,
            format, content.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(path, "no such folder", "name a folder that holds a bundle")
    content = _read(path, MANIFEST)
    sign.verify(public_key, content, _read(path, SIGNATURE), path)
    try:
        facts = json.loads(content)
        files: dict[str, Any] = facts["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(path, f"{MANIFEST} is signed, but not readable", "build it again") from error
    present = {p.name for p in path.iterdir()} - {MANIFEST, SIGNATURE}
    for name in sorted(files.keys() & present) if whole else ():
        _checked(path, name, files)
    if missing := sorted(files.keys() - present):
        raise BundleError(path, f"expected {', '.join(missing)}, found no such file", DISTRUST)
    if extra := sorted(present - files.keys()):
        raise BundleError(
            path, f"expected no other files, found {', '.join(extra)}", "remove what is not its own"
        )
    if facts.get("format") != FORMAT or set(facts) != {f.name for f in fields(Manifest)}:
        raise BundleError(
            path,
            f"expected {MANIFEST} in format {FORMAT}, found {facts.get('format')!r}",
            "install the version of Perennial that built it",
        )
    try:
        contract = contract_from(json.loads(_checked(path, "contract.json", files)))
        rule = rule_from(json.loads(_checked(path, "answer.json", files)))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            path, f"contract.json or answer.json is not readable ({error})", "build it again"
        ) from error
    return Bundle(path, Manifest(**facts), contract, rule, hashlib.sha256(content).hexdigest())


def answers_alike(a: Bundle, b: Bundle) -> bool:
    """Whether two bundles hold the same model, contract and answer rule, to the byte."""
    return all(a.manifest.files[name]["sha256"] == b.manifest.files[name]["sha256"] for name in SAME_MODEL)


def _read(folder: Path, name: str) -> bytes:
    """The content of a file of its own: no link, no folder."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise BundleError(folder, f"expected a file {name}, found none", DISTRUST)
    return path.read_bytes()


def _checked(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    if name not in files:
        raise BundleError(folder, f"expected {name} in {MANIFEST}, found none", "build it again")
    content = _read(folder, name)
    if hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
        raise BundleError(folder, f"{name} was changed after the bundle was signed", DISTRUST)
    return content
