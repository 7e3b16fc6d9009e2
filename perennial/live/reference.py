"""The reference profile: what features and predictions looked like in training, small enough to ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.live.answer import AnswerRule, Answers
from perennial.table import Column, Contract, Matrix

Floats = npt.NDArray[np.float64]
QUANTILES = 101


def reference_profile(
    contract: Contract, train: Matrix, holdout: Matrix, answers: Answers, rule: AnswerRule
) -> dict[str, Any]:
    """What the training rows' features and the model's answers look like, as JSON values.

    `rows`; `features` {name: profile} in the contract's order; `predictions`: the profile of the predicted
    number, or of the predicted class and of `probabilities` {class: profile}. `answers` are those to the
    `holdout` rows: a model is surer of the rows that it was fitted on than of those that it will serve.
    """
    features = {column.name: _feature(column, train[:, i]) for i, column in enumerate(contract.features)}
    if answers.probabilities is None:
        predictions = number_profile(np.asarray(answers.prediction, dtype=np.float64))
    else:
        codes = (np.asarray(rule.classes) == answers.prediction[:, None]).argmax(axis=1).astype(np.float64)
        shares = {n: number_profile(answers.probabilities[:, i]) for i, n in enumerate(rule.classes)}
        predictions = {**category_profile(codes, rule.classes), "probabilities": shares}
    return {
        "rows": len(train),
        "features": features,
        "predictions": {"rows": len(holdout), **predictions},
    }


def number_profile(values: Floats, kind: str = "number") -> dict[str, Any]:
    """The profile of numbers; everything but `missing_share` is over the values that are there.

    `minimum` and `maximum` are exact. `quantiles` are the 0th to 100th percentile (Hyndman and Fan 1996,
    type 7), to seven digits. `histogram` has rising `edges`, taken from the quantiles, and one count more
    than edges: below the first edge, from each edge up to the next one, from the last edge up.
    """
    present = values[~np.isnan(values)]
    profile: dict[str, Any] = {"kind": kind, "missing_share": _missing(values)}
    if not len(present):
        return {**profile, "minimum": None, "maximum": None, "quantiles": [], "histogram": _empty()}
    quantiles = np.quantile(present, np.linspace(0, 1, QUANTILES))
    edges = np.unique(_rounded(quantiles[5:-5:5]))
    counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
    return {
        **profile,
        "minimum": float(present.min()),
        "maximum": float(present.max()),
        "quantiles": _rounded(quantiles).tolist(),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def category_profile(codes: Floats, names: tuple[str, ...], kind: str = "category") -> dict[str, Any]:
    """The profile of category codes: `shares` {name: share of the values that are there}."""
    present = codes[~np.isnan(codes)].astype(np.int64)
    counts = np.bincount(present, minlength=len(names))
    shares = _rounded(counts / max(len(present), 1)).tolist()
    return {"kind": kind, "missing_share": _missing(codes), "shares": dict(zip(names, shares, strict=True))}


def training_ranges(reference: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Per numeric feature the least and greatest value in training; without those that had none."""
    return {
        name: (profile["minimum"], profile["maximum"])
        for name, profile in reference["features"].items()
        if profile.get("minimum") is not None
    }


def _feature(column: Column, values: Floats) -> dict[str, Any]:
    if column.kind == "category":
        return category_profile(values, column.categories)
    if column.kind == "boolean":
        return category_profile(values, ("false", "true"), "boolean")
    return number_profile(values, column.kind)


def _missing(values: Floats) -> float:
    return float(_rounded(np.array([np.isnan(values).mean() if len(values) else 0.0]))[0])


def _rounded(values: Floats) -> Floats:
    """Seven significant digits."""
    return np.array([float(f"{v:.7g}") for v in values.tolist()])


def _empty() -> dict[str, list[float]]:
    return {"edges": [], "counts": []}
