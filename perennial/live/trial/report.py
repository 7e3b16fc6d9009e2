"""What a trial has shown so far: first whether it can be believed at all, then who loses less, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np

from perennial.live.answer import AnswerRule
from perennial.live.journal.outcomes import Outcome
from perennial.live.trial import sequence
from perennial.live.trial.book import CHAMPION, Trial
from perennial.live.trial.exposure import Exposure, Unit, block_units, differences, exposed, names
from perennial.live.trial.loss import loss_of, loss_text

RATIO_P = 0.001
"""Below this p-value the arms' counts do not fit their shares (Fabijan et al. 2019 use 0.0005 to 0.01)."""
FEWEST_EXPECTED = 5
"""Fewest units that the smaller arm should hold before their counts are tested (Cochran 1954)."""
MOST_MISSING = 0.01
"""Share of rows without an answer, of the shadow or in an arm, above which those that are left say nothing."""

Verdict = Literal["better", "worse", "inconclusive", "not enough data", "blocked"]


@dataclass(frozen=True)
class Arm:
    """One arm: its units and rows, how many of them have a truth, and their mean loss, each unit counting once.

    `mean_loss` is NaN where nothing is known yet; `unanswered` counts rows with a truth, but without a prediction.
    """

    name: str
    version: str
    units: int
    units_known: int
    rows: int
    rows_known: int
    unanswered: int
    mean_loss: float


@dataclass(frozen=True)
class Report:
    """What a trial has shown.

    Attributes:
        trial: which trial.
        until: the end of the stretch that was read.
        loss: what is compared, such as `absolute error`.
        unit: its unit, "" for none.
        arms: the champion's and the challenger's.
        ratio_p: p-value of the units' counts under the shares; None while these are too few, and in shadow mode,
            where nothing is assigned.
        known_ratio_p: the same of the units whose truth is known.
        expected: in shadow mode, the champion's rows that the shadow should have answered too.
        missing: how many of them it did not.
        failed: in a split, rows that the champion answered because the challenger could not; left out.
        fallbacks: rows of forecasts that no arm's own model answered; left out.
        elsewhere: rows that another arm or version answered than the trial says; left out.
        unusable: truths that are none for this target; left out.
        block: units per block; 1 in shadow mode, where each unit is its own pair.
        hanging: the autocorrelation of successive differences, which widens the sequence; None but for forecasts.
        found: the differences' confidence sequence, one place per difference.
        verdict: what may be said now.
        blocked: why nothing may be said, a sentence; "" otherwise.
        level: the probability with which all intervals of the sequence hold at once.
    """

    trial: Trial
    until: datetime
    loss: str
    unit: str
    arms: tuple[Arm, Arm]
    ratio_p: float | None
    known_ratio_p: float | None
    expected: int
    missing: int
    failed: int
    fallbacks: int
    elsewhere: int
    unusable: int
    block: int
    hanging: float | None
    found: sequence.Sequence
    verdict: Verdict
    blocked: str
    level: float

    @property
    def differences(self) -> int:
        """How many independent differences there are."""
        return len(self.found.mean)

    @property
    def effect(self) -> tuple[float, float, float] | None:
        """The challenger's mean loss less the champion's with its bounds; None before there is enough."""
        if self.differences < sequence.FEWEST:
            return None
        return tuple(float(part[-1]) for part in self.found)  # type: ignore[return-value]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        effect = self.effect
        return {
            "trial": self.trial.name,
            "mode": self.trial.mode,
            "share": self.trial.share,
            "since": self.trial.since.isoformat(),
            "until": self.until.isoformat(),
            "verdict": self.verdict,
            "blocked": self.blocked,
            "loss": self.loss,
            "unit": self.unit,
            "effect": None if effect is None else dict(zip(("mean", "low", "high"), effect, strict=True)),
            "level": self.level,
            "differences": self.differences,
            "differences_needed": sequence.FEWEST,
            "units_per_difference": self.block,
            "autocorrelation": self.hanging,
            "ratio_p": self.ratio_p,
            "known_ratio_p": self.known_ratio_p,
            "shadow_expected": self.expected,
            "shadow_missing": self.missing,
            "challenger_failed": self.failed,
            "fallbacks": self.fallbacks,
            "rows_elsewhere": self.elsewhere,
            "truths_unusable": self.unusable,
            "arms": {arm.name: _arm_dict(arm) for arm in self.arms},
        }


