"""One model against another, paired on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.errors import NotEnoughDataError, PerennialError, UnknownNameError
from perennial.evidence import Comparison, Verdict
from perennial.learn.clusters import Origins
from perennial.learn.pairs import Pairs, pairs_of, percentage_errors, row_log_loss
from perennial.learn.resampling import draws_of, flipped_means, interval
from perennial.live.answer import Answers

Floats = npt.NDArray[np.float64]

FEWEST_ROWS = 30
"""Fewer pairs than this give no verdict: the bootstrap's coverage falls well below its level."""


@dataclass(frozen=True)
class Contender:
    """A model's answers to the rows of a comparison, and its class names in the probabilities' order."""

    name: str
    answers: Answers
    classes: tuple[str, ...] = ()


def _zero_one(pairs: Pairs) -> Floats:
    return np.asarray(pairs.prediction != pairs.truth, dtype=np.float64)


def _absolute(pairs: Pairs) -> Floats:
    return np.asarray(np.abs(pairs.prediction - pairs.truth))


LOSSES: dict[str, tuple[Callable[[Pairs], Floats], str]] = {
    "log_loss": (row_log_loss, "1"),
    "zero_one": (_zero_one, "1"),
    "absolute_error": (_absolute, "target"),
    "absolute_percentage_error": (percentage_errors, "%"),
}
"""Loss per row by name, with its unit ("target" for the target's)."""


def row_losses(loss: str, truth: npt.NDArray[Any], answers: Answers, classes: Sequence[str] = ()) -> Floats:
    """The loss of every row, shape (n_rows,), in the unit that `LOSSES` names.

    Raises:
        UnknownNameError: if no loss is called so.
        PerennialError: if a row does not define the loss.
    """
    if loss not in LOSSES:
        raise UnknownNameError("loss", loss, LOSSES)
    values = LOSSES[loss][0](pairs_of(truth, answers, classes))
    undefined = int(np.isnan(values).sum())
    if undefined:
        raise PerennialError(
            f"expected rows that define the loss {loss}, found {undefined:,} whose truth is 0; "
            "use absolute_error"
        )
    return values


def compare(
    a: str,
    b: str,
    losses_a: Floats,
    losses_b: Floats,
    *,
    loss: str,
    seed: int,
    level: float = 0.95,
    resamples: int = 1000,
    unit: str = "1",
    fewest_rows: int = FEWEST_ROWS,
    origins: Origins | None = None,
) -> Comparison:
    """Model `a` against model `b` by their losses on the same rows, shape (n_rows,) each.

    The interval is a paired percentile bootstrap of the mean difference. The two-sided p-value is that of a
    sign-flip test (Fisher 1935), counted so that it is never 0 (Phipson and Smyth 2010), or for
    0/1 losses of the exact McNemar test (McNemar 1947). Rows of a series (`origins` given) are drawn in blocks, and
    the p-value is that of `diebold_mariano`. `better` or `worse` needs both to agree at `level`.

    Raises:
        PerennialError: if the losses are not of the same rows, or not finite.
        NotEnoughDataError: if there is no row at all.
    """
    if losses_a.shape != losses_b.shape:
        raise PerennialError(
            f"expected the losses of {a} and {b} on the same rows, found {losses_a.size:,} and "
            f"{losses_b.size:,}; predict the same rows with both"
        )
    if losses_a.size == 0:
        raise NotEnoughDataError(f"comparison of {a} with {b}", 0, fewest_rows)
    if not (np.isfinite(losses_a).all() and np.isfinite(losses_b).all()):
        raise PerennialError(
            f"expected finite losses of {a} and {b}, found others; mend the model or the rows"
        )
    differences = losses_a - losses_b
    rows = len(differences)
    observed = float(differences.mean())
    means = [draws.mean(differences) for draws in draws_of(rows, resamples, seed, origins)]
    low, high = interval(np.concatenate(means), level)
    if origins is not None:
        p_value = diebold_mariano(differences, origins)
    elif loss == "zero_one":
        p_value = mcnemar_p(int((differences > 0).sum()), int((differences < 0).sum()))
    else:
        flipped = np.abs(flipped_means(differences, resamples, seed + 1))
        # The tolerance counts a flip that gives the observed mean back, whatever the order of its sum.
        reached = int((flipped >= abs(observed) - 1e-12 * np.abs(differences).mean()).sum())
        p_value = (reached + 1) / (resamples + 1)
    return Comparison(
        a=a,
        b=b,
        loss=loss,
        difference=observed,
        low=low,
        high=high,
        level=level,
        p_value=p_value,
        rows=rows,
        verdict=_verdict(rows, fewest_rows, p_value, 1.0 - level, low, high),
        unit=unit,
        loss_b=float(losses_b.mean()),
    )


