"""Figures of series and searches: what they draw and say is what was measured, and nothing else is."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from report_facts import EVIL, check_drawing, facts, parsed, regression_details, text_of, trial, with_details
from test_learn_models import learn_config
from test_learn_series import TRIAL, by_days, folds, forecasts

from perennial.config import Evaluate
from perennial.evidence import Evaluation, SearchResult
from perennial.learn.chosen import fit_chosen
from perennial.learn.evaluate import evaluate
from perennial.live.report.coverage_figures import horizon_coverage, segment_coverage
from perennial.live.report.drawing import LETTER, WIDTH
from perennial.live.report.evaluation import ReportFacts, plots, report_html
from perennial.live.report.figures import Figure
from perennial.live.report.fit_figures import calibration_figure
from perennial.live.report.learning_figure import learning_figures
from perennial.live.report.line_plots import Line, lines_plot
from perennial.live.report.plots import Point
from perennial.live.report.search_figures import search_figures
from perennial.live.report.series_figures import (
    forecast_figures,
    horizon_figures,
    series_figures,
    time_figures,
)

HOURS = 24
ERROR = "mean_absolute_error"
SERIES = (
    "by_horizon",
    "over_time",
    "coverage_by_horizon",
    "coverage_by_segment",
    "forecasts",
    "learning_curve",
)


def banded(value: float, wide: float) -> dict[str, float]:
    return {"low": value - wide, "high": value + wide}


def series_parts(seed: int = 0) -> dict[str, Any]:
    """What a forecast of 24 hours over a year has beside the details of any regression."""
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def error(value: float) -> dict[str, Any]:
        naive = {"week": 3 * value, "day": 2 * value, "mean": 9 * value}
        return {"metric": ERROR, "value": value, "rows": 60, "baseline": naive, **banded(value, 0.2 * value)}

    def share(level: float) -> dict[str, Any]:
        value = float(level + rng.uniform(-0.04, 0.04))
        return {"level": level, "coverage": value, "rows": 60, "median_width": 4.0, **banded(value, 0.008)}

    def forecast(which: str, day: int) -> dict[str, Any]:
        truth = rng.normal(50.0, 5.0, HOURS)
        said = truth + rng.normal(size=HOURS)
        origin = start + timedelta(days=day)
        times = [(origin + timedelta(hours=h)).isoformat() for h in range(HOURS)]
        ends = {"low": (said - 1).tolist(), "high": (said + 1).tolist()}
        told = {"truth": truth.tolist(), "predicted": said.tolist(), **ends}
        return {"which": which, "origin": origin.isoformat(), "times": times, **told}

    months = [start + timedelta(days=31 * m) for m in range(12)]
    return {
        "horizon": "horizon_hours",
        "by_horizon": [{"horizon": float(h), **error(float(rng.uniform(2, 9)))} for h in range(HOURS)],
        "over_time": [
            {
                "start": m.replace(day=1).isoformat(),
                "end": m.replace(day=28).isoformat(),
                **error(3.0 + m.month),
            }
            for m in months
        ],
        "coverage_by_horizon": [
            {"horizon": float(h), **share(level)} for h in range(HOURS) for level in (0.8, 0.95)
        ],
        "coverage_by_segment": [
            {"column": "region", "value": f"r{i}", **share(level)} for i in range(4) for level in (0.8, 0.95)
        ],
        "forecasts": [forecast("worst", 40), forecast("latest", 300), forecast("median", 120)],
        "learning_curve": [
            {"rows": 125 * 2**i, "share": 2.0**i / 8, "metric": ERROR, "left_out": "", "value": 9.0 - i}
            | banded(9.0 - i, 0.5)
            for i in range(4)
        ],
    }


def details(seed: int = 0) -> dict[str, Any]:
    return {**regression_details(), **series_parts(seed)}


def evaluation(**changes: Any) -> Evaluation:
    return with_details({**details(), **changes}, "regression").evaluation


def every_figure(of: Evaluation) -> list[Figure]:
    return [*series_figures(of, "load", "MW"), *segment_coverage(of), *learning_figures(of)]


def numbers(part: Any) -> list[float]:
    """All numbers in a part of the details."""
    if isinstance(part, dict):
        return [n for v in part.values() for n in numbers(v)]
    if isinstance(part, list):
        return [n for v in part for n in numbers(v)]
    return [float(part)] if isinstance(part, (int, float)) else []


def places(root: ElementTree.Element, css: str) -> list[list[tuple[float, float]]]:
    """The vertices of every drawn path of a class, samples of the legend left out."""
    paths = [e for e in root.iter("path") if e.attrib["class"] == css]
    found = [
        [(float(a), float(b)) for a, b in re.findall(r"(-?[\d.]+) (-?[\d.]+)", p.attrib["d"])] for p in paths
    ]
    return [p for p in found if len(p) > 2 or p[-1][0] - p[0][0] != 20.0]


def assert_affine(drawn: list[float], values: list[float]) -> tuple[float, float]:
    """Slope and offset from values to places; fails where the places are no such image of the values."""
    slope, offset = np.polyfit(values, drawn, 1)
    assert np.allclose(slope * np.asarray(values) + offset, drawn, atol=0.2)
    return float(slope), float(offset)


def svg_of(figure: Figure) -> ElementTree.Element:
    return check_drawing(figure.svg)


@pytest.mark.parametrize("seed", range(3))
def test_every_number_that_a_figure_says_was_measured(seed: int) -> None:
    of = evaluation(**series_parts(seed))
    measured = numbers(of.details) + numbers([m.model_dump() for m in of.metrics])
    known = [*measured, *(100 * n for n in measured), float(HOURS)]
    for forecast in of.details["forecasts"]:
        inside = [
            a <= t <= b for t, a, b in zip(*(forecast[k] for k in ("truth", "low", "high")), strict=True)
        ]
        known.append(float(sum(inside)))
    for figure in every_figure(of):
        told = svg_of(figure).findtext("desc") or ""
        told = re.sub(r"\d{4}-\d\d-\d\d|[Tt]he best 2 of 3 baselines|\br\d\b", "", told)
        found = re.findall(r"−?\d[\d,]*(?:\.\d+)?", told)
        for shown in found:
            number = float(shown.replace(",", "").replace("−", "-"))
            decimals = len(shown.partition(".")[2])
            assert any(abs(k - number) <= 0.5000001 * 10**-decimals for k in known), (figure.title, shown)
    assert sum(bool(re.search(r"\d", svg_of(f).findtext("desc") or "")) for f in every_figure(of)) == 9


def test_lines_and_bands_lie_where_the_values_are() -> None:
    of = evaluation()
    (figure,) = horizon_figures(of)
    root, parts = svg_of(figure), of.details["by_horizon"]
    (own,), (band,) = places(root, "line main"), places(root, "band main")
    assert_affine([x for x, _ in own], [p["horizon"] for p in parts])
    down = assert_affine([y for _, y in own], [p["value"] for p in parts])
    assert down[0] < 0
    ends = [p["high"] for p in parts] + [p["low"] for p in reversed(parts)]
    assert assert_affine([y for _, y in band], ends) == pytest.approx(down, rel=0.02)
    beside = places(root, "line base")
    assert len(beside) == 2
    for name, drawn in zip(("week", "day"), beside, strict=True):
        values = [p["baseline"][name] for p in parts]
        assert assert_affine([y for _, y in drawn], values) == pytest.approx(down, rel=0.02)


def test_the_best_baselines_are_beside_the_model_and_the_others_are_counted() -> None:
    (figure,) = time_figures(evaluation())
    assert "The best 2 of 3 baselines." in figure.note
    legend = [e.text for e in svg_of(figure).iter("text") if e.attrib["class"] == "label"]
    assert legend == ["forest", "day", "week", "its 95 % interval"]


def test_the_axes_name_units_and_how_far_ahead() -> None:
    of = evaluation()
    of = of.model_copy(update={"metrics": (of.metrics[0].model_copy(update={"unit": "MW"}),)})
    labels = {}
    for figure in every_figure(of):
        labels[figure.title] = [e.text for e in svg_of(figure).iter("text") if e.attrib["class"] == "axis"]
    assert labels["Mean absolute error by hours ahead, lower is better"] == [
        "mean absolute error (MW)",
        "hours ahead",
    ]
    assert labels["Worst forecast, made 2024-02-10 00:00 UTC"] == ["load (MW)", "time predicted (UTC)"]
    assert labels["Coverage of the intervals by hours ahead"] == ["coverage (%)", "hours ahead"]


def test_coverage_stands_beside_its_nominal_levels() -> None:
    of = evaluation()
    (figure,) = horizon_coverage(of)
    root = svg_of(figure)
    both = {}
    for css, level in (("main", 0.8), ("second", 0.95)):
        (drawn,) = places(root, f"line {css}")
        own = [100 * p["coverage"] for p in of.details["coverage_by_horizon"] if p["level"] == level]
        both[level] = assert_affine([y for _, y in drawn], own)
    guides = [float(e.attrib["y1"]) for e in root.iter("line") if e.attrib["class"] == "guide"]
    slope, offset = both[0.8]
    assert guides == pytest.approx([slope * 80 + offset, slope * 95 + offset], abs=0.6)


def test_segments_farthest_from_their_level_come_first() -> None:
    of = evaluation()
    found = segment_coverage(of)
    assert [f.title[:27] for f in found] == ["Coverage of 80 % intervals ", "Coverage of 95 % intervals "]
    for figure, level in zip(found, (0.8, 0.95), strict=True):
        shown = [e.text for e in svg_of(figure).iter("text") if "label" in e.attrib["class"]]
        parts = [p for p in of.details["coverage_by_segment"] if p["level"] == level]
        parts.sort(key=lambda p: -abs(p["coverage"] - level))
        assert shown == [f"{p['value']} (60)" for p in parts]


def test_forecasts_are_drawn_with_truth_and_interval_latest_first() -> None:
    of = evaluation()
    found = forecast_figures(of.details, "load", "MW")
    assert [f.title.split()[0] for f in found] == ["Latest", "Middling", "Worst"]
    worst = next(f for f in of.details["forecasts"] if f["which"] == "worst")
    root = svg_of(found[-1])
    (said,), (came,) = places(root, "line main"), places(root, "line second")
    (band,) = places(root, "band main")
    down = assert_affine([y for _, y in said], worst["predicted"])
    assert assert_affine([y for _, y in came], worst["truth"]) == pytest.approx(down, rel=0.02)
    assert_affine([y for _, y in band], [*worst["high"], *reversed(worst["low"])])


def test_the_learning_curve_says_what_was_left_out_and_where_the_baseline_is() -> None:
    lines = series_parts()["learning_curve"]
    lines[0] |= {"value": None, "low": None, "high": None, "left_out": "no row is yes"}
    of = evaluation(learning_curve=lines)
    (figure,) = learning_figures(of)
    assert "125 rows left out: no row is yes." in figure.note
    root = svg_of(figure)
    (own,) = places(root, "line main")
    assert_affine([x for x, _ in own], [math.log(line["rows"]) for line in lines[1:]])
    down = assert_affine([y for _, y in own], [line["value"] for line in lines[1:]])
    dashed = [e for e in root.iter("path") if e.attrib["class"] == "line base"]
    heights = [float(y) for y in re.findall(r" ([\d.]+)(?=L|$)", dashed[-1].attrib["d"])]
    assert heights == pytest.approx([down[0] * 0.5 + down[1]] * 2, abs=0.3)
    assert learning_figures(evaluation(learning_curve=lines[:2])) == []


def test_what_was_not_measured_is_not_there() -> None:
    whole = text_of(report_html(with_details(details(), "regression")))
    titles = {key: [f.title for f in every_figure(evaluation(**{key: None}))] for key in SERIES}
    every = [f.title for f in every_figure(evaluation())]
    assert all(title in whole for title in every)
    for key, left in titles.items():
        page = text_of(report_html(with_details({**details(), key: []}, "regression")))
        gone = set(every) - set(left)
        assert gone, key
        assert not [title for title in gone if title in page]
    bare = report_html(facts("regression"))
    for heading in ("Over time", "How far ahead", "Some forecasts", "Would more rows help"):
        assert heading not in text_of(bare)
    single = [{**series_parts()["by_horizon"][0]}]
    assert horizon_figures(evaluation(by_horizon=single)) == []


def test_hostile_names_stay_text_in_every_figure() -> None:
    of = evaluation(horizon=f"horizon_{EVIL}")
    parts = [{**p, "baseline": {EVIL: 1.0}, "metric": f"{EVIL}_error"} for p in of.details["by_horizon"]]
    segments = [{**p, "column": EVIL, "value": EVIL} for p in of.details["coverage_by_segment"]]
    curve = [{**p, "left_out": EVIL} for p in of.details["learning_curve"]]
    changed = {**of.details, "by_horizon": parts, "coverage_by_segment": segments, "learning_curve": curve}
    whole = with_details(changed, "regression", candidate=EVIL)
    html = report_html(whole.model_copy(update={"unit": EVIL, "target": EVIL}))
    parsed(html)
    assert "<script" not in html
    for figure in series_figures(whole.evaluation, EVIL, EVIL):
        check_drawing(figure.svg)


def test_equal_facts_make_equal_pages_with_all_plots() -> None:
    whole = with_details(details(), "regression")
    again = ReportFacts.model_validate_json(whole.model_dump_json())
    assert report_html(whole) == report_html(again)
    html = report_html(whole)
    parsed(html)
    drawn = html.count("<svg")
    assert drawn == len(plots(whole))
    for document in plots(whole).values():
        ElementTree.fromstring(document)


def test_two_models_on_a_page_share_no_names() -> None:
    both = "".join(
        f.svg for prefix in ("a-", "b-") for f in series_figures(evaluation(), "load", "MW", prefix)
    )
    ids = re.findall(r' id="([^"]+)"', both)
    assert len(ids) == len(set(ids)) == 24


@pytest.mark.parametrize("hole", [math.nan, math.inf, None])
def test_a_line_breaks_where_a_value_is_missing(hole: float | None) -> None:
    parts = series_parts()["by_horizon"]
    parts[10] |= {"value": hole, "low": hole, "high": hole}
    (figure,) = horizon_figures(evaluation(by_horizon=parts))
    root = svg_of(figure)
    assert [len(p) for p in places(root, "line main")] == [10, 13]
    assert [len(p) for p in places(root, "band main")] == [20, 26]


@pytest.mark.parametrize("names", [1, 3, 9])
def test_a_legend_stays_within_its_drawing(names: int) -> None:
    points = tuple(Point(float(i), float(i)) for i in range(3))
    lines = [Line(f"{'a_rather_long_name_' * 4}{n}", points, "base", n) for n in range(names)]
    root = check_drawing(lines_plot("p", "t", "d", lines, "x", "y"))
    labels = [e for e in root.iter("text") if e.attrib["class"] == "label"]
    assert len(labels) == names
    for each in labels:
        assert float(each.attrib["x"]) + LETTER * len(each.text or "") <= WIDTH
    frame = min(float(e.attrib["y1"]) for e in root.iter("line") if e.attrib["class"] == "grid")
    assert all(float(each.attrib["y"]) < frame for each in labels)


def test_whiskers_of_the_calibration_are_those_that_were_measured() -> None:
    bins = [{"predicted": 0.3, "observed": 0.4, "low": 0.1, "high": 0.8, "rows": 50}]
    plain = [{k: v for k, v in bins[0].items() if k not in ("low", "high")}]
    heights = []
    for part, told in ((bins, "Whiskers are 90 % intervals"), (plain, "95 % Wilson intervals")):
        figure = calibration_figure({"calibration": part}, 0.9)
        assert told in figure.note
        (whisker,) = (e for e in svg_of(figure).iter("line") if "whisker" in e.attrib["class"])
        heights.append(float(whisker.attrib["y1"]) - float(whisker.attrib["y2"]))
    assert heights[0] / (270.0 - 8.0) == pytest.approx(0.7 / 1.06, abs=0.01)
    assert heights[1] < heights[0]


def halved(early: int = 9) -> SearchResult:
    trials = tuple(trial(i, score=0.5 - 0.03 * (i % 5)) for i in range(8))
    given_up = tuple(
        trial(20 + i).model_copy(update={"share": 1 / 9 if i % 3 else 1 / 3}) for i in range(early)
    )
    best = min(trials, key=lambda t: t.score)
    return SearchResult(trials=trials, best=best, budget_exhausted=False, early=given_up, kind="halving")


def test_every_trial_of_a_search_is_drawn_and_the_best_so_far_never_worsens() -> None:
    search = halved()
    progress, early = (svg_of(f) for f in search_figures(search, "classification"))
    (steps,) = places(progress, "line main")
    falling = np.repeat(np.minimum.accumulate([t.score for t in search.trials]), 2)[:-1]
    heights = [y for _, y in steps]
    assert assert_affine(heights, falling.tolist())[0] < 0 and len(set(heights)) == len(set(falling)) == 5
    dots = list(early.iter("circle"))
    assert len(dots) == len(search.trials) + len(search.early) + len(("chosen", "finished", "given up"))
    across = {round(float(e.attrib["cx"]), 1) for e in dots[3:]}
    assert len(across) == 3
    page = text_of(report_html(facts(search=search)))
    for expected in ("Successive halving", "9 further trials given up early", "33.3 %", "11.1 %"):
        assert expected in page
    calm = halved(0).model_copy(update={"trials": search.trials[:3]})
    assert search_figures(calm, "classification") == []
    assert "given up" not in text_of(report_html(facts(search=calm)))


def test_what_an_evaluation_measures_of_a_series_is_drawn() -> None:
    table = forecasts(160)
    train, holdout = by_days(table, 0, 100), by_days(table, 100, 160)
    rules = learn_config(target_scale="identity")
    fitted = fit_chosen(train, folds(100), TRIAL, rules, (0.8, 0.95), 0, "horizon_hours")
    of = evaluate("toy", fitted, train, holdout, Evaluate(resamples=100), (), 1, "horizon_hours", rules)
    titles = [f.title.split(",")[0] for f in every_figure(of)]
    assert titles == [
        "Mean absolute percentage error by hours ahead",
        "Coverage of the intervals by hours ahead",
        "Mean absolute percentage error over time",
        "Latest forecast",
        "Middling forecast",
        "Worst forecast",
        "Mean absolute error by training rows",
    ]
