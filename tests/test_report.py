"""The evaluation report: complete, harmless, finite and the same for the same facts, whatever is missing."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from report_facts import (
    EVIL,
    check_drawing,
    classification_details,
    facts,
    parsed,
    regression_details,
    text_of,
    trial,
    with_details,
)

from perennial.evidence import (
    CheckFinding,
    CheckReport,
    Comparison,
    DatasetReference,
    Decision,
    Evaluation,
    Metric,
    Reason,
    SearchResult,
    Trial,
)
from perennial.live.report import tables as report_tables
from perennial.live.report.axes import fitted_axis, scale, tick_texts, ticks
from perennial.live.report.evaluation import ReportFacts, report_html, verdict
from perennial.live.report.figures import by_merit
from perennial.live.report.fit_figures import wilson
from perennial.live.report.page import DARK, LIGHT, page
from perennial.live.report.plots import Point, Row, points_plot, rows_plot


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_whole_report_is_well_formed_complete_and_repeatable(task: str) -> None:
    html = report_html(facts(task))
    text = text_of(html)
    for expected in (
        "Demo system, v3", "2025-03-02 14:05 UTC", "65,020", "63,412", "128", "1,480", "f1ngerpr1nt", "c0de",
        "a year of 2060", "some are missing", "0 block, 1 warning, 1 note", "/data/rejected.parquet",
        "0.912 [0.862,", "best baseline: naive", "3 trials of 2 candidates", "boosting: no time", "3.1e-07",
        "3.11.9", "< 0.001", "1,234",
    ):  # fmt: skip
        assert expected in text, expected
    assert report_html(facts(task)) == html
    assert "Not drawn" not in text


def test_a_classification_shows_calibration_confusion_and_classes() -> None:
    text = text_of(report_html(facts()))
    for expected in ("Calibration", "0.0345", "Confusion matrix", "0.847", "probability of yes", "above 0.5"):
        assert expected in text
    html = report_html(facts())
    cells = [float(v.replace(",", "")) for v in re.findall(r'<td style="--share:[\d.]+">([\d,]+)<', html)]
    assert sum(cells) == sum(map(sum, classification_details()["confusion"]["counts"]))


def test_a_regression_shows_residuals_deciles_and_coverage() -> None:
    html = report_html(facts("regression"))
    text = text_of(html)
    for expected in ("predicted price (GBP)", "residual (GBP)", "bias"):
        assert expected in text
    assert "Median width (GBP) 90 % 89.73 % 12,512 4,410" in text
    cloud = next(s for s in re.findall(r"<svg.*?</svg>", html) if 'id="truth-t"' in s)
    assert cloud.count("<circle") == 300


def test_every_reason_is_shown_with_its_outcome_failed_ones_first() -> None:
    decision = Decision(
        promote=False,
        reasons=(
            Reason(rule="metrics", passed=True, sentence="All 6 metrics were measured."),
            Reason(
                rule="baseline prior",
                passed=False,
                sentence="Forest does not beat the baseline prior: p 0.4.",
            ),
            Reason(rule="min_rows", passed=True, sentence="Rows are enough."),
            Reason(rule="floor", passed=False, sentence="accuracy_score is 0.8, beyond its floor of 0.85."),
        ),
    )
    html = report_html(facts(decision=decision))
    shown = re.findall(r'<b class="(good|bad)">(passed|failed)</b></td>\s*<td class="wide">(.*?)</td>', html)
    assert [(c, o) for c, o, _ in shown] == [("bad", "failed")] * 2 + [("good", "passed")] * 2
    assert {s for _, _, s in shown} == {r.sentence for r in decision.reasons}
    assert verdict(facts(decision=decision)) == (
        "v2 was kept and v3 was not promoted, because forest does not beat the baseline prior: p 0.4; and "
        "accuracy_score is 0.8, beyond its floor of 0.85."
    )


def test_the_verdict_is_one_sentence() -> None:
    assert verdict(facts()) == (
        "v3 was promoted in place of v2: all 3 rules passed; log loss 0.250 [0.200,\xa00.290] against "
        "0.7 for the best baseline, naive."
    )
    first = facts(champion=None, against_champion=None)
    assert verdict(first).startswith("v3 was promoted as the first release: all 3 rules passed; ")
    silent = facts(decision=Decision(promote=False, reasons=()), champion="")
    assert verdict(silent) == "v3 was not promoted, because the decision gives no reason."
    for each in (first, silent):
        assert verdict(each) in text_of(report_html(each)).replace("[0.200, ", "[0.200,\xa0")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_markup_in_any_value_stays_text(task: str) -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, str):
            return value if value in KEPT else f"{value}{EVIL}"
        if isinstance(value, dict):
            return {key if key in KEYS else f"{key}{EVIL}": poison(v) for key, v in value.items()}
        return [poison(v) for v in value] if isinstance(value, (list, tuple)) else value

    kept_metrics = {"accuracy_score", "log_loss_error", "mean_absolute_error", "r2_score"}
    KEPT = {task, "block", "warning", "note", "better", *kept_metrics}
    plain = facts(task).model_dump()
    created = plain.pop("created_at")
    KEYS = known_keys(plain)
    html = report_html(ReportFacts(**poison(plain), created_at=created))
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    parsed(html)


def known_keys(plain: dict[str, Any]) -> set[str]:
    """The names that are ours (fields, keys of details), not the data's (classes, parameters, packages)."""
    kinds = (ReportFacts, Evaluation, SearchResult, Trial, Metric, Comparison, Decision, Reason, CheckReport)
    fields = {name for kind in (*kinds, CheckFinding, DatasetReference) for name in kind.model_fields}
    parts = {
        key
        for part in plain["evaluation"]["details"].values()
        if isinstance(part, list)
        for r in part
        for key in r
    }
    ours = {
        "labels",
        "counts",
        "precision",
        "recall",
        "f1",
        "support",
        "predicted",
        "truth",
        "level",
        "coverage",
    }
    manifest = {"seed", "code_digest", "parameters", "parity", "environment"}
    return fields | parts | ours | manifest | {"median_width"} | set(plain["evaluation"]["details"])


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_any_part_of_the_details_may_be_missing_or_empty(task: str) -> None:
    whole = regression_details() if task == "regression" else classification_details()
    for key in whole:
        for rest in (
            {k: v for k, v in whole.items() if k != key},
            {**whole, key: None},
            {**whole, key: type(whole[key])()},
        ):
            parsed(report_html(with_details(rest, task)))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_what_was_not_measured_has_no_heading(task: str) -> None:
    def headings(details: dict[str, Any]) -> set[str]:
        html = report_html(with_details(details, task))
        assert "Not drawn" not in html
        return set(re.findall(r"<h[23][^>]*>(.*?)</h[23]>", html))

    whole = regression_details() if task == "regression" else classification_details()
    assert headings(whole) - headings({}) >= {
        "Where it is right and where it errs",
        "By segment",
        "What it relies on",
    }