def compare_answers(
    a: Contender,
    b: Contender,
    truth: npt.NDArray[Any],
    *,
    loss: str,
    seed: int,
    level: float = 0.95,
    resamples: int = 1000,
    unit: str = "1",
    fewest_rows: int = FEWEST_ROWS,
    origins: Origins | None = None,
) -> Comparison:
    """`compare` for two models' answers to the same rows; `unit` is the target's."""
    losses = [row_losses(loss, truth, c.answers, c.classes) for c in (a, b)]
    own = LOSSES[loss][1]
    return compare(
        a.name,
        b.name,
        *losses,
        loss=loss,
        seed=seed,
        level=level,
        resamples=resamples,
        unit=(unit or "1") if own == "target" else own,
        fewest_rows=fewest_rows,
        origins=origins,
    )


def diebold_mariano(differences: Floats, origins: Origins) -> float:
    """The two-sided p-value of a mean loss difference between two forecasts of a series.

    The test of Diebold and Mariano (1995) on the origins' mean differences, with the small-sample correction and
    the t-distribution of Harvey, Leybourne and Newbold (1997, equations 8 and 9). Autocovariances count up to the
    number of origins that look at one truth, less one; where their sum is not positive, the variance alone counts.

    Args:
        differences: loss of the one forecast less that of the other, shape (n_rows,).
        origins: which origin every row belongs to.
    """
    from scipy.special import stdtr

    count = origins.count
    if count < 2:
        return 1.0
    sums = np.bincount(origins.place, weights=differences, minlength=count)
    values = sums / (len(differences) / count)
    centred = values - values.mean()
    h = min(origins.overlapping, count - 1)
    covariances = [float(centred[k:] @ centred[: count - k]) / count for k in range(h)]
    variance = covariances[0] + 2.0 * sum(covariances[1:])
    if variance <= 0.0:
        h, variance = 1, covariances[0]
    if variance <= 0.0:
        return 1.0 if values.mean() == 0.0 else 0.0
    correction = sqrt((count + 1 - 2 * h + h * (h - 1) / count) / count)
    statistic = correction * float(values.mean()) / sqrt(variance / count)
    return float(2.0 * stdtr(count - 1, -abs(statistic)))


def mcnemar_p(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value of McNemar's test: `only_a` rows only a has wrong, `only_b` only b.

    >>> round(mcnemar_p(1, 9), 4)
    0.0215
    """
    n, k = only_a + only_b, min(only_a, only_b)
    log_terms = [lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) - n * log(2.0) for i in range(k + 1)]
    return min(1.0, 2.0 * sum(exp(t) for t in log_terms))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for being several, in the order given (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return tuple(adjusted)


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values adjusted by `holm`; a verdict that these do not carry is inconclusive."""
    return [
        c.model_copy(
            update={
                "p_value": p_value,
                "verdict": "inconclusive"
                if c.verdict in ("better", "worse") and p_value > 1.0 - c.level
                else c.verdict,
            }
        )
        for c, p_value in zip(comparisons, holm([c.p_value for c in comparisons]), strict=True)
    ]


def _verdict(rows: int, fewest_rows: int, p_value: float, alpha: float, low: float, high: float) -> Verdict:
    if rows < fewest_rows:
        return "not enough data"
    if p_value <= alpha and high < 0:
        return "better"
    if p_value <= alpha and low > 0:
        return "worse"
    return "inconclusive"
