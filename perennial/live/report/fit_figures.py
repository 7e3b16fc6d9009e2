"""The figures of how predictions and truth agree: calibration of classes, residuals of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perennial.live.report.axes import Axis, fitted_axis
from perennial.live.report.figures import Figure, listed
from perennial.live.report.plots import Point, Row, points_plot, rows_plot
from perennial.live.report.text import as_float, count_text, is_number, number_text, percent_text, with_unit

MOST_POINTS = 1000


def calibration_figure(details: Mapping[str, Any], level: float = math.nan) -> Figure:
    """How often it happened, against how probable the model had called it.

    `level` is that of the intervals that were measured with the shares; bins without one get Wilson's of 95 %.
    """
    points, rows, measured = [], 0, False
    for bin_ in listed(details, "calibration"):
        predicted, observed, count = (as_float(bin_.get(k)) for k in ("predicted", "observed", "rows"))
        ends = as_float(bin_.get("low")), as_float(bin_.get("high"))
        known = all(map(is_number, ends))
        points.append(Point(predicted, observed, *(ends if known else wilson(observed, count))))
        rows += int(count) if is_number(count) else 0
        measured = measured or known
    whiskers = f"{percent_text(level)} intervals" if is_number(level) else "intervals"
    whiskers = whiskers if measured else "95 % Wilson intervals"
    confusion = details.get("confusion")
    labels = list(confusion.get("labels") or ()) if isinstance(confusion, Mapping) else []
    of = str(labels[1]) if len(labels) == 2 else "the predicted class"
    title = f"Calibration: observed share of {of} against its predicted probability"
    note = (
        "On the dashed line, predicted probabilities come true exactly as often as stated. Whiskers are "
        f"{whiskers}; {count_text(rows, 'row')} in {count_text(len(points), 'bin')}."
    )
    x = Axis(f"mean predicted probability of {of}", -0.03, 1.03)
    y = Axis(f"observed share of {of}", -0.03, 1.03)
    svg = points_plot("calibration", title, note, points, x, y, guide="diagonal", cloud=False)
    return Figure(title, note, svg)


def truth_figures(details: Mapping[str, Any], target: str, unit: str) -> list[Figure]:
    """Predicted against true values, and the residuals against the predicted values."""
    part = details.get("residuals")
    part = part if isinstance(part, Mapping) else {}
    pairs = [
        (as_float(p), as_float(t))
        for p, t in zip(part.get("predicted") or (), part.get("truth") or (), strict=False)
        if is_number(p) and is_number(t)
    ]
    pairs = pairs[:: 1 + (len(pairs) - 1) // MOST_POINTS] if pairs else []
    values = [v for pair in pairs for v in pair]
    log = bool(pairs) and min(values) > 0 and _quantile(values, 0.99) > 20 * _quantile(values, 0.01)
    scale = " Both axes are logarithmic." if log else ""
    note = f"{count_text(len(pairs), 'hold-out row')}; perfect predictions lie on the dashed line.{scale}"
    title = f"Predicted {target} against what it truly was"
    x, y = (
        fitted_axis(with_unit(f"{kind} {target}", unit), values, log=log) for kind in ("true", "predicted")
    )
    first = Figure(
        title,
        note,
        points_plot("truth", title, note, [Point(t, p) for p, t in pairs], x, y, guide="diagonal"),
    )
    return [first, _residual_figure(pairs, target, unit, log=log)]


def _residual_figure(pairs: Sequence[tuple[float, float]], target: str, unit: str, *, log: bool) -> Figure:
    residuals = [100 * (p / t - 1) if log else p - t for p, t in pairs]
    low, high = (_quantile(residuals, 0.005), _quantile(residuals, 0.995)) if residuals else (0.0, 0.0)
    clipped = [min(max(r, low), high) for r in residuals]
    beyond = sum(c != r for c, r in zip(clipped, residuals, strict=True))
    title = f"Residuals (predicted − true) against predicted {target}"
    note = "Above the dashed line the model said too much, below too little."
    if beyond:
        note += f" {count_text(beyond, 'row')} beyond the axis drawn hollow at its edge."
    points = [Point(p, c, beyond=c != r) for (p, _), c, r in zip(pairs, clipped, residuals, strict=True)]
    x = fitted_axis(with_unit(f"predicted {target}", unit), [p for p, _ in pairs], log=log)
    y = fitted_axis(
        "residual (% of truth)" if log else with_unit("residual", unit), [*clipped, 0.0][: len(clipped) + 1]
    )
    return Figure(title, note, points_plot("residuals", title, note, points, x, y, guide="zero"))


def decile_figures(details: Mapping[str, Any], target: str, unit: str) -> list[Figure]:
    """Mean absolute percentage error and bias, by tenths of the rows in rising order of the prediction."""
    deciles = listed(details, "error_by_decile")
    figures = []
    for key, title, label in (
        (
            "mean_absolute_percentage_error",
            f"Size of the error by tenth of predicted {target}",
            "mean absolute percentage error (%)",
        ),
        ("bias", f"Bias by tenth of predicted {target}", with_unit("bias: mean of predicted − true", unit)),
    ):
        rows = [
            Row(f"{number_text(d.get('low'), 3)} to {number_text(d.get('high'), 3)}", as_float(d.get(key)))
            for d in deciles
        ]
        values = with_unit(f"predicted {target}", unit)
        note = f"A row is a tenth of the hold-out rows, labelled with its range of {values}."
        zero = 0.0 if key == "bias" else math.nan
        svg = rows_plot(f"decile-{key}", title, note, rows, label, reference=zero)
        figures.append(Figure(title, note, svg))
    return figures


def wilson(share: float, rows: float, z: float = 1.96) -> tuple[float, float]:
    """The score interval of a share observed among `rows` (Wilson 1927); NaN without rows.

    >>> [round(end, 3) for end in wilson(0.5, 100)]
    [0.404, 0.596]
    """
    if not (is_number(share) and is_number(rows) and rows > 0 and 0 <= share <= 1):
        return math.nan, math.nan
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)


def _quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the finite, non-empty `values` lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
