"""From the journal of a trial to one difference of losses per unit, or per block of units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from perennial.live.journal.outcomes import Outcome
from perennial.live.trial.book import CHALLENGER, CHAMPION, SHADOW, Trial
from perennial.live.trial.loss import Loss, NoAnswerError

NEVER = (datetime.max.replace(tzinfo=UTC),) * 2
UNITS_PER_BLOCK = 2.0
"""How many units of the smaller arm a block of a split holds on average."""
PATIENCE = timedelta(minutes=10)
"""How long after the champion's answer the shadow's may still come."""
OWN_RUNGS = {CHAMPION: ("", CHAMPION), CHALLENGER: ("", CHALLENGER), SHADOW: ("", CHALLENGER)}
"""The `quality` of what an arm's own model answered; any other is a fallback's, which says nothing of the model."""


@dataclass
class Unit:
    """What is known of one unit in one arm.

    Attributes:
        rows: how many of its rows the arm answered.
        known: how many of them have a truth.
        measured: how many of these gave a number.
        total: the sum of these numbers.
        since: when the first of them was known and when that was answered; it places the unit among others.
    """

    rows: int = 0
    known: int = 0
    measured: int = 0
    total: float = 0.0
    since: tuple[datetime, datetime] = NEVER

    def measure(self, value: float, row: Outcome) -> None:
        """Take in one number of a row whose truth is known."""
        self.measured += 1
        self.total += value
        self.since = min(self.since, (row.truth_known_at or NEVER[0], row.time))

    @property
    def mean(self) -> float:
        """The mean of what was measured; NaN where nothing was."""
        return self.total / self.measured if self.measured else math.nan


@dataclass
class Exposure:
    """Every unit of a trial by its arm.

    Attributes:
        arms: by arm, by unit: its losses.
        pairs: by unit: the shadow's less the champion's loss of the rows that both answered.
        unanswered: by arm, the rows with a truth whose answer holds no prediction.
        failed: rows of a split that the champion answered because the challenger could not; left out.
        fallbacks: rows of forecasts that another model or a naive forecast answered for both arms alike; left out.
        elsewhere: rows of units that another arm or version answered than the trial says; left out.
        unusable: truths that are none for this target; left out.
        expected: champion's rows that the shadow should have answered too, by now.
        missing: how many of them it did not.
        is_forecast: whether rows are about a time, so that the differences of successive units hang together.
    """

    arms: dict[str, dict[str, Unit]]
    unanswered: dict[str, int]
    pairs: dict[str, Unit] = field(default_factory=dict)
    failed: int = 0
    fallbacks: int = 0
    elsewhere: int = 0
    unusable: int = 0
    expected: int = 0
    missing: int = 0
    is_forecast: bool = False


def names(trial: Trial) -> tuple[str, str]:
    """The arms of a trial as the journal names them, the challenger's last."""
    return CHAMPION, SHADOW if trial.mode == "shadow" else CHALLENGER


def exposed(rows: Iterable[Outcome], trial: Trial, loss: Loss, until: datetime, read: datetime) -> Exposure:
    """What a stretch of the journal says of a trial; rows without a unit are no part of it.

    Args:
        rows: predictions with their truth, oldest first.
        trial: the trial.
        loss: of one row.
        until: when the trial ended, or now; later rows are the shadow's answers to earlier ones, or no part of it.
        read: up to when rows were read. A shadow's answer that is missing then may come for `PATIENCE` still.
    """
    found = Exposure({name: {} for name in names(trial)}, dict.fromkeys(names(trial), 0))
    waiting: dict[str, Waiting] = {}
    for row in rows:
        if not row.unit or row.arm not in found.arms:
            continue
        if row.time >= until and not (row.arm == SHADOW and row.prediction_id in waiting):
            continue
        if row.quality not in OWN_RUNGS[row.arm]:
            found.fallbacks += 1
            continue
        if not _belongs(row, trial):
            _misplaced(row, trial, found)
            continue
        found.is_forecast |= row.about is not None
        unit = found.arms[row.arm].setdefault(row.unit, Unit())
        unit.rows += 1
        unit.known += row.truth is not None
        lost = _lost(row, loss, found)
        if lost is not None:
            unit.measure(lost, row)
        if trial.mode == "shadow":
            _pair(row, lost, trial, waiting, found)
    unpaired = [one for one in waiting.values() if one.arm == CHAMPION]
    found.missing = sum(one.time < read - PATIENCE for one in unpaired)
    found.expected -= len(unpaired) - found.missing
    return found


