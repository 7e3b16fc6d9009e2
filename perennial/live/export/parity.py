"""The gate between a fitted model and its export: do both answer the same, also where it is hardest?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.live.answer import AnswerRule, answer
from perennial.live.models import Model
from perennial.table import Matrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """How far an export is from the fitted model, on three kinds of rows.

    Differences are absolute for probabilities and, for numbers, relative on the natural scale: divided by
    the fitted model's answer, or by the median answer's size where that is larger (a relative difference of
    an answer near zero means nothing). A difference that is no number counts as infinite.

    Attributes:
        largest: largest difference on real rows; `p999` its 99.9th percentile; `rows` how many there were.
        largest_near: the same for rows on both sides of decision thresholds; `p999_near`, `rows_near`.
        largest_missing: the same for real rows with values taken out; `p999_missing`, `rows_missing`.
        labels_equal: share of all rows with the same predicted class; 1 for numbers.
        allowed_largest: the tolerance of every `largest`; `allowed_p999` that of every `p999`.
        relative: whether differences are relative.
        passed: whether all six are within tolerance.
    """

    largest: float
    p999: float
    rows: int
    largest_near: float
    p999_near: float
    rows_near: int
    largest_missing: float
    p999_missing: float
    rows_missing: int
    labels_equal: float
    allowed_largest: float
    allowed_p999: float
    relative: bool
    passed: bool

    def as_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values; an infinite difference is written as null."""
        return {k: v if not isinstance(v, float) or np.isfinite(v) else None for k, v in asdict(self).items()}


def parity(
    fitted: Model,
    exported: Model,
    matrix: Matrix,
    whole: npt.NDArray[np.bool_],
    rule: AnswerRule,
    seed: int,
    allowed_largest: float = 1e-3,
    allowed_p999: float = 1e-4,
    max_rows: int = 5000,
) -> Parity:
    """How closely `exported` follows `fitted` on rows drawn from `matrix`, and on rows made from them.

    `whole` says per feature whether it only takes whole numbers (integers, category codes, truth values).
    Rows near thresholds come in pairs that the exported model tells apart (see `threshold_rows`), in float64,
    which is what a service feeds to the model: where the fitted model turns elsewhere, one row of the pair
    shows it. A forest of scikit-learn rounds its input to
    float32 before comparing; both sides of that rounding are among the pairs, so an export that rounds
    elsewhere, or rounds its thresholds, shows up here.
    """
    rng = np.random.default_rng(seed)
    real = matrix if len(matrix) <= max_rows else matrix[rng.choice(len(matrix), max_rows, replace=False)]
    kinds = (real, threshold_rows(exported, real, whole, rng), missing_rows(real, rng))
    answers = [(fitted.raw(rows), exported.raw(rows)) for rows in kinds]
    scale = float(np.median(np.abs(_natural(answers[0][0], rule)))) or 1.0
    differences, equal = [], []
    for rows, (ours, theirs) in zip(kinds, answers, strict=True):
        differences.append(_difference(ours, theirs, rule, scale))
        equal.append(ours.argmax(axis=1) == theirs.argmax(axis=1) if rule.classes else np.ones(len(rows)))
    largest = [float(d.max(initial=0.0)) for d in differences]
    p999 = [float(np.quantile(d, 0.999, method="higher")) if len(d) else 0.0 for d in differences]
    return Parity(
        largest=largest[0],
        p999=p999[0],
        rows=len(kinds[0]),
        largest_near=largest[1],
        p999_near=p999[1],
        rows_near=len(kinds[1]),
        largest_missing=largest[2],
        p999_missing=p999[2],
        rows_missing=len(kinds[2]),
        labels_equal=float(np.concatenate(equal).mean()),
        allowed_largest=allowed_largest,
        allowed_p999=allowed_p999,
        relative=not rule.classes,
        passed=max(largest) <= allowed_largest and max(p999) <= allowed_p999,
    )


