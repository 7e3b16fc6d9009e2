"""The model card: what a bundle is, for people (Mitchell et al. 2019, "Model Cards for Model Reporting")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from perennial.table import Column, Table

if TYPE_CHECKING:
    from perennial.evidence import Evaluation, Metric
    from perennial.live.pack import Parts


def model_card(parts: Parts, facts: Mapping[str, Any]) -> str:
    """The card in Markdown; `facts` are the manifest's fields."""
    sections = [
        _head(parts, facts),
        _data(parts),
        _quality(parts.evaluation),
        _use(parts),
        _features(parts.contract.features),
        _export(facts),
        _origin(parts, facts),
    ]
    return "\n\n".join(sections) + "\n"


def _head(parts: Parts, facts: Mapping[str, Any]) -> str:
    rule = parts.rule
    what = f"the class of `{rule.target}`: {', '.join(rule.classes)}" if rule.classes else f"`{rule.target}`"
    unit = f" in {rule.unit}" if rule.unit not in ("", "1") else ""
    described = parts.contract.target.description.rstrip(".")
    lines = [
        f"# {parts.system} {facts['version']}",
        "",
        f"Predicts {what}{unit} ({described}), with the candidate `{parts.candidate}`. "
        f"Built {facts['created_at']}.",
    ]
    if len(rule.classes) == 2:
        lines.append(
            f"It answers {rule.classes[1]} where the probability of that is above {rule.threshold:g}."
        )
    if rule.interval:
        levels = " and ".join(f"{level:.6g} %" for level in (100 * one for one in rule.interval.levels))
        lines.append(f"Each number comes with intervals that aim to cover {levels} of truths.")
    return "\n".join(lines)


def _data(parts: Parts) -> str:
    dataset = parts.dataset
    rows = [
        ("dataset version", str(dataset.version)),
        ("records in it", f"{dataset.rows:,}"),
        ("fingerprint", f"`{dataset.fingerprint[:16]}`"),
        ("rows fitted on", f"{len(parts.train):,}"),
        ("rows held out", f"{len(parts.holdout):,}"),
    ]
    if period := _period(parts.train):
        rows.append(("period of the rows fitted on", period))
    return "## Data\n\n" + _table(("what", "value"), rows)


def _period(table: Table) -> str:
    for column in table.contract.columns:
        if column.role == "time" and column.name in table.frame:
            times = table.frame[column.name].dropna()
            if len(times):
                first, last = str(times.min())[:19], str(times.max())[:19]
                return first if first == last else f"{first} to {last}"
    return ""


def _quality(evaluation: Evaluation) -> str:
    level = f"{evaluation.metrics[0].level:.0%}" if evaluation.metrics else ""
    baselines = {name: {m.name: m for m in found} for name, found in evaluation.baselines.items()}
    rows = [
        (_named(metric), str(metric), *(_value(known.get(metric.name)) for known in baselines.values()))
        for metric in evaluation.metrics
    ]
    verdicts = [
        f"- against {c.b}: {c.verdict} ({c.loss}, difference {c.difference:.4g} "
        f"[{c.low:.4g}, {c.high:.4g}] on {c.rows:,} rows, p = {c.p_value:.2g})"
        for c in evaluation.against_baselines
    ]
    text = (
        f"## How good it is\n\nOn {evaluation.rows:,} rows that nothing was fitted or tuned on; "
        f"brackets hold {level} bootstrap intervals.\n\n"
        + _table(("metric", "this model", *(f"baseline {name}" for name in baselines)), rows)
    )
    return text + ("\n\n" + "\n".join(verdicts) if verdicts else "")


def _use(parts: Parts) -> str:
    return "\n".join(
        [
            "## Intended use and limits",
            "",
            f"- Made for rows like those of its data: features of `{parts.system}` as listed below, from the "
            "same source and period. Nothing is claimed about others.",
            "- An impossible number and a category that was not seen in training are treated as missing; the "
            "answer then carries a flag. So does a number outside the range that it was trained on.",
            "- A missing value is answered without a flag where the contract allows it, usually less well.",
            "- Correlations in the data are no causes; changing a feature of a real case need not change its "
            "outcome as predicted.",
        ]
    )


def _features(features: Iterable[Column]) -> str:
    rows = [
        (f"`{c.name}`", c.kind, _possible(c), "yes" if c.nullable else "no", c.description) for c in features
    ]
    return "## Features\n\n" + _table(("name", "kind", "possible values", "may be missing", "meaning"), rows)


def _possible(column: Column) -> str:
    if column.kind == "category":
        shown = ", ".join(column.categories[:8])
        rest = len(column.categories) - 8
        return f"{shown} and {rest} more" if rest > 0 else shown
    return column.range_text() if column.is_numeric else "true, false"


def _export(facts: Mapping[str, Any]) -> str:
    parity = facts["parity"]
    if not parity:
        text = "No ONNX export was asked for. Served by scikit-learn from `model.skops`."
    elif "largest" not in parity:
        text = f"Served by scikit-learn from `model.skops`, as there is no ONNX form: {parity['reason']}."
    else:
        served = "`model.onnx` in ONNX Runtime" if parity["passed"] else "scikit-learn from `model.skops`"
        kind = "relative" if parity["relative"] else "absolute"
        rows = [
            (
                f"{label} ({parity[f'rows{end}']:,} rows)",
                _short(parity[f"largest{end}"]),
                _short(parity[f"p999{end}"]),
            )
            for label, end in (
                ("real", ""),
                ("beside decision thresholds", "_near"),
                ("with values taken out", "_missing"),
            )
        ]
        rows.append(("allowed", _short(parity["allowed_largest"]), _short(parity["allowed_p999"])))
        text = (
            f"Served by {served}. Difference between the ONNX form and the fitted model ({kind}):\n\n"
            + _table(("rows", "largest", "99.9th percentile"), rows)
        )
    return f"## Export\n\n{text}"


def _origin(parts: Parts, facts: Mapping[str, Any]) -> str:
    rows = [
        ("candidate", f"`{parts.candidate}`"),
        *((f"parameter {name}", f"`{value}`") for name, value in sorted(parts.parameters.items())),
        ("seed", str(parts.seed)),
        ("config digest", f"`{parts.config_digest[:16]}`"),
        ("code digest", f"`{parts.code_digest[:16]}`"),
        ("identity", f"`{facts['identity'][:16]}`"),
        *((name, version) for name, version in facts["environment"].items()),
    ]
    return "## Origin\n\n" + _table(("what", "value"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _named(metric: Metric) -> str:
    return metric.name if metric.unit in ("", "1") else f"{metric.name} ({metric.unit})"


def _value(metric: Metric | None) -> str:
    return "" if metric is None else str(metric)


def _short(number: float | None) -> str:
    return "no number" if number is None else f"{number:.2g}"
