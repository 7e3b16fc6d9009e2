"""How good a fitted model is on rows that nothing was fitted or tuned on, beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from perennial.errors import NotEnoughDataError
from perennial.evidence import Evaluation
from perennial.learn.baselines import baselines_for, fit_baseline
from perennial.learn.clusters import clusters_of, origins_of
from perennial.learn.compare import Contender, compare_answers
from perennial.learn.details import Coverage, classification_details, regression_details, segments
from perennial.learn.importance import permutation_importance
from perennial.learn.intervals import following
from perennial.learn.learning_curve import learning_curve
from perennial.learn.metrics import measure
from perennial.learn.models import FittedModel
from perennial.learn.pairs import pairs_of
from perennial.learn.series_details import series_details
from perennial.learn.tasks import RULES
from perennial.live.answer import AnswerRule, Answers
from perennial.table import Table

if TYPE_CHECKING:
    from perennial.config import Evaluate, Learn


def evaluate(
    system: str,
    fitted: FittedModel,
    train: Table,
    holdout: Table,
    rules: Evaluate,
    segment_columns: tuple[str, ...],
    seed: int,
    horizon: str = "",
    learn: Learn | None = None,
) -> Evaluation:
    """Metrics of the model and of every baseline on the same rows, paired comparisons, and details for the
    report.

    Args:
        system: the system's name.
        fitted: the model.
        train: the rows that the model was fitted on; baselines are fitted on them too.
        holdout: unseen rows under the same contract.
        rules: resamples and levels.
        segment_columns: features by which errors are broken down.
        seed: draws resamples, shuffles and samples.
        horizon: the feature that says how far ahead a row looks; "" where there is none.
        learn: how the model was fitted, for a learning curve; None for none.

    Raises:
        NotEnoughDataError: if `holdout` has no rows.
    """
    if len(holdout) == 0:
        raise NotEnoughDataError(
            f"evaluation of {system}", 0, 1, "widen the hold-out or collect more records"
        )
    naives = [fit_baseline(name, train).contend(holdout) for name in baselines_for(train.contract)]
    answers = following(fitted.predict(holdout), fitted.rule, holdout)
    model = Answered(fitted.candidate, answers, fitted.rule)
    base = [float((train.y == c).mean()) for c in fitted.rule.classes]
    found = measured(system, holdout, model, naives, rules, segment_columns, seed, horizon, base)
    task, drawn = RULES[fitted.rule.task], _drawn(holdout, rules, seed)
    further: dict[str, Any] = {}
    if learn is not None:
        how = {**drawn, "unit": fitted.rule.unit or "1", "classes": fitted.rule.classes}
        further["learning_curve"] = learning_curve(fitted, train, holdout, learn, **how)
    further["importance"] = permutation_importance(fitted, holdout.X, holdout.y, loss=task.loss, **drawn)
    return found.model_copy(update={"details": {**found.details, **further}})


class Answered(NamedTuple):
    """The answers of a candidate to some rows, and the rule that they were made by.

    Where several rules made them, one with the same levels, classes and unit.
    """

    candidate: str
    answers: Answers
    rule: AnswerRule


def measured(
    system: str,
    rows: Table,
    model: Answered,
    naives: Sequence[Contender],
    rules: Evaluate,
    segment_columns: tuple[str, ...],
    seed: int,
    horizon: str = "",
    base: Sequence[float] = (),
) -> Evaluation:
    """What the answers to some rows say, beside the answers of naive models: `evaluate` without the model.

    `base` holds each class's share in the training rows.
    """
    truth, answers, rule = rows.y, model.answers, model.rule
    task, unit, drawn = RULES[rule.task], rule.unit or "1", _drawn(rows, rules, seed)
    own = Contender(model.candidate, answers, rule.classes)
    baselines, against = {}, []
    for naive in naives:
        baselines[naive.name] = measure(
            truth, naive.answers, task.metrics, classes=naive.classes, base=base, unit=unit, **drawn
        )
        against.append(compare_answers(own, naive, truth, loss=task.loss, unit=unit, **drawn))
    how = {**drawn, "unit": unit, "classes": rule.classes}
    coverage = Coverage(truth, answers, rule, clusters_of(rows), rules.level)
    details = _of_task(coverage, rows, segment_columns, seed)
    details["segments"] = segments(rows, answers, segment_columns, task, **how)
    details |= series_details(rows, answers, naives, horizon, task, coverage, **how)
    return Evaluation(
        system=system,
        task=rule.task,
        candidate=model.candidate,
        rows=len(rows),
        metrics=measure(truth, answers, task.metrics, base=base, **how),
        baselines=baselines,
        against_baselines=tuple(against),
        details=details,
    )


def _drawn(rows: Table, rules: Evaluate, seed: int) -> dict[str, Any]:
    """What every interval and comparison draws its resamples by."""
    return {"resamples": rules.resamples, "level": rules.level, "seed": seed, "origins": origins_of(rows)}


def _of_task(
    coverage: Coverage, holdout: Table, segment_columns: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """What is measured of classes alone, or of numbers alone."""
    rule, answers = coverage.rule, coverage.answers
    pairs = pairs_of(coverage.truth, answers, rule.classes)
    if rule.task == "classification":
        return classification_details(pairs, coverage.clusters, coverage.level, rule.threshold)
    return {
        **regression_details(pairs, coverage, seed),
        "coverage_by_segment": coverage.by_segment(holdout, segment_columns),
    }