class Waiting(NamedTuple):
    """A row of one arm of a shadow's trial that the other one's is looked for."""

    arm: str
    lost: float | None
    time: datetime


def _misplaced(row: Outcome, trial: Trial, found: Exposure) -> None:
    """Count a row that its arm should not have: the champion's own answer to a challenger's unit is a failure."""
    is_failure = (
        trial.mode == "split"
        and (row.arm, row.model_version) == (CHAMPION, trial.champion)
        and trial.tries(row.unit)
    )
    found.failed += is_failure
    found.elsewhere += not is_failure


def _belongs(row: Outcome, trial: Trial) -> bool:
    """Whether an arm's row is this trial's: workers may learn a few seconds late that a trial began or ended."""
    if row.arm == CHAMPION:
        if row.model_version != trial.champion:
            return False
    elif row.model_version != trial.challenger:
        return False
    if trial.mode == "shadow":
        return row.arm == CHAMPION or trial.tries(row.unit)
    return trial.tries(row.unit) == (row.arm == CHALLENGER)


def _lost(row: Outcome, loss: Loss, found: Exposure) -> float | None:
    if row.truth is None:
        return None
    try:
        lost = loss(row.output, row.truth)
    except NoAnswerError:
        found.unanswered[row.arm] += 1
        return None
    if lost is None:
        found.unusable += 1
    return lost


def _pair(
    row: Outcome,
    lost: float | None,
    trial: Trial,
    waiting: dict[str, Waiting],
    found: Exposure,
) -> None:
    """Set a row beside the other arm's answer to it, where that came already."""
    if not trial.tries(row.unit):
        return
    found.expected += row.arm == CHAMPION
    if row.prediction_id not in waiting:
        waiting[row.prediction_id] = Waiting(row.arm, lost, row.time)
        return
    theirs = waiting.pop(row.prediction_id).lost
    if lost is not None and theirs is not None:
        difference = theirs - lost if row.arm == CHAMPION else lost - theirs
        found.pairs.setdefault(row.unit, Unit()).measure(difference, row)


def differences(found: Exposure, trial: Trial) -> list[float]:
    """What the challenger lost more than the champion: per unit in shadow, per block of units in a split.

    A unit's rows are no independent draws, so that each unit counts once, by its mean, and where its first truth
    became known. In a split no unit has both arms: blocks hold a fixed number of units, whatever arm they are in, so
    that neither arm comes later than the other; a block with one arm only is left out.
    """
    if trial.mode == "shadow":
        return [unit.mean for unit in sorted(found.pairs.values(), key=lambda unit: unit.since)]
    order = sorted(
        (unit.since, name, arm, unit.mean)
        for arm, units in found.arms.items()
        for name, unit in units.items()
        if unit.measured
    )
    size = block_units(trial)
    blocks = (order[start : start + size] for start in range(0, len(order) - size + 1, size))
    return [
        d for block in blocks if (d := _difference([(arm, mean) for _, _, arm, mean in block])) is not None
    ]


def block_units(trial: Trial) -> int:
    """How many units make a block of a split: enough for both arms to be in most of them."""
    return math.ceil(UNITS_PER_BLOCK / min(trial.share, 1.0 - trial.share))


def _difference(block: list[tuple[str, float]]) -> float | None:
    ours, theirs = ([mean for arm, mean in block if arm == name] for name in (CHALLENGER, CHAMPION))
    if not ours or not theirs:
        return None
    return sum(ours) / len(ours) - sum(theirs) / len(theirs)