@pytest.mark.parametrize("value", [math.nan, None, math.inf, -math.inf])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_numbers_that_are_none_draw_nothing_and_break_nothing(task: str, value: float | None) -> None:
    def emptied(part: Any) -> Any:
        if isinstance(part, dict):
            return {k: emptied(v) for k, v in part.items()}
        if isinstance(part, list):
            return [emptied(v) for v in part]
        return value if isinstance(part, (int, float)) else part

    base = facts(task)
    number = math.nan if value is None else value
    nothing = tuple(
        m.model_copy(update={"value": number, "low": number, "high": number}) for m in base.evaluation.metrics
    )
    empty = trial(0, score=number).model_copy(update={"folds": (number, number), "seconds": number})
    hollow = base.model_copy(
        update={
            "evaluation": base.evaluation.model_copy(
                update={
                    "metrics": nothing,
                    "baselines": {"naive": nothing},
                    "against_baselines": tuple(
                        c.model_copy(
                            update={"difference": number, "low": number, "high": number, "p_value": number}
                        )
                        for c in base.evaluation.against_baselines
                    ),
                    "details": emptied(base.evaluation.details),
                }
            ),
            "search": SearchResult(trials=(empty,), best=empty, budget_exhausted=False),
        }
    )
    html = report_html(hollow)
    assert "<circle" not in html
    assert "–" in text_of(html)
    assert not re.search(r"\b(nan|inf|None)\b", text_of(html))