def report(
    rows: Iterable[Outcome],
    trial: Trial,
    rule: AnswerRule,
    until: datetime,
    alpha: float = 0.05,
    read: datetime | None = None,
) -> Report:
    """What a trial has shown in a stretch of the journal.

    Args:
        rows: the predictions since the trial began, with their truth, oldest first.
        trial: the trial.
        rule: the champion's; says what is predicted, in which unit.
        until: the end of the stretch.
        alpha: probability that the sequence misses the mean at any time.
        read: up to when rows were read, for what a shadow answered after the end. Default: `until`.
    """
    found = exposed(rows, trial, loss_of(rule), until, read or until)
    first, second = (_arm(found, trial, name) for name in names(trial))
    ratios = _ratios(first, second, trial)
    blocked = _blocked(found, (first, second), ratios, trial)
    lost = np.array(differences(found, trial))
    seen = sequence.confidence_sequence(lost, alpha, in_series=found.is_forecast)
    what, unit = loss_text(rule)
    return Report(
        trial=trial,
        until=until,
        loss=what,
        unit=unit,
        arms=(first, second),
        ratio_p=ratios[0],
        known_ratio_p=ratios[1],
        expected=found.expected,
        missing=found.missing,
        failed=found.failed,
        fallbacks=found.fallbacks,
        elsewhere=found.elsewhere,
        unusable=found.unusable,
        block=1 if trial.mode == "shadow" else block_units(trial),
        hanging=float(sequence.autocorrelation(lost)[-1]) if found.is_forecast and len(lost) else None,
        found=seen,
        verdict="blocked" if blocked else sequence.verdict(seen),
        blocked=blocked,
        level=1.0 - alpha,
    )


def _arm(found: Exposure, trial: Trial, name: str) -> Arm:
    units: list[Unit] = list(found.arms[name].values())
    means = [unit.mean for unit in units if unit.measured]
    return Arm(
        name=name,
        version=trial.champion if name == CHAMPION else trial.challenger,
        units=len(units),
        units_known=len(means),
        rows=sum(unit.rows for unit in units),
        rows_known=sum(unit.known for unit in units),
        unanswered=found.unanswered[name],
        mean_loss=math.fsum(means) / len(means) if means else math.nan,
    )


def _ratios(first: Arm, second: Arm, trial: Trial) -> tuple[float | None, float | None]:
    """The p-values of the units' counts, and of those whose truth is known, under the trial's shares."""
    if trial.mode == "shadow":
        return None, None
    all_units = {first.name: first.units, second.name: second.units}
    known = {first.name: first.units_known, second.name: second.units_known}
    return _ratio_p(all_units, trial), _ratio_p(known, trial)


def _ratio_p(counts: dict[str, int], trial: Trial) -> float | None:
    """The p-value of counts; None while they are too few for the chi-squared distribution."""
    fewest = sum(counts.values()) * min(trial.shares.values())
    return sequence.sample_ratio_p(counts, trial.shares) if fewest >= FEWEST_EXPECTED else None


def _blocked(
    found: Exposure, arms: tuple[Arm, Arm], ratios: tuple[float | None, float | None], trial: Trial
) -> str:
    """Why nothing may be said of the arms, in one sentence; "" where something may."""
    for p, what, counts in zip(
        ratios,
        ("units", "units with a known truth"),
        ([arm.units for arm in arms], [arm.units_known for arm in arms]),
        strict=True,
    ):
        if p is not None and p < RATIO_P:
            return (
                f"expected {1.0 - trial.share:.4g} : {trial.share:.4g} of the {what} in the arms, found "
                f"{counts[0]:,} : {counts[1]:,} (p = {p:.2g}); some got lost in one arm, so the rest cannot be "
                "compared: find out where before anything else"
            )
    if found.expected >= sequence.FEWEST and found.missing > MOST_MISSING * found.expected:
        return (
            f"expected the shadow's answer to {found.expected:,} rows, found {found.missing:,} without one; what it "
            "left out may be what it is worst at: see perennial_shadow_dropped_total and the service's log"
        )
    tried = arms[1].rows + found.failed
    if tried >= sequence.FEWEST and found.failed > MOST_MISSING * tried:
        return (
            f"expected the challenger's answer to {tried:,} rows of its units, found {found.failed:,} answered by "
            "the champion for it; what it failed at may be what it is worst at: see "
            "perennial_challenger_failures_total and the service's log"
        )
    for arm in arms:
        if arm.unanswered > MOST_MISSING * arm.rows_known:
            return (
                f"expected a prediction in every answer of the {arm.name}, found {arm.unanswered:,} of "
                f"{arm.rows_known:,} without one; see the flags in the journal"
            )
    return ""


def _arm_dict(arm: Arm) -> dict[str, Any]:
    values = {name: value for name, value in vars(arm).items() if name != "name"}
    return {**values, "mean_loss": None if math.isnan(arm.mean_loss) else arm.mean_loss}
