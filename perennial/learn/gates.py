"""The promotion rules on what is measured beside metrics: intervals, calibration, segments, budgets, too good."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from perennial.evidence import Evaluation, Metric, Reason
from perennial.learn.compare import holm
from perennial.learn.measured import Coverage, Measured, SegmentLoss, Segments
from perennial.live.report.text import p_value_text

if TYPE_CHECKING:
    from perennial.config import Promotion, TooGood

SHOWN = 3


def gate_reasons(evaluation: Evaluation, measured: Measured, rules: Promotion) -> Iterator[Reason]:
    """What every one of these rules says."""
    for found in measured.coverage:
        yield _coverage(found, rules.coverage_tolerance)
    if measured.calibration is not None:
        yield _calibration(measured, rules)
    yield _segments(measured.segments, rules)
    yield _latency(measured, rules)
    yield _size(measured, rules)
    for bound in rules.too_good:
        yield _believed(evaluation, bound)


def _coverage(found: Coverage, tolerance: float) -> Reason:
    """Fails only where no coverage that the rows allow for is within the tolerance."""
    kept = found.low <= found.level + tolerance and found.high >= found.level - tolerance
    sentence = (
        f"The {found.level:.0%} prediction interval covers {found.share:.1%} [{found.low:.1%}, {found.high:.1%}] of "
        f"{found.rows:,} rows, {_within(kept)} {100 * tolerance:g} points of its level."
    )
    return Reason(rule=f"coverage {found.level:g}", passed=kept, sentence=sentence)


def _calibration(measured: Measured, rules: Promotion) -> Reason:
    """Fails only where the error beyond what perfect probabilities would show is above the ceiling."""
    found = measured.calibration
    if found is None:
        return Reason(rule="calibration", passed=True, sentence="There are no probabilities to calibrate.")
    kept = max(found.error - found.noise, 0.0) <= rules.calibration_error
    sentence = (
        f"The expected calibration error is {found.error:.3g}, of which chance explains up to {found.noise:.3g} on "
        f"{found.rows:,} rows; {_within(kept)} its ceiling of {rules.calibration_error:g}."
    )
    return Reason(rule="calibration", passed=kept, sentence=sentence)


def _segments(found: Segments | None, rules: Promotion) -> Reason:
    """Fails for every segment that is worse than the reference by more than the margin, beyond chance (Holm)."""
    if found is None or not found.compared:
        few = f" with {rules.segment_rows:,} rows" if found is not None and found.small else ""
        return Reason(rule="segments", passed=True, sentence=f"There is no segment{few} to compare.")
    adjusted = holm([s.p_value for s in found.compared])
    worse = [
        (p, s)
        for p, s in zip(adjusted, found.compared, strict=True)
        if p <= rules.alpha or not math.isfinite(s.loss)
    ]
    against = f"{found.against} by more than {rules.segment_margin:.0%}"
    if not worse:
        sentence = f"None of {len(found.compared)} segments is worse than {against}."
        return Reason(rule="segments", passed=True, sentence=sentence)
    told = "; ".join(_segment(s, p) for p, s in sorted(worse, key=lambda w: w[0])[:SHOWN])
    more = f"; and {len(worse) - SHOWN} more" if len(worse) > SHOWN else ""
    sentence = f"{len(worse)} of {len(found.compared)} segments are worse than {against}: {told}{more}."
    return Reason(rule="segments", passed=False, sentence=sentence)


def _segment(line: SegmentLoss, p_value: float) -> str:
    return (
        f"{line.column} {line.value} with {line.loss:.4g} in place of {line.reference:.4g} on {line.rows:,} rows, "
        f"adjusted p {p_value_text(p_value)}"
    )


def _size(measured: Measured, rules: Promotion) -> Reason:
    kept = measured.size_mb <= rules.size_mb
    sentence = (
        f"The model file holds {measured.size_mb:.3g} MB, {_within(kept)} its budget of {rules.size_mb:g} MB."
    )
    return Reason(rule="size", passed=kept, sentence=sentence)


def _latency(measured: Measured, rules: Promotion) -> Reason:
    kept = measured.median_ms <= rules.latency_ms and measured.p99_ms <= rules.latency_p99_ms
    sentence = (
        f"One row is answered in {measured.median_ms:.2g} ms (median) and {measured.p99_ms:.2g} ms "
        f"(99th percentile), {_within(kept)} the budget of {rules.latency_ms:g} and {rules.latency_p99_ms:g} ms."
    )
    return Reason(rule="latency", passed=kept, sentence=sentence)


def _believed(evaluation: Evaluation, bound: TooGood) -> Reason:
    """Fails where a metric is better than the bound and nobody said why, or cannot be held against it."""
    rule = " ".join(["too_good", bound.metric, bound.baseline]).strip()
    value = _value(evaluation.metrics, bound.metric)
    of = ""
    if bound.baseline and value is not None:
        base = _value(evaluation.baselines.get(bound.baseline, ()), bound.metric)
        value = value / base if base else None
        of = f" times that of {bound.baseline}"
    if value is None:
        what = f"{bound.metric}{f' of {bound.baseline}' if bound.baseline else ''}"
        sentence = f"{what} was not measured, so that its bound in promotion.too_good cannot be judged."
        return Reason(rule=rule, passed=False, sentence=sentence)
    beyond = value > bound.bound if bound.metric.endswith("_score") else value < bound.bound
    told = f"{bound.metric} is {value:.4g}{of}"
    if not beyond:
        sentence = f"{told}, which can be believed (bound {bound.bound:g})."
        return Reason(rule=rule, passed=True, sentence=sentence)
    if bound.explained:
        sentence = f"{told}, beyond {bound.bound:g}, and explained: {bound.explained}."
        return Reason(rule=rule, passed=True, sentence=sentence)
    suspect = next(iter(evaluation.details.get("importance", ())), None)
    hint = f" Look at {suspect['feature']} first, the feature that matters most." if suspect else ""
    sentence = (
        f"{told}, too good to be true (bound {bound.bound:g}): a feature may know what could not be known. "
        f"Explain it under promotion.too_good, or find the leak.{hint}"
    )
    return Reason(rule=rule, passed=False, sentence=sentence)


def _value(metrics: tuple[Metric, ...], name: str) -> float | None:
    return next((m.value for m in metrics if m.name == name and math.isfinite(m.value)), None)


def _within(kept: bool) -> str:
    return "within" if kept else "beyond"