def test_nothing_at_all_is_still_a_report() -> None:
    base = facts()
    only = trial(0)
    bare = base.model_copy(
        update={
            "evaluation": base.evaluation.model_copy(
                update={"metrics": (), "baselines": {}, "against_baselines": (), "details": {}, "rows": 0}
            ),
            "search": SearchResult(trials=(), best=only, budget_exhausted=True),
            "manifest": {},
            "champion": None,
            "against_champion": None,
            "checks": CheckReport(rows_in=0, rows_out=0, quarantined=0, duplicates=0, findings=()),
        }
    )
    text = text_of(report_html(bare))
    for expected in (
        "No metric was measured.",
        "does not state: seed, code_digest",
        "no champion to compare",
    ):
        assert expected in text


def test_one_class_and_one_row() -> None:
    one = classification_details(("only",))
    one["calibration"] = [{"predicted": 1.0, "observed": 1.0, "rows": 1}]
    text = text_of(report_html(with_details(one, rows=1)))
    assert "1 row in 1 bin" in text
    assert "1 hold-out row that" in text
    single = {
        "residuals": {"predicted": [5.0], "truth": [5.0]},
        "error_by_decile": [{"low": 5.0, "high": 5.0, "rows": 1}],
    }
    html = report_html(with_details(single, "regression", rows=1))
    assert html.count("<circle") >= 2
    parsed(html)


def test_two_hundred_candidates_and_many_classes_fit_the_page() -> None:
    many = tuple(trial(i, f"candidate_with_a_rather_long_name_{i}") for i in range(200))
    labels = tuple(f"class {i:03d}" for i in range(120))
    big = with_details(classification_details(labels))
    big = big.model_copy(update={"search": SearchResult(trials=many, best=many[17], budget_exhausted=False)})
    html = report_html(big)
    text = text_of(html)
    assert "best 24 of 200 trials" in text
    assert "100 smaller ones left out" in text
    assert all(f"candidate_with_a_rather_long_name_{i}<" in html for i in range(200))


def test_many_findings_and_points_stay_small() -> None:
    base = facts("regression")
    finding = CheckFinding(severity="note", rule="range", column="c", rows=1, message="m" * 200)
    block = finding.model_copy(update={"severity": "block", "message": "the one that blocks"})
    checks = base.checks.model_copy(update={"findings": (finding,) * 5000 + (block,)})
    points = [float(i % 977 + 1) for i in range(50_000)]
    many = with_details({"residuals": {"predicted": points, "truth": points[::-1]}}, "regression")
    html = report_html(many.model_copy(update={"checks": checks}))
    assert "the one that blocks" in html
    parsed(html)


def test_times_are_told_in_utc() -> None:
    late = datetime(2025, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert "2024-12-31 23:30 UTC" in report_html(facts(created_at=late))


def test_trials_are_ranked_by_what_is_better() -> None:
    scores = [0.5, math.nan, 0.9, 0.7]
    up = [trial(i, metric="accuracy_score", score=s) for i, s in enumerate(scores)]
    down = [trial(i, metric="log_loss_error", score=s) for i, s in enumerate(scores)]
    assert [t.parameters["depth"] for t in by_merit(up)] == [3, 4, 1, 2]
    assert [t.parameters["depth"] for t in by_merit(down)] == [1, 4, 3, 2]


@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [1e300, -1e300],
        [1e-300, 2e-300],
        [5.0, 5.0],
        [1.0, 1.0 + 1e-13],
        [-3.0, 1e9],
        [1e17, 1e17 + 64],
        [0, 1, 2],
    ],
)
def test_axes_hold_their_values_and_round_ticks(values: list[float]) -> None:
    axis = fitted_axis("x", values)
    assert axis is not None
    assert axis.low <= min(values) <= max(values) <= axis.high
    marks = ticks(axis)
    assert 1 <= len(marks) <= 9
    assert marks == sorted(marks)
    assert all(axis.low <= m <= axis.high for m in marks)
    assert len(tick_texts(marks)) == len(marks)
    place = scale(axis, 10.0, 200.0)
    assert all(10.0 <= place(v) <= 200.0 for v in values)
    assert place(axis.low) == pytest.approx(10.0)
    assert place(axis.high) == pytest.approx(200.0)


def test_an_axis_without_values_or_beyond_floats_is_none() -> None:
    assert fitted_axis("x", [math.nan, math.inf]) is None
    assert fitted_axis("x", [1.7e308, -1.7e308]) is None
    assert fitted_axis("x", [0.0, -1.0], log=True) is None


