"""Series: baselines that know the past, blocks of origins, tests of forecasts, and intervals for every horizon."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats
from test_learn_models import learn_config

from perennial.config import Evaluate
from perennial.errors import PerennialError
from perennial.evidence import Trial
from perennial.learn.baselines import baselines_for, fit_baseline
from perennial.learn.chosen import fit_chosen
from perennial.learn.clusters import Origins, origins_of
from perennial.learn.compare import compare, diebold_mariano
from perennial.learn.evaluate import evaluate
from perennial.learn.intervals import conformal_interval
from perennial.learn.metrics import measure
from perennial.learn.models import fit
from perennial.learn.resampling import draws_of, mean_intervals
from perennial.learn.spread import fit_spread
from perennial.live.answer import AnswerRule, Answers, answer, rule_from
from perennial.live.predict import bound_columns, bound_names
from perennial.table import Column, Contract, Table

AHEAD = 6
TRIAL = Trial(candidate="ridge", parameters={}, metric="m_error", score=0, folds=(0.0,), seconds=0)


def forecasts(days: int, seed: int = 0) -> Table:
    """A row per day and hour of the next six: noise that grows with the horizon, and from day to day by chance."""
    rng = np.random.default_rng(seed)
    day, hour = np.repeat(np.arange(days), AHEAD), np.tile(np.arange(AHEAD), days)
    known_at = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(day, unit="D")
    level = 50 + 10 * np.sin(day / 9)
    unrest = np.exp(rng.normal(scale=0.4, size=days))[day]
    truth = level + 3 * hour + rng.normal(size=len(day)) * (1 + hour) * unrest
    frame = pd.DataFrame(
        {
            "id": [f"r{n}" for n in range(len(day))],
            "known_at": known_at,
            "time": known_at + pd.to_timedelta(hour + 1, unit="h"),
            "horizon_hours": hour.astype(float),
            "level": level,
            "unrest": unrest,
            "persistence": np.where(day == 3, np.nan, level),
            "load": truth,
        }
    )
    columns = (
        Column("id", "text", "row", role="id"),
        Column("time", "time", "what is predicted", role="time"),
        Column("known_at", "time", "origin", role="known_at"),
        Column("horizon_hours", "number", "how far ahead", unit="h"),
        Column("level", "number", "level", unit="MW"),
        Column("unrest", "number", "how wild the day is", unit="1"),
        Column("persistence", "number", "last value", role="baseline", unit="MW", nullable=True),
        Column("load", "number", "load", role="target", unit="MW"),
    )
    return Table(frame, Contract("toy", columns))


def by_days(table: Table, first: int, last: int) -> Table:
    day = (table.frame["known_at"] - pd.Timestamp("2024-01-01", tz="UTC")).dt.days.to_numpy()
    return table.rows((day >= first) & (day < last))


def folds(days: int, parts: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    blocks = np.array_split(np.arange(days * AHEAD), parts + 1)
    return [(np.concatenate(blocks[: n + 1]), blocks[n + 1]) for n in range(parts)]


@pytest.fixture(scope="module")
def judged():
    table = forecasts(1400)
    train, holdout = by_days(table, 0, 1000), by_days(table, 1000, 1400)
    fitted = fit_chosen(train, folds(1000), TRIAL, learn_config(), (0.8, 0.95), 0, "horizon_hours")
    rules = Evaluate(resamples=200)
    evaluation = evaluate(
        "toy", fitted, train, holdout, rules, (), 1, "horizon_hours", learn_config(target_scale="identity")
    )
    return fitted, holdout, evaluation


def test_a_baseline_column_answers_as_it_is_and_by_the_median_where_it_is_missing():
    table = forecasts(20)
    assert baselines_for(table.contract) == ("median", "persistence")
    answers = fit_baseline("persistence", table).predict(table).prediction
    known = table.frame["persistence"].notna().to_numpy()
    np.testing.assert_array_equal(answers[known], table.frame["persistence"].to_numpy()[known])
    assert (~known).sum() == AHEAD and set(answers[~known]) == {np.median(table.y)}


def test_a_baseline_column_of_a_classification_is_the_last_classs_probability():
    columns = (
        Column("id", "text", "row", role="id"),
        Column("x", "number", "x", unit="1"),
        Column("rate", "number", "rate", role="baseline", unit="1", nullable=True),
        Column("hit", "category", "hit", role="target", categories=("no", "yes")),
    )
    frame = pd.DataFrame({"id": list("abcd"), "x": 0.0, "rate": [0.1, 0.7, None, 1.4]})
    table = Table(frame.assign(hit=["no", "yes", "no", "no"]), Contract("toy", columns))
    answers = fit_baseline("rate", table).predict(table)
    np.testing.assert_allclose(answers.probabilities[:, 1], [0.1, 0.7, 0.25, 1.0])
    assert answers.prediction.tolist() == ["no", "yes", "no", "yes"]
    three = Table(
        table.frame.assign(hit=list("abca")),
        Contract("toy", (*columns[:3], Column("hit", "category", "hit", role="target"))),
    )
    with pytest.raises(PerennialError, match="baseline rate: expected two classes"):
        fit_baseline("rate", three)


def test_rows_of_an_origin_are_drawn_together_and_so_are_the_origins_of_a_block():
    origins = origins_of(forecasts(100))
    assert origins.overlapping == 1 and origins.block_length == 5
    draws = list(draws_of(600, 400, 1, origins))
    weights = np.concatenate([d.by_row(lambda weights: weights) for d in draws])
    assert weights.shape == (400, 600) and (weights.sum(axis=1) == 600).all()
    days = weights.reshape(400, 100, AHEAD)
    assert np.ptp(days, axis=2).max() == 0
    assert weights.mean(axis=0) == pytest.approx(np.ones(600), abs=0.2)
    centred = days[:, :, 0] - 1
    alike = [(centred * np.roll(centred, lag, axis=1)).mean() for lag in range(6)]
    np.testing.assert_allclose(alike, np.arange(5, -1, -1) / 5 * alike[0], atol=0.06)
    values = np.random.default_rng(0).normal(size=(600, 2))
    means = np.concatenate([d.mean(values) for d in draws])
    np.testing.assert_allclose(means, weights @ values / 600, atol=1e-12)
    assert len(np.unique(origins.blocks)) == 20


def test_the_interval_of_a_mean_is_as_wide_as_successive_days_are_alike():
    """A block bootstrap knows the variance of a mean of an AR(1), of which drawing single days sees a third."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=3000)
    values = np.zeros(3000)
    for day in range(1, 3000):
        values[day] = 0.5 * values[day - 1] + noise[day]
    error = 2.0 / np.sqrt(3000)
    low, high = (b[0] for b in mean_intervals(values[:, None], 2000, 0.95, 0, Origins(np.arange(3000), 1)))
    assert 0.85 < (high - low) / (2 * 1.96 * error) < 1.1
    low, high = (b[0] for b in mean_intervals(values[:, None], 2000, 0.95, 0))
    assert (high - low) / (2 * 1.96 * error) < 0.7


