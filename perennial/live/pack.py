"""Writing the parts of a bundle into a folder: model, gate, contract, golden rows, profile, metrics."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perennial.errors import BundleError
from perennial.live.answer import answer
from perennial.live.files import canonical, digest
from perennial.live.golden import golden_rows
from perennial.live.models import FittedModel, OnnxModel, SkopsModel
from perennial.live.predict import raw_in_chunks
from perennial.live.reference import reference_profile, training_ranges
from perennial.live.row_ids import holdout_digest, id_words
from perennial.live.rows import RowReader

if TYPE_CHECKING:
    from perennial import config
    from perennial.evidence import DatasetReference, Evaluation
    from perennial.live.answer import AnswerRule
    from perennial.table import Contract, Table

PACKAGES = (
    "numpy",
    "scikit-learn",
    "lightgbm",
    "onnxruntime",
    "skops",
    "onnx",
    "skl2onnx",
    "scipy",
    "pandas",
)
EXACT = 1e-6
"""Tolerance of golden rows where the served model is the fitted one: what another processor may change."""


@dataclass(frozen=True)
class Parts:
    """What goes into a bundle.

    Attributes:
        system: the system's name.
        estimator: the fitted model; `predict_proba` (classification) or `predict` on the learned scale.
        skops: the file that `estimator` was loaded from, where it was; b"" writes it anew.
        contract: fitted to the training rows.
        rule: how raw outputs become answers.
        train: the rows that the model was fitted on.
        holdout: rows that it was not fitted on; golden rows and the gate's rows are drawn from these.
        evaluation: how good the model is.
        candidate: the candidate's name, and its
        parameters: chosen parameters.
        dataset: the dataset version.
        config_digest: SHA-256 of the resolved config.
        code_digest: SHA-256 of the source that trained the model.
        seed: the config's seed; also draws the golden rows and the gate's rows.
        options: the config's `bundle:` section.
        settings: the config that the model came from (see `perennial.live.settings`).
    """

    system: str
    estimator: Any
    contract: Contract
    rule: AnswerRule
    train: Table
    holdout: Table
    evaluation: Evaluation
    candidate: str
    parameters: Mapping[str, Any]
    dataset: DatasetReference
    config_digest: str
    code_digest: str
    seed: int
    options: config.Bundle
    skops: bytes = b""
    settings: Mapping[str, Any] = field(default_factory=dict)


def write_parts(folder: Path, parts: Parts, now: datetime) -> dict[str, Any]:
    """Write every file but the manifest, its signature and the card; returns the manifest's share of facts.

    Raises:
        BundleError: where the model cannot answer rows with missing values, or is not what comes back from
            its own file.
    """
    rule, contract = parts.rule, parts.contract
    n_classes = len(rule.classes)
    fitted = FittedModel(parts.estimator, n_classes)
    train, holdout = parts.train.X, parts.holdout.X
    _check_missing(fitted, train, parts.system)
    parity = _write_model(folder, parts, fitted, holdout)
    backend = "onnx" if parity.get("passed") else "skops"
    answers = answer(raw_in_chunks(fitted, holdout, n_classes), rule)
    reference = reference_profile(contract, train, holdout, answers, rule)
    golden = {
        **golden_rows(
            parts.holdout,
            RowReader(contract, training_ranges(reference)),
            fitted,
            rule,
            parts.options.golden_rows,
            parts.seed,
        ),
        "tolerance": min(parts.options.parity_largest, max(EXACT, 10 * parity["largest"]))
        if backend == "onnx"
        else EXACT,
    }
    for name, facts in {
        "contract.json": contract.as_dict(),
        "answer.json": rule.as_dict(),
        "golden.json": golden,
        "config.json": dict(parts.settings),
        "metrics.json": _measured(parts, now),
    }.items():
        write_json(folder / name, facts)
    (folder / "reference.json").write_bytes(canonical(reference))
    np.save(folder / "fitted_rows.npy", np.unique(id_words(parts.train.ids)), allow_pickle=False)
    return {
        "system": parts.system,
        "task": rule.task,
        "target": rule.target,
        "unit": rule.unit,
        "backend": backend,
        "parity": parity,
        "candidate": parts.candidate,
        "parameters": dict(parts.parameters),
        "dataset": parts.dataset.model_dump(mode="json"),
        "config_digest": parts.config_digest,
        "code_digest": parts.code_digest,
        "seed": parts.seed,
        "contract_fingerprint": contract.fingerprint,
        "environment": environment(),
        "identity": _identity(folder, parts),
    }


def _measured(parts: Parts, now: datetime) -> dict[str, Any]:
    """What was measured, and on what: time, seed, data, hold-out rows and code. NaN becomes null."""
    return {
        "system": parts.system,
        "time": now.astimezone(UTC).isoformat(timespec="seconds"),
        "seed": parts.seed,
        "dataset": parts.dataset.model_dump(mode="json"),
        "code_digest": parts.code_digest,
        "config_digest": parts.config_digest,
        "holdout": holdout_digest(parts.holdout),
        "evaluation": json.loads(parts.evaluation.model_dump_json()),
    }


def write_json(path: Path, facts: Any) -> None:
    """Write JSON for people and programs: sorted keys, no NaN."""
    text = json.dumps(facts, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def environment() -> dict[str, str]:
    """Versions of Python and of the packages that a model's numbers depend on, and the platform."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()}-{platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write_model(
    folder: Path, parts: Parts, fitted: FittedModel, holdout: npt.NDArray[np.float64]
) -> dict[str, Any]:
    """Write model.skops, and model.onnx where it passes the gate; returns what the gate found."""
    from perennial.live.export.convert import to_onnx, to_skops
    from perennial.live.export.parity import parity

    options, n_classes = parts.options, len(parts.rule.classes)
    file = folder / "model.skops"
    if parts.skops:  # the fitted model is what was loaded from it
        file.write_bytes(parts.skops)
    else:
        to_skops(parts.estimator, file)
        restored = SkopsModel(file, n_classes).raw(holdout)
        if not np.allclose(restored, fitted.raw(holdout), rtol=1e-9, atol=1e-12):
            raise BundleError(
                parts.system, "model.skops answers differently from the fitted model", "use another candidate"
            )
    if options.onnx == "off":
        return {}
    required = {"required": options.onnx == "required"}
    path = folder / "model.onnx"
    if reason := to_onnx(parts.estimator, holdout.shape[1], path):
        return {"passed": False, "reason": reason, **required}
    found = parity(
        fitted,
        OnnxModel(path),
        holdout,
        np.array([c.kind != "number" for c in parts.contract.features]),
        parts.rule,
        parts.seed,
        options.parity_largest,
        options.parity_p999,
    )
    if not found.passed:
        path.unlink()
    reason = "" if found.passed else "the ONNX model answers differently from the fitted one"
    return {**found.as_dict(), "reason": reason, **required}


def _check_missing(fitted: FittedModel, matrix: npt.NDArray[np.float64], system: str) -> None:
    """A service feeds NaN for impossible numbers and unseen categories, so that a model must take them."""
    row = np.full((1, matrix.shape[1]), np.nan)
    try:
        finite = bool(np.isfinite(fitted.raw(row)).all())
    except ValueError as error:
        raise BundleError(
            system,
            f"the fitted model refuses rows with missing values ({str(error).splitlines()[0]})",
            "put an imputer before it",
        ) from error
    if not finite:
        raise BundleError(
            system, "the fitted model answers NaN to missing values", "put an imputer before it"
        )


def _identity(folder: Path, parts: Parts) -> str:
    """The digest over what makes a bundle what it is, whenever and wherever it was built."""
    content = {path.name: digest(path) for path in folder.iterdir() if path.name != "metrics.json"}
    facts = [parts.system, parts.dataset.fingerprint, parts.config_digest, parts.code_digest, parts.seed]
    return hashlib.sha256(canonical([content, facts])).hexdigest()
