"""What each task measures, optimises and must beat."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.live.answer import Task
from perennial.table import Contract


@dataclass(frozen=True)
class TaskRules:
    """How models of one task are judged.

    Attributes:
        task: classification or regression.
        metrics: every metric that is measured, in the order of reports.
        optional: metrics that some honest targets do not have (a percentage error where the truth is 0, the
            area under the curve where one class is missing); all others are needed for promotion.
        primary: what the search minimises.
        loss: the loss per row of every paired comparison.
        segment_metrics: what is measured per segment; the first that can be computed.
        baselines: the naive models to beat; those that do not fit a table are left out.
    """

    task: Task
    metrics: tuple[str, ...]
    optional: tuple[str, ...]
    primary: str
    loss: str
    segment_metrics: tuple[str, ...]
    baselines: tuple[str, ...]


CLASSIFICATION = TaskRules(
    task="classification",
    metrics=(
        "accuracy_score",
        "precision_score",
        "recall_score",
        "f1_score",
        "roc_auc_score",
        "log_loss_error",
        "brier_error",
        "brier_skill_score",
        "expected_calibration_error",
    ),
    optional=("roc_auc_score", "brier_skill_score"),
    primary="log_loss_error",
    loss="log_loss",
    segment_metrics=("accuracy_score",),
    baselines=("prior", "majority"),
)
"""Log loss searches and compares because it is proper: the true probabilities minimise it (Good 1952),
whatever threshold a user picks later, and it notices a change long before a share of right answers does."""

REGRESSION = TaskRules(
    task="regression",
    metrics=(
        "mean_absolute_error",
        "root_mean_squared_error",
        "mean_absolute_percentage_error",
        "median_absolute_percentage_error",
        "r2_score",
    ),
    optional=("mean_absolute_percentage_error", "median_absolute_percentage_error"),
    primary="mean_absolute_error",
    loss="absolute_error",
    segment_metrics=("mean_absolute_percentage_error", "mean_absolute_error"),
    baselines=("group_median", "median"),
)
"""The search minimises the mean absolute error on the learned scale. Of the choices it is the only one that
is defined for every target (percentages are not, at 0), that one mistyped truth cannot decide (squares can),
and that on the log scale is the relative error that people quote: |log(p) - log(y)| is |p - y| / y for small
errors. Comparisons use the same loss in the target's unit, where champion and challenger share a scale."""

RULES: dict[Task, TaskRules] = {"classification": CLASSIFICATION, "regression": REGRESSION}


def task_of(contract: Contract) -> Task:
    """The task that a contract's target asks for: a number is a regression, anything else a class."""
    return "regression" if contract.target.is_numeric else "classification"
