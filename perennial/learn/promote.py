"""Whether a challenger is released. Every rule, passed or failed, says a sentence with its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from perennial.errors import Violation, ViolationsError, suggestion
from perennial.evidence import Comparison, Decision, Evaluation, Reason
from perennial.learn.compare import holm
from perennial.learn.gates import gate_reasons
from perennial.learn.tasks import RULES
from perennial.live.answer import Task
from perennial.live.report.text import p_value_text

if TYPE_CHECKING:
    from perennial.config import Promotion
    from perennial.learn.measured import Measured


def decide(
    evaluation: Evaluation,
    against_champion: Comparison | None,
    champion_same: bool,
    parity: Mapping[str, Any] | None,
    measured: Measured,
    rules: Promotion,
    barred: bool = False,
) -> Decision:
    """Whether to promote: only if every rule passes.

    Args:
        evaluation: the challenger on unseen rows.
        against_champion: challenger (a) against champion (b) on rows that neither was fitted on; None if
            nothing serves yet.
        champion_same: whether the champion is this very model.
        parity: what the export gate found (see `perennial.live.export.parity`): `passed`, and `required` where a
            model without an export must not ship; None or empty if no export was asked for.
        measured: what the challenger's bundle was measured by (see `perennial.learn.measured`).
        rules: the promotion section of the config.
        barred: whether this very model was rolled back from, and not released by hand since.

    Raises:
        ViolationsError: if a bound names an unknown or unsuitable metric.
    """
    task: Task = "regression" if evaluation.task == "regression" else "classification"
    violations = check_promotion(rules, task)
    if violations:
        raise ViolationsError("promotion", violations)
    reasons = [
        _complete(evaluation, task),
        _enough_rows(evaluation, rules),
        *_baselines(evaluation, rules),
        *_bounds(evaluation, rules),
        _champion(against_champion, champion_same, rules),
        *gate_reasons(evaluation, measured, rules),
        _parity(parity),
        _new(champion_same),
        _not_barred(barred),
    ]
    return Decision(promote=all(r.passed for r in reasons), reasons=tuple(reasons))


def check_promotion(rules: Promotion, task: Task) -> list[Violation]:
    """All that is wrong with the bounds on metrics of a config for this task; empty if nothing is."""
    found = []
    for section, ending, bounds in (
        ("floors", "_score", rules.floors),
        ("ceilings", "_error", rules.ceilings),
    ):
        known = [name for name in RULES[task].metrics if name.endswith(ending)]
        for name, bound in bounds.items():
            where = f"promotion.{section}.{name}"
            if name not in known:
                kind = f"metric for {task} that ends in {ending}"
                near = suggestion(name, known)
                found.append(Violation(where, f"expected a {kind}, found {name!r}{near}"))
            elif not math.isfinite(bound):
                found.append(Violation(where, f"expected a finite number, found {bound}"))
    for place, doubt in enumerate(rules.too_good):
        if doubt.metric not in RULES[task].metrics:
            near = suggestion(doubt.metric, RULES[task].metrics)
            where = f"promotion.too_good.{place}.metric"
            found.append(Violation(where, f"expected a metric for {task}, found {doubt.metric!r}{near}"))
    return found


def _complete(evaluation: Evaluation, task: Task) -> Reason:
    needed = [n for n in RULES[task].metrics if n not in RULES[task].optional]
    measured = {m.name: m for m in evaluation.metrics}
    absent = [n for n in needed if n not in measured]
    broken = [m.name for m in evaluation.metrics if not all(map(math.isfinite, (m.value, m.low, m.high)))]
    if absent or broken:
        parts = [f"missing {', '.join(absent)}"] * bool(absent) + [f"not finite {', '.join(broken)}"] * bool(
            broken
        )
        return _reason(
            "metrics", False, f"Expected complete and finite metrics, found {' and '.join(parts)}."
        )
    return _reason("metrics", True, f"All {len(evaluation.metrics)} metrics were measured and are finite.")


def _enough_rows(evaluation: Evaluation, rules: Promotion) -> Reason:
    enough = evaluation.rows >= rules.min_rows
    sentence = f"The evidence rests on {evaluation.rows:,} unseen rows, {rules.min_rows:,} are needed."
    return _reason("min_rows", enough, sentence)


def _baselines(evaluation: Evaluation, rules: Promotion) -> Iterator[Reason]:
    """The challenger must be better than every baseline; p-values are adjusted for being several (Holm)."""
    compared = evaluation.against_baselines
    left_out = sorted(set(evaluation.baselines) - {c.b for c in compared})
    if left_out or not compared:
        names = ", ".join(left_out) or "any baseline"
        yield _reason("baselines", False, f"Expected a comparison with {names}, found none.")
    for comparison, p_value in zip(compared, holm([c.p_value for c in compared]), strict=True):
        clear = _is_sound(comparison) and p_value <= rules.alpha
        better = clear and comparison.verdict == "better" and comparison.difference < 0
        verb = "beats" if better else "does not beat"
        yield _reason(
            f"baseline {comparison.b}",
            better,
            f"{evaluation.candidate} {verb} the baseline {comparison.b}: {_numbers(comparison)}, adjusted "
            f"p {p_value_text(p_value)} at alpha {rules.alpha:g}.",
        )


def _bounds(evaluation: Evaluation, rules: Promotion) -> Iterator[Reason]:
    measured = {m.name: m for m in evaluation.metrics}
    for word, bounds in (("floor", rules.floors), ("ceiling", rules.ceilings)):
        for name, bound in bounds.items():
            metric = measured.get(name)
            if metric is None:
                yield _reason(
                    f"{word} {name}", False, f"{name} was not measured, so its {word} {bound:g} is not met."
                )
                continue
            kept = metric.value >= bound if word == "floor" else metric.value <= bound
            unit = "" if metric.unit == "1" else f" {metric.unit}"
            sentence = (
                f"{name} is {metric}{unit}, {'within' if kept else 'beyond'} its {word} of {bound:g}{unit}."
            )
            yield _reason(f"{word} {name}", kept, sentence)


def _champion(comparison: Comparison | None, same: bool, rules: Promotion) -> Reason:
    """`better`: significantly so. `not_worse`: at most the margin behind, and not significantly so.

    Being behind significantly is still `not_worse` where the whole interval lies within the margin (the
    definition of non-inferiority). Where it does not, the mean difference is judged and not the far end of
    its interval: on a few hundred rows that end lies beyond any margin worth having, and no retrained model
    would ever be released. The interval stands in the sentence.
    """
    if same:
        return _reason("champion", True, "There is no other champion to compare with.")
    if comparison is None:
        return _reason("champion", True, "There is no champion yet to compare with.")
    against = (
        f"Against the champion {comparison.b}: {_numbers(comparison)}, p {p_value_text(comparison.p_value)}"
    )
    if comparison.verdict == "not enough data":
        sentence = f"{against}; {comparison.rows:,} rows are not enough data for a verdict."
        return _reason("champion", False, sentence)
    if not _is_sound(comparison) or comparison.loss_b is None:
        return _reason("champion", False, f"{against}; the comparison is not complete and finite.")
    significant = comparison.p_value <= rules.alpha
    if rules.champion == "better":
        better = significant and comparison.verdict == "better" and comparison.difference < 0
        sentence = f"{against}; {'better' if better else 'not better'} at {rules.alpha:g}."
        return _reason("champion", better, sentence)
    allowed = rules.champion_margin * abs(comparison.loss_b)
    behind = comparison.verdict == "worse" or (significant and comparison.difference > 0)
    kept = comparison.difference <= allowed and (not behind or comparison.high <= allowed)
    verdict = "not worse" if kept else "worse"
    margin = f"{_told(allowed)}, {rules.champion_margin:.3g} of its loss"
    return _reason("champion", kept, f"{against}; {verdict}, with a margin of {margin}.")


def _is_sound(comparison: Comparison) -> bool:
    """Whether a comparison consists of finite numbers."""
    values = (comparison.difference, comparison.low, comparison.high, comparison.p_value)
    return all(map(math.isfinite, values)) and math.isfinite(comparison.loss_b or 0.0)


def _parity(parity: Mapping[str, Any] | None) -> Reason:
    if not parity:
        return _reason("parity", True, "No export was asked for, so the fitted model itself serves.")
    found = _parity_numbers(parity)
    if parity.get("passed") is True:
        return _reason("parity", True, f"The export answers like the fitted model: {found}.")
    if parity.get("required") is True:
        return _reason("parity", False, f"The export is required and does not pass its gate: {found}.")
    return _reason(
        "parity", True, f"The export does not pass its gate, so the fitted model itself serves: {found}."
    )


def _parity_numbers(parity: Mapping[str, Any]) -> str:
    """The largest differences on real rows and beside decision thresholds, or why there are none."""
    if "largest" not in parity:
        return str(parity.get("reason") or "nothing was measured")
    real, near = _short(parity["largest"]), _short(parity["largest_near"])
    return (
        f"it differs by at most {real} on {parity['rows']:,} rows and {near} on {parity['rows_near']:,} rows "
        f"beside decision thresholds, {_short(parity['allowed_largest'])} is allowed"
    )


def _short(value: Any) -> str:
    if value is None:
        return "not finite"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _new(champion_same: bool) -> Reason:
    if champion_same:
        return _reason("identical", False, "This very model is already serving.")
    return _reason("identical", True, "The model differs from what serves.")


def _not_barred(barred: bool) -> Reason:
    if barred:
        return _reason(
            "barred", False, "This very model was rolled back from; release it by hand or train another."
        )
    return _reason("barred", True, "The model was never rolled back from.")


def _reason(rule: str, passed: bool, sentence: str) -> Reason:
    return Reason(rule=rule, passed=passed, sentence=sentence)


def _numbers(comparison: Comparison) -> str:
    unit = "" if comparison.unit == "1" else f" {comparison.unit}"
    bounds = f"[{_told(comparison.low)}, {_told(comparison.high)}]"
    return (
        f"{comparison.loss} differs by {_told(comparison.difference)} {bounds}{unit} "
        f"on {comparison.rows:,} rows ({comparison.verdict})"
    )


def _told(value: float) -> str:
    """A number with three digits or more, never with an exponent where it is large.

    >>> _told(-8413.2), _told(0.0064321)
    ('-8,413', '0.00643')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