def test_tick_texts_name_the_values() -> None:
    units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    for axis in (fitted_axis("x", v) for v in ([0, 0.013], [-0.4, 7], [100, 1100], [2e5, 9e5], [1e6, 7e9])):
        assert axis is not None
        for mark, shown in zip(ticks(axis), tick_texts(ticks(axis)), strict=True):
            plain = shown.replace("−", "-").replace(",", "")
            factor = units.get(plain[-1], 1.0)
            assert float(plain.rstrip("kMGT")) * factor == pytest.approx(mark, abs=1e-12)


def test_log_ticks_are_round_and_within() -> None:
    axis = fitted_axis("price", [480.0, 92_000.0], log=True)
    assert axis is not None
    marks = ticks(axis)
    assert 2 <= len(marks) <= 8
    assert all(f"{m:.0e}"[0] in "1235" and m == float(f"{m:.0e}") for m in marks)


def test_a_rows_plot_places_estimates_in_order_of_value() -> None:
    rows = [Row(f"r{i}", v, v - 1, v + 2) for i, v in enumerate((3.0, 1.0, 7.0))]
    root = check_drawing(rows_plot("p", "t", "d", rows, "error (GBP)", reference=2.0))
    places = [float(c.attrib["cx"]) for c in root.iter("circle")]
    assert places[1] < places[0] < places[2]
    assert (places[2] - places[0]) / (places[0] - places[1]) == pytest.approx(2.0, rel=0.02)
    whiskers = [e for e in root.iter("line") if "whisker" in e.attrib["class"]]
    lengths = {round(float(w.attrib["x2"]) - float(w.attrib["x1"])) for w in whiskers}
    assert len(whiskers) == 3
    assert len(lengths) == 1


def test_a_points_plot_leaves_out_what_is_not_finite() -> None:
    axis = fitted_axis("x", [0.0, 1.0])
    points = [Point(0.2, 0.4), Point(math.nan, 0.5), Point(0.5, math.inf), Point(9.0, 0.5)]
    root = check_drawing(points_plot("p", "t", "d", points, axis, axis, guide="diagonal"))
    assert len(list(root.iter("circle"))) == 1
    assert points_plot("p", "t", "d", points[1:], axis, axis, guide="diagonal") == ""


def test_wilson_agrees_with_its_definition() -> None:
    for share, rows in ((0.0, 5), (0.31, 42), (1.0, 9)):
        for end in wilson(share, rows):
            if 0 < end < 1:
                assert abs(share - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) / rows))
    assert all(math.isnan(end) for end in wilson(0.5, 0))


def test_colours_keep_their_contrast_in_both_themes() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    assert LIGHT.keys() == DARK.keys()
    for theme in (LIGHT, DARK):
        for ground in ("paper", "tint"):
            assert all(
                contrast(theme[c], theme[ground]) >= 4.5 for c in ("ink", "muted", "good", "bad", "warn")
            )
        assert all(contrast(theme[c], theme["paper"]) >= 3 for c in ("main", "second", "base"))


def test_the_page_escapes_its_title_and_keeps_its_body() -> None:
    html = page(EVIL, "<p>body</p>")
    assert "<script" not in html
    assert "<p>body</p>" in html
    assert "default-src 'none'" in html
    parsed(html)


def test_the_range_of_tried_values_is_told() -> None:
    trials = tuple(trial(i) for i in range(9))
    row = report_tables.searched_rows(SearchResult(trials=trials, best=trials[0], budget_exhausted=False))[0]
    assert row["tried"] == "depth 1 to 9, rate 0.1 to 0.9"
    assert row["seconds"] == pytest.approx(9 * 1.5)


def test_importing_the_report_loads_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "jinja2", "matplotlib")
    code = f"import sys, perennial.live.report; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_leaks_and_lost_metrics_are_told_plainly() -> None:
    base = facts()
    assert "may know what could not be known" not in text_of(report_html(base))
    finding = CheckFinding(severity="warning", rule="leak", column="price_copy", rows=9, message="a copy")
    allowed = finding.model_copy(update={"severity": "note", "column": "explained"})
    checks = base.checks.model_copy(update={"findings": (finding, allowed)})
    text = text_of(report_html(base.model_copy(update={"checks": checks})))
    assert "1 column may know what could not be known : price_copy." in text
    metrics = base.evaluation.metrics
    better = tuple(m.model_copy(update={"value": m.value + 0.01}) for m in metrics)
    level = base.evaluation.model_copy(update={"baselines": {"naive": better}})
    text = text_of(report_html(base.model_copy(update={"evaluation": level})))
    assert "The baseline is better by accuracy." in text
