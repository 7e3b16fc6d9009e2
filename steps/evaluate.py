"""How good the model is on rows that nothing was fitted or tuned on."""

from __future__ import annotations

import logging
from typing import Annotated

from zenml import step

from perennial import systems
from perennial.config import Evaluate, Learn
from perennial.evidence import Evaluation
from perennial.learn import evaluate as learn_evaluate
from perennial.learn.models import FittedModel
from perennial.table import Table

logger = logging.getLogger(__name__)


@step
def evaluate(
    model: FittedModel,
    train: Table,
    holdout: Table,
    system: str,
    rules: Evaluate,
    learn: Learn,
    seed: int,
) -> Annotated[Evaluation, "evaluation"]:
    """Metrics with intervals, beside those of the baselines on the same rows."""
    plugin = systems.get(system)
    evaluation = learn_evaluate.evaluate(
        system, model, train, holdout, rules, plugin.segments, seed, plugin.horizon, learn
    )
    logger.info(
        "evaluated on %s hold-out rows: %s",
        f"{evaluation.rows:,}",
        ", ".join(f"{m.name} {m}" for m in evaluation.metrics[:3]),
    )
    return evaluation