def test_rows_that_do_not_look_ahead_are_no_series():
    table = forecasts(10)
    assert origins_of(Table(table.frame.assign(time=table.frame["known_at"]), table.contract)) is None


def test_intervals_of_metrics_are_wider_where_days_are_alike():
    """An error that a whole day shares tells as little as one row; drawn row by row it would look like six."""
    rng = np.random.default_rng(3)
    shared = np.repeat(rng.normal(size=300), AHEAD)
    how = {"resamples": 500, "level": 0.95, "seed": 0}
    answers = Answers(np.abs(shared))
    origins = Origins(np.repeat(np.arange(300), AHEAD), 1)
    (alone,), (blocks,) = (
        measure(np.zeros(len(shared)), answers, ("mean_absolute_error",), origins=o, **how)
        for o in (None, origins)
    )
    assert 1.7 < (blocks.high - blocks.low) / (alone.high - alone.low) < 3.2


def by_definition(d: np.ndarray, h: int) -> float:
    """Equations 3 to 9 of Harvey, Leybourne and Newbold (1997), written out."""
    n, mean = len(d), d.mean()
    gamma = [sum((d[t] - mean) * (d[t - k] - mean) for t in range(k, n)) / n for k in range(h)]
    variance = (gamma[0] + 2 * sum(gamma[1:])) / n
    corrected = ((n + 1 - 2 * h + h * (h - 1) / n) / n) ** 0.5 * mean / variance**0.5
    return 2 * (1 - stats.t.cdf(abs(corrected), n - 1))


