"""All versions of a system on one metric: best first, and only beside versions measured on the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from perennial.errors import UnknownNameError
from perennial.evidence import Metric
from perennial.live.report.figures import best_baseline
from perennial.live.versions import Version, Versions


@dataclass(frozen=True)
class Standing:
    """One version on the leaderboard.

    `metric` is None where the version was not measured by it, `baseline` the best of its baselines on the same rows
    with its name, None where there is none; `coverage` is the share of truths inside the first prediction interval
    and the share that was promised, None where the version answers no interval.
    """

    version: Version
    metric: Metric | None
    baseline: tuple[str, Metric] | None
    coverage: tuple[float, float] | None

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON values, flat; sizes are in bytes, times ISO 8601 in UTC."""
        manifest, metric = self.version.bundle.manifest, self.metric
        name, beside = self.baseline or ("", None)
        covered, promised = self.coverage or (None, None)
        return {
            "version": self.version.name,
            "built_at": manifest.created_at,
            "dataset_version": manifest.dataset["version"],
            "dataset_rows": manifest.dataset["rows"],
            "dataset_digest": manifest.dataset["fingerprint"],
            "candidate": manifest.candidate,
            "metric": metric.name if metric else "",
            "unit": metric.unit if metric else "",
            "value": _json(metric.value) if metric else None,
            "low": _json(metric.low) if metric else None,
            "high": _json(metric.high) if metric else None,
            "level": metric.level if metric else None,
            "baseline": name,
            "baseline_value": _json(beside.value) if beside else None,
            "coverage": covered,
            "promised_coverage": promised,
            "model_bytes": self.version.model_bytes,
            "status": self.version.fate,
            "told": self.version.told,
        }


@dataclass(frozen=True)
class Holdout:
    """Versions that were measured on the same hold-out rows, best first; `digest` tells these rows from others."""

    digest: str
    rows: int
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class Leaderboard:
    """All versions of a system on one metric, a group per set of hold-out rows, that of the newest version first."""

    system: str
    metric: str
    holdouts: tuple[Holdout, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The leaderboard as JSON values."""
        groups = [
            {"digest": h.digest, "rows": h.rows, "versions": [s.as_dict() for s in h.standings]}
            for h in self.holdouts
        ]
        return {
            "system": self.system,
            "metric": self.metric,
            "holdouts": groups,
            "problems": list(self.problems),
        }

    def flat(self) -> list[dict[str, Any]]:
        """Every version as a flat row, in order, with its hold-out rows and its place (`rank`) among them."""
        return [
            {"holdout": h.digest, "holdout_rows": h.rows, "rank": rank, **standing.as_dict()}
            for h in self.holdouts
            for rank, standing in enumerate(h.standings, start=1)
        ]


def leaderboard(found: Versions, metric: str) -> Leaderboard:
    """The leaderboard of all versions that could be read, on the metric of that name.

    Raises:
        UnknownNameError: no version was measured by it.
    """
    known = {m.name for version in found.known for m in version.evaluation.metrics}
    if known and metric not in known:
        raise UnknownNameError(f"metric of {found.system}", metric, known)
    groups: dict[str, list[Standing]] = {}
    for version in reversed(found.known):
        groups.setdefault(version.holdout, []).append(_standing(version, metric))
    holdouts = (
        Holdout(digest, group[0].version.evaluation.rows, tuple(sorted(group, key=_merit)))
        for digest, group in groups.items()
    )
    return Leaderboard(found.system, metric, tuple(holdouts), found.problems)


def _loss(metric: Metric) -> float:
    """The metric's value turned so that lower is better; infinite where it is not finite."""
    if not math.isfinite(metric.value):
        return math.inf
    return -metric.value if metric.higher_is_better else metric.value


def _standing(version: Version, metric: str) -> Standing:
    evaluation = version.evaluation
    baseline = best_baseline(evaluation, metric)
    beside = None if baseline is None else _named(evaluation.baselines[baseline], metric)
    line = next(iter(evaluation.details.get("intervals") or ()), None)
    return Standing(
        version,
        _named(evaluation.metrics, metric),
        None if baseline is None or beside is None else (baseline, beside),
        None if line is None else (float(line["coverage"]), float(line["level"])),
    )


def _merit(standing: Standing) -> float:
    return math.inf if standing.metric is None else _loss(standing.metric)


def _named(metrics: Iterable[Metric], name: str) -> Metric | None:
    return next((metric for metric in metrics if metric.name == name), None)


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
