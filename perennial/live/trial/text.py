"""A trial's report in words."""

from __future__ import annotations

import math

from perennial.live.report.text import number_text
from perennial.live.trial.book import Trial
from perennial.live.trial.report import Report
from perennial.live.trial.sequence import FEWEST


def sentence(report: Report) -> str:
    """What may be said of the challenger, in one sentence or two."""
    trial = report.trial
    if report.blocked:
        return f"No verdict on {trial.challenger}: {report.blocked}."
    effect = report.effect
    if effect is None:
        each = "unit" if report.block == 1 else f"block of {report.block} units"
        return (
            f"Not enough data on {trial.challenger}: expected at least {FEWEST} differences, one per {each} with a "
            f"known truth, found {report.differences}."
        )
    mean, low, high = (_signed(value, report.unit) for value in effect)
    between = f"{mean} ({low} to {high}, which holds at {report.level:.0%} however often you look)"
    told = f"its {report.loss} less that of {trial.champion} is {between}"
    if report.verdict == "inconclusive":
        return f"{trial.challenger} may be better or worse than {trial.champion}: {told}."
    return f"{trial.challenger} is {report.verdict} than {trial.champion}: {told}."


def trial_text(trial: Trial) -> str:
    """A trial in one line."""
    whom = "beside every answer" if trial.share >= 1.0 else f"for {trial.share:.4g} of the units"
    what = "in shadow, unheard, " if trial.mode == "shadow" else ""
    since = f"{trial.since:%Y-%m-%d %H:%M} UTC"
    return f"{trial.name}: {trial.challenger} {what}{whom}, against {trial.champion} since {since}"


def arm_rows(report: Report) -> list[tuple[str, ...]]:
    """Per arm: name, version, units, rows, rows with a truth, mean loss."""
    return [
        (
            arm.name,
            arm.version,
            f"{arm.units:,}",
            f"{arm.rows:,}",
            f"{arm.rows_known:,}",
            "none yet" if math.isnan(arm.mean_loss) else _number(arm.mean_loss, report.unit),
        )
        for arm in report.arms
    ]


def notes(report: Report) -> list[str]:
    """What else there is to know, a line each."""
    found = []
    if report.ratio_p is not None:
        known = "" if report.known_ratio_p is None else f"; with a truth p = {report.known_ratio_p:.2g}"
        found.append(f"sample ratio: p = {report.ratio_p:.2g}{known} (below 0.001 nothing is said)")
    elif report.trial.mode == "split":
        found.append("sample ratio: too few units to tell")
    if report.trial.mode == "shadow":
        found.append(f"shadow: {report.missing:,} of {report.expected:,} rows without its answer")
    each = "unit" if report.block == 1 else f"block of {report.block} units"
    hang = (
        ""
        if report.hanging is None
        else f"; they hang together by {report.hanging:.2f}, which is allowed for"
    )
    found.append(f"differences: {report.differences:,}, one per {each}{hang}")
    if report.failed:
        found.append(f"left out: {report.failed:,} rows that the champion answered for the challenger")
    if report.fallbacks:
        found.append(f"left out: {report.fallbacks:,} rows that a fallback answered, and no model on trial")
    if report.elsewhere:
        found.append(f"left out: {report.elsewhere:,} rows of another arm or version than the trial says")
    if report.unusable:
        found.append(f"left out: {report.unusable:,} truths that cannot be one of this target")
    return found


def _number(value: float, unit: str) -> str:
    return f"{number_text(value)}{f' {unit}' if unit else ''}"


def _signed(value: float, unit: str) -> str:
    return f"{'+' * (value > 0.0)}{_number(value, unit)}"