@pytest.mark.parametrize("h", [1, 2, 5])
def test_diebold_mariano_is_what_the_paper_says(h):
    rng = np.random.default_rng(h)
    means = np.convolve(rng.normal(size=80), np.ones(h) / h, "valid") + 0.15
    rows = np.repeat(means, AHEAD) + np.tile([-1.0, 1.0], len(means) * AHEAD // 2)
    origins = Origins(np.repeat(np.arange(len(means)), AHEAD), h)
    assert diebold_mariano(rows, origins) == pytest.approx(by_definition(means, h), rel=1e-9)
    found = compare(
        "a", "b", rows + 9, np.full(len(rows), 9.0), loss="absolute_error", seed=0, origins=origins
    )
    assert found.p_value == pytest.approx(diebold_mariano(rows, origins), rel=1e-9)
    assert found.difference == pytest.approx(rows.mean())


def test_diebold_mariano_calls_equal_forecasts_different_as_rarely_as_it_says():
    rng = np.random.default_rng(11)
    origins = Origins(np.arange(120), 2)
    noise = rng.normal(size=(1000, 121))
    rejected = np.mean([diebold_mariano(row[1:] + row[:-1], origins) <= 0.05 for row in noise])
    assert 0.03 < rejected < 0.075
    assert diebold_mariano(np.zeros(120), origins) == 1.0
    assert diebold_mariano(np.ones(120), origins) == 0.0


def test_intervals_of_every_level_hold_at_every_horizon_and_contain_one_another(judged):
    fitted, holdout, evaluation = judged
    answers = fitted.predict(holdout)
    (first, low, high), (second, lower, higher) = answers.bounds(fitted.rule)
    assert (first, second) == (0.8, 0.95)
    assert (lower <= low).all() and (high <= higher).all()
    assert [i["level"] for i in evaluation.details["intervals"]] == [0.8, 0.95]
    by_horizon = evaluation.details["coverage_by_horizon"]
    assert [line["horizon"] for line in by_horizon if line["level"] == 0.8] == list(range(AHEAD))
    widths = [float((high - low)[holdout.frame["horizon_hours"] == h].mean()) for h in range(AHEAD)]
    assert widths == sorted(widths) and widths[-1] > 4 * widths[0]
    for line in by_horizon:
        level = line["level"]
        assert abs(line["coverage"] - level) < 3.5 * (level * (1 - level) / 400) ** 0.5 + 0.01
        assert line["low"] <= line["coverage"] <= line["high"] and line["rows"] == 400


def test_with_enough_rows_coverage_is_within_two_points_at_every_horizon_also_where_days_are_wild():
    def rows(days, seed):
        rng = np.random.default_rng(seed)
        wild = np.repeat(rng.normal(scale=0.5, size=days), AHEAD)
        ahead = np.tile(np.arange(AHEAD), days)
        matrix = np.column_stack([ahead, wild + rng.normal(scale=0.1, size=len(wild))])
        return matrix, rng.normal(size=len(ahead)), rng.standard_t(5, len(ahead)) * np.exp(wild) * (1 + ahead)

    matrix, raw, errors = rows(20_000, 0)
    columns = tuple(Column(name, "number", name, unit="1") for name in ("ahead", "wild"))
    half = len(raw) // 2
    spread = fit_spread(matrix[:half], raw[:half], errors[:half], columns)
    hardness = spread.of(matrix, raw)[half:]
    own = {"spread": spread, "hardness": hardness, "column": 0, "values": matrix[half:, 0]}
    interval = conformal_interval(raw[half:], (raw + errors)[half:], (0.8, 0.95), **own)
    assert len(interval.edges) == AHEAD - 1
    rule = AnswerRule("regression", "load", "MW", interval=interval)
    matrix, raw, errors = rows(10_000, 1)
    for level, low, high in answer(raw, rule, matrix).bounds(rule):
        inside = (raw + errors >= low) & (raw + errors <= high)
        by_horizon = inside.reshape(-1, AHEAD).mean(axis=0)
        np.testing.assert_allclose(by_horizon, level, atol=0.02)
        wild = matrix[:, 1] > np.quantile(matrix[:, 1], 0.75)
        assert inside[wild].mean() == pytest.approx(level, abs=0.03)


def test_few_rows_of_a_horizon_share_a_bin_with_their_neighbours():
    rng = np.random.default_rng(0)
    ahead = np.tile(np.arange(24.0), 30)
    interval = conformal_interval(
        np.zeros(720), rng.normal(size=720) * (1 + ahead), (0.8, 0.95), column=0, values=ahead
    )
    rows = np.bincount(np.searchsorted(interval.edges, ahead))
    assert rows.min() >= 100 and len(rows) == 6
    assert set(np.mod(interval.edges, 1)) == {0.5}


def test_a_rule_of_several_levels_is_kept_as_json_and_names_its_bounds(judged):
    fitted, holdout, _ = judged
    rule = fitted.rule
    assert rule_from(rule.as_dict()) == rule
    names = ("prediction_low", "prediction_high", "prediction_low_95", "prediction_high_95")
    answers = fitted.predict(holdout)
    assert bound_names(rule) == names == tuple(bound_columns(answers, rule))
    part = answers.rows(np.array([5, 2]))
    for whole, some in zip(answers.bounds(rule), part.bounds(rule), strict=True):
        np.testing.assert_array_equal(whole[1][[5, 2]], some[1])


def test_details_of_a_series_add_up(judged):
    fitted, holdout, evaluation = judged
    details = evaluation.details
    assert set(evaluation.baselines) == {"median", "persistence"}
    assert {c.b: c.verdict for c in evaluation.against_baselines} == {
        "median": "better",
        "persistence": "better",
    }
    for name in ("by_horizon", "over_time"):
        lines = details[name]
        assert sum(line["rows"] for line in lines) == len(holdout)
        of = lines[0]["metric"]
        whole = sum(line["value"] * line["rows"] for line in lines) / len(holdout)
        assert whole == pytest.approx(evaluation.metric(of).value)
        assert all(line["low"] <= line["value"] <= line["high"] for line in lines)
        assert all(set(line["baseline"]) == {"median", "persistence"} for line in lines)
    errors = np.abs(fitted.predict(holdout).prediction - holdout.y).reshape(-1, AHEAD).mean(axis=1)
    shown = {line["which"]: line for line in details["forecasts"]}
    assert set(shown) == {"median", "worst", "latest"}
    worst = int(errors.argmax())
    assert shown["worst"]["truth"] == holdout.y[worst * AHEAD : (worst + 1) * AHEAD].tolist()
    assert len(shown["latest"]["times"]) == AHEAD and shown["latest"]["low"] < shown["latest"]["high"]


def test_the_learning_curve_of_a_series_takes_its_latest_origins(judged):
    _, holdout, evaluation = judged
    curve = evaluation.details["learning_curve"]
    assert [line["rows"] for line in curve] == [days * AHEAD for days in (125, 250, 500, 1000)]
    assert curve[-1]["value"] == evaluation.metric("mean_absolute_error").value
    latest = fit(by_days(forecasts(1400), 875, 1000), "ridge", {}, learn_config(), seed=1)
    error = np.abs(latest.predict(holdout).prediction - holdout.y).mean()
    assert curve[0]["value"] == pytest.approx(error, rel=1e-9)


def test_percentages_are_not_told_of_a_truth_that_changes_its_sign(judged):
    fitted, holdout, evaluation = judged
    assert {line["metric"] for line in evaluation.details["by_horizon"]} == {"mean_absolute_percentage_error"}
    crossing = Table(holdout.frame.assign(load=holdout.frame["load"] - 50), holdout.contract)
    found = evaluate("toy", fitted, crossing, crossing, Evaluate(resamples=100), (), 1, "horizon_hours")
    assert {line["metric"] for line in found.details["by_horizon"]} == {"mean_absolute_error"}


def test_a_level_is_named_once():
    with pytest.raises(ValidationError, match="expected different levels"):
        Evaluate(prediction_levels=(0.8, 0.8))