def threshold_rows(
    model: Model,
    matrix: Matrix,
    whole: npt.NDArray[np.bool_],
    rng: np.random.Generator,
    pairs: int = 256,
) -> Matrix:
    """Rows just below, at and just above points where the model's output changes.

    A pair starts as a real row and its copy with one feature taken from another real row. Where the model
    tells the two apart (for half of the pairs: gives another class), the feature is bisected until no
    float64 lies between them, or no whole number where the feature takes no others. That ends at a threshold
    of a tree, wherever the tree stands in a pipeline. Both ends are kept, and their float32 neighbours. A
    smooth model has no thresholds; its pairs end where its class changes, or close together.
    """
    n, k = matrix.shape
    low = matrix[rng.integers(0, n, 4 * pairs)]
    feature = rng.integers(0, k, 4 * pairs)
    every = np.arange(4 * pairs)
    high = low.copy()
    high[every, feature] = matrix[rng.integers(0, n, 4 * pairs), feature]
    below, above = model.raw(low), model.raw(high)
    finite = np.isfinite(low[every, feature]) & np.isfinite(high[every, feature])
    by_raw = finite & _differ(below, above)
    by_class = by_raw & _differ(_classes(below), _classes(above))
    chosen = np.concatenate([np.flatnonzero(by_class)[: pairs // 2], np.flatnonzero(by_raw)[: pairs // 2]])
    classwise = np.arange(len(chosen)) < min(int(by_class.sum()), pairs // 2)
    if not len(chosen):
        return matrix[:0]
    low, high, feature, start = low[chosen], high[chosen], feature[chosen], below[chosen]
    every = np.arange(len(chosen))
    for _ in range(80):
        middle = low[every, feature] / 2 + high[every, feature] / 2
        middle = np.where(whole[feature], np.floor(middle), middle)
        still = (middle != low[every, feature]) & (middle != high[every, feature])
        if not still.any():
            break
        trial = low.copy()
        trial[every, feature] = middle
        raw = model.raw(trial)
        changed = np.where(classwise, _differ(_classes(start), _classes(raw)), _differ(start, raw))
        high[still & changed, feature[still & changed]] = middle[still & changed]
        low[still & ~changed, feature[still & ~changed]] = middle[still & ~changed]
    rows = [low, high]
    for end, direction in ((low, -np.inf), (high, np.inf)):
        beside = end.copy()
        rounded = end[every, feature].astype(np.float32)
        beside[every, feature] = np.nextafter(rounded, np.float32(direction)).astype(np.float64)
        rows.append(beside[~whole[feature]])
    return np.concatenate(rows)


def missing_rows(matrix: Matrix, rng: np.random.Generator, most: int = 1000) -> Matrix:
    """Real rows with one to all of their values missing; the first has none left."""
    rows = matrix[rng.integers(0, len(matrix), min(most, len(matrix)))].copy()
    share = rng.random((len(rows), 1))
    rows[rng.random(rows.shape) < share] = np.nan
    rows[np.arange(len(rows)), rng.integers(0, rows.shape[1], len(rows))] = np.nan
    rows[0] = np.nan
    return rows


def _natural(raw: Floats, rule: AnswerRule) -> Floats:
    return raw if rule.classes else np.asarray(answer(raw, rule).prediction, dtype=np.float64)


def _difference(ours: Floats, theirs: Floats, rule: AnswerRule, scale: float) -> Floats:
    if ours.shape != theirs.shape:
        return np.full(len(ours), np.inf)
    a, b = _natural(ours, rule), _natural(theirs, rule)
    gap = np.abs(a - b).max(axis=1) if rule.classes else np.abs(a - b) / np.maximum(np.abs(a), scale)
    return np.where(np.isnan(gap), np.inf, gap)


def _classes(raw: Floats) -> npt.NDArray[Any]:
    return raw.argmax(axis=1) if raw.ndim == 2 else raw


def _differ(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray((a != b).reshape(len(a), -1).any(axis=1))
