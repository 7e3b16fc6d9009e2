"""The tables of an evaluation report, as plain values that its template writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from perennial.evidence import CheckFinding, CheckReport, Evaluation, Metric, SearchResult, Trial
from perennial.live.report import text
from perennial.live.report.figures import by_merit

MOST_LABELS = 20
MOST_TRIALS = 200
MOST_FINDINGS = 100
MOST_ENTRIES = 60
_SEVERITIES = ("block", "warning", "note")


def headline_rows(evaluation: Evaluation, baseline: str | None) -> list[tuple[Metric, Metric | None]]:
    """Every metric beside that of one baseline, None where the baseline has none."""
    beside = {m.name: m for m in evaluation.baselines.get(baseline or "", ())}
    return [(metric, beside.get(metric.name)) for metric in evaluation.metrics]


def lost_metrics(evaluation: Evaluation, baseline: str | None) -> list[str]:
    """The metrics, in words, by which one baseline is better than the candidate."""
    return [
        text.metric_text(own.name)
        for own, beside in headline_rows(evaluation, baseline)
        if beside is not None
        and (beside.value > own.value if own.higher_is_better else beside.value < own.value)
    ]


def trial_rows(search: SearchResult) -> list[tuple[Trial, str]]:
    """The trials from best to worst with their parameters as text, at most `MOST_TRIALS`."""
    return [(trial, _parameters_text(trial.parameters)) for trial in by_merit(search.trials)[:MOST_TRIALS]]


def early_rows(search: SearchResult) -> list[tuple[Trial, str]]:
    """The trials that were given up, those with most rows and folds first, as `trial_rows` has the finished ones."""
    ranked = sorted(by_merit(search.early), key=lambda trial: -trial.share * len(trial.folds))
    return [(trial, _parameters_text(trial.parameters)) for trial in ranked[:MOST_TRIALS]]


def _parameters_text(parameters: Mapping[str, Any], most: int = 160) -> str:
    shown = ", ".join(f"{name}={_plain(value)}" for name, value in sorted(parameters.items()))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def searched_rows(search: SearchResult) -> list[dict[str, Any]]:
    """Per candidate: trials, seconds, best score and the values of every parameter that were tried."""
    rows = []
    for name in dict.fromkeys(t.candidate for t in search.trials):
        mine = [t for t in search.trials if t.candidate == name]
        tried = {
            parameter: [t.parameters[parameter] for t in mine if parameter in t.parameters]
            for parameter in sorted({p for t in mine for p in t.parameters})
        }
        rows.append(
            {
                "candidate": name,
                "trials": len(mine),
                "seconds": sum(t.seconds for t in mine if text.is_number(t.seconds)),
                "best": by_merit(mine)[0].score,
                "tried": ", ".join(f"{p} {_range_text(values)}" for p, values in tried.items())
                or "no parameters",
            }
        )
    return rows


def _range_text(values: Sequence[Any]) -> str:
    distinct = list(dict.fromkeys(text.number_text(v) if text.is_number(v) else _plain(v) for v in values))
    if len(distinct) > 4 and all(text.is_number(v) for v in values):
        return f"{text.number_text(min(values))} to {text.number_text(max(values))}"
    return " | ".join(distinct[:6]) + (" | …" if len(distinct) > 6 else "")


def _plain(value: Any, most: int = 80) -> str:
    """A parameter or a manifest entry in short exact form."""
    shown = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, float) and math.isfinite(value):
        shown = f"{value:.6g}"
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def mapping(part: Any) -> dict[str, Any]:
    """`part` if it is a mapping, else an empty one."""
    return dict(part) if isinstance(part, Mapping) else {}


def flat_rows(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain entries of a mapping as text; nested ones have a table of their own, or are only counted."""
    rows = []
    for key, value in part.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
            rows.append((str(key), _plain(inner, 160)))
        else:
            rows.append((str(key), _plain(value, 160)))
    more = len(rows) - MOST_ENTRIES
    return [*rows[:MOST_ENTRIES], ("…", f"{more} more entries")] if more > 0 else rows


def confusion_matrix(part: Any) -> dict[str, Any]:
    """The confusion matrix by rows of truth, of at most `MOST_LABELS` labels with the most rows."""
    part = mapping(part)
    labels, counts = list(part.get("labels") or ()), [list(row) for row in part.get("counts") or ()]
    if not labels or len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        return {}
    numbers = [[text.as_float(c) if text.is_number(c) else 0.0 for c in row] for row in counts]
    kept = sorted(sorted(range(len(labels)), key=lambda i: -sum(numbers[i]))[:MOST_LABELS])
    rows = []
    for i in kept:
        total = sum(numbers[i])
        cells = [(numbers[i][j], numbers[i][j] / total if total else 0.0) for j in kept]
        rows.append({"label": str(labels[i]), "cells": cells, "total": total})
    return {"labels": [str(labels[j]) for j in kept], "rows": rows, "left_out": len(labels) - len(kept)}


def class_rows(part: Any) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support by class, then the averages; at most `MOST_ENTRIES` rows."""
    rows = []
    for name, found in mapping(part).items():
        if isinstance(found, Mapping):
            f1 = found.get("f1", found.get("f1-score", found.get("f1_score")))
            rows.append(
                {"name": str(name), "f1": f1, **{k: found.get(k) for k in ("precision", "recall", "support")}}
            )
    return rows[:MOST_ENTRIES]


def finding_rows(checks: CheckReport) -> list[CheckFinding]:
    """The findings from the most to the least severe, at most `MOST_FINDINGS`."""
    return sorted(checks.findings, key=lambda f: _SEVERITIES.index(f.severity))[:MOST_FINDINGS]


def leaking_columns(checks: CheckReport) -> list[str]:
    """The columns that look as if they knew the future or the target, and are not allowed to, by name."""
    found = (f for f in checks.findings if f.rule == "leak" and f.column and f.severity != "note")
    return sorted({f.column for f in found})


def severity_counts(checks: CheckReport) -> str:
    """How many findings there are of each severity, in words."""
    found: list[str] = [f.severity for f in checks.findings]
    return ", ".join(f"{found.count(severity)} {severity}" for severity in _SEVERITIES)
