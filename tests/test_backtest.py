"""Backtests: every row is predicted once, by a model that was fitted to what was known, whatever computes it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from backtest_once import RIDGE, SPLIT, plan_of, slow_plan
from series_rows import daily_table
from test_learn_models import class_table

from perennial.config import Backtest, Evaluate, GroupedSplit
from perennial.config_stack import DaskCompute, ProcessesCompute, ThreadsCompute
from perennial.data.walk import walk
from perennial.errors import InputError, NotEnoughDataError
from perennial.evidence import BacktestResult, Comparison, DatasetReference, Walker
from perennial.learn.backtest import refits
from perennial.learn.backtest.result import forecasts
from perennial.learn.backtest.walked import backtest, naive_contenders
from perennial.learn.compare import adjusted
from perennial.learn.evaluate import measured
from perennial.learn.models import fit
from perennial.live.report.backtest import backtest_html, verdict
from perennial.table import Column, Contract, Table
from steps.residuals import folds_for

HERE = Path(__file__).resolve().parent
THREADS = ThreadsCompute()


def origins(table, rows):
    return pd.DatetimeIndex(table.frame["known_at"].iloc[rows])


def classes_in_time():
    """Rows of two classes, one a day."""
    table = class_table(300)
    days = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(np.arange(300), unit="D")
    frame = table.frame.assign(known_at=days, time=days + pd.Timedelta(days=1))
    moments = (
        Column("known_at", "time", "origin", role="known_at"),
        Column("time", "time", "day", role="time"),
    )
    return Table(frame, Contract("toy", (*moments, *table.contract.columns)))


def test_every_chosen_row_is_predicted_once_and_fitted_rows_were_known():
    table = daily_table(400, ahead=3)
    since = datetime(2021, 1, 1, tzinfo=UTC)
    found = walk(table, Backtest(since=since, refit_days=10, widths_days=30), SPLIT)
    predicted = np.concatenate([rows for _, rows in found.refits])
    known_at = origins(table, np.arange(len(table)))
    assert sorted(predicted) == np.flatnonzero(known_at >= since).tolist()
    assert list(found.epochs) == sorted(found.epochs) and found.epochs[:5] == (0, 0, 0, 1, 1)
    for number, (fitted, rows) in enumerate(found.refits):
        moment = pd.Timestamp(since) + pd.Timedelta(days=10 * number)
        assert origins(table, rows).min() == moment
        assert origins(table, rows).max() < moment + pd.Timedelta(days=10)
        truths = pd.DatetimeIndex(table.frame["time"].iloc[fitted])
        assert truths.max() == moment - pd.Timedelta(hours=24)
        assert len(fitted) == (truths.max() - pd.DatetimeIndex(table.frame["time"]).min()).days + 1


def test_moments_windows_and_gaps_are_those_of_the_config():
    table = daily_table(400)
    since, until = datetime(2021, 1, 1), datetime(2021, 2, 1)
    rules = {"since": since, "until": until}
    weekly = walk(table, Backtest(**rules, every_days=7, window_days=50, gap_hours=72), SPLIT)
    rows = np.concatenate([rows for _, rows in weekly.refits])
    assert origins(table, rows).day.tolist() == [1, 8, 15, 22, 29]
    for fitted, own in weekly.refits:
        moment = origins(table, own)[0]
        assert origins(table, fitted).min() == moment - pd.Timedelta(days=50)
        assert table.frame["time"].iloc[fitted].max() == moment - pd.Timedelta(hours=72)
    by_share = walk(table, Backtest(), SPLIT)
    assert len(np.concatenate([rows for _, rows in by_share.refits])) == 80


def test_what_cannot_be_walked_is_told():
    table = daily_table(60)
    with pytest.raises(InputError, match=r"expected split\.kind time, found grouped"):
        walk(table, Backtest(), GroupedSplit(kind="grouped"))
    with pytest.raises(NotEnoughDataError, match=r"backtest\.since"):
        walk(table, Backtest(since=datetime(2030, 1, 1, tzinfo=UTC)), SPLIT)
    with pytest.raises(NotEnoughDataError, match="window_days"):
        walk(table, Backtest(window_days=0.5), SPLIT)
    with pytest.raises(NotEnoughDataError, match=r"since, until and every_days"):
        walk(table, Backtest(until=datetime(2000, 1, 1, tzinfo=UTC)), SPLIT)
    plan = plan_of(daily_table(), {"name": "blend", "parameters": {"members": "best"}}, RIDGE)
    assert [one.candidate for one in plan.draws] == ["ridge"]
    alone = plan_of(daily_table(), {"name": "blend", "parameters": {"members": "best"}})
    with pytest.raises(InputError, match="blend of a search's best"):
        backtest(alone, THREADS)


def test_answers_are_those_of_models_fitted_by_hand():
    plan = plan_of(daily_table())
    (walked,), skipped = backtest(plan, THREADS)
    assert skipped == [] and walked.seconds > 0 and walked.parameters == {"alpha": 3.0}
    expected = [
        fit(plan.table.rows(fitted), "ridge", {"alpha": 3.0}, plan.learn, plan.seed)
        .predict(plan.table.rows(rows))
        .prediction
        for fitted, rows in plan.refits
    ]
    assert len(expected) == 9
    np.testing.assert_array_equal(walked.model.answers.prediction, np.concatenate(expected))
    low, high = walked.model.answers.low, walked.model.answers.high
    truth = plan.table.y[plan.predicted]
    assert 0.6 < ((low <= truth) & (truth <= high)).mean() < 0.95


def test_the_future_changes_no_answer():
    table = daily_table(300, ahead=3)
    cut = table.frame["known_at"].iloc[270]
    later = (table.frame["time"] >= cut).to_numpy()
    frame = table.frame.copy()
    frame.loc[later, "index_next"] = (
        np.random.default_rng(0).permutation(frame.loc[later, "index_next"]) + 40.0
    )
    changed = Table(frame, table.contract)
    before, after = (
        forecasts(plan, backtest(plan, THREADS)[0], naive_contenders(plan))
        for plan in (plan_of(t, widths_days=7) for t in (table, changed))
    )
    early = before["known_at"] < cut
    assert 20 < early.sum() < len(before)
    columns = ["ridge", "ridge_low", "ridge_high", "ridge_low_90", "ridge_high_90", "median", "group_median"]
    pd.testing.assert_frame_equal(before.loc[early, columns], after.loc[early, columns], check_exact=True)
    assert not before.loc[~early, columns].equals(after.loc[~early, columns])


@pytest.mark.parametrize("compute", [ThreadsCompute(), ProcessesCompute(kind="processes", workers=2)])
def test_the_numbers_are_the_same_whatever_computes(compute):
    plan = plan_of(daily_table(), RIDGE, {"name": "lightgbm", "parameters": {"n_estimators": 5}})
    expected, found = ([w.model.answers for w in backtest(plan, one)[0]] for one in (THREADS, compute))
    assert len(found) == 2
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.prediction, other.prediction)
        np.testing.assert_array_equal(one.high, other.high)


@pytest.mark.torture
def test_the_numbers_are_the_same_on_a_cluster():
    from distributed import LocalCluster

    plan = plan_of(daily_table(), {"name": "lightgbm", "parameters": {"n_estimators": 5}})
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
    ) as cluster:
        (found,), _ = backtest(plan, DaskCompute(address=cluster.scheduler_address))
    (expected,), _ = backtest(plan, THREADS)
    np.testing.assert_array_equal(found.model.answers.prediction, expected.model.answers.prediction)


def test_widths_of_what_learns_from_the_order_of_rows_come_from_rows_before_alone():
    table = daily_table(120)
    for name, parameters, has_rows_behind in (
        ("ridge", {}, True),
        ("auto_arima", {"history": "index"}, False),
        ("blend", {"members": [{"name": "ridge"}, {"name": "auto_arima"}]}, False),
    ):
        folds = folds_for(table, name, parameters, SPLIT, 3, 1)
        assert any(fitted.max() > scored.max() for fitted, scored in folds) == has_rows_behind, name
    classes = folds_for(classes_in_time(), "logistic", {}, SPLIT, 3, 1)
    assert all(fitted.max() < scored.min() for fitted, scored in classes)


def finished(folder):
    """How many fits are kept in the only checkpoint of a folder."""
    for path in folder.glob("*.sqlite"):
        try:
            with sqlite3.connect(path) as database:
                return database.execute("SELECT count(*) FROM outputs").fetchone()[0]
        except sqlite3.OperationalError:  # just being made
            return 0
    return 0


def test_a_killed_backtest_goes_on_where_it_was(tmp_path, monkeypatch):
    killed = subprocess.Popen(
        [sys.executable, "backtest_once.py", str(tmp_path)],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        stdout=subprocess.PIPE,
    )
    while finished(tmp_path) < 4:
        assert killed.poll() is None, "expected the backtest to take longer"
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.communicate()[0] == b""
    before, made, real = finished(tmp_path), [], refits._refit
    monkeypatch.setattr(refits, "_refit", lambda *item: made.append(item) or real(*item))
    plan = slow_plan()
    again = backtest(plan, THREADS, tmp_path)[0][0].model.answers
    assert len(made) + before == len(plan.refits)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(again.prediction, backtest(plan, THREADS)[0][0].model.answers.prediction)


def test_classes_walk_too():
    plan = plan_of(classes_in_time(), {"name": "logistic", "parameters": {}})
    naives = naive_contenders(plan)
    (walked,), _ = backtest(plan, THREADS)
    rows = plan.table.rows(plan.predicted)
    found = measured("toy", rows, walked.model, naives, Evaluate(resamples=100), (), 1, "", (0.5, 0.5))
    assert found.metric("accuracy_score").value > 0.8
    assert {c.b for c in found.against_baselines} == {"prior", "majority"}
    table = forecasts(plan, [walked], naives)
    assert table["logistic"].between(0, 1).all() and len(table) == 60


def test_a_verdict_that_several_comparisons_do_not_carry_is_none():
    def one(p_value, told):
        return Comparison(
            a="a", b="b", loss="absolute_error", difference=-1.0, low=-2.0, high=-0.1, level=0.95,
            p_value=p_value, rows=50, verdict=told,
        )  # fmt: skip

    found = adjusted([one(0.01, "better"), one(0.04, "better"), one(0.5, "inconclusive")])
    assert [c.p_value for c in found] == pytest.approx([0.03, 0.08, 0.5])
    assert [c.verdict for c in found] == ["better", "inconclusive", "inconclusive"]


def page_of(name="ridge"):
    plan = plan_of(daily_table())
    (walked,), _ = backtest(plan, THREADS)
    model = walked.model._replace(candidate=name)
    rows = plan.table.rows(plan.predicted)
    naives = naive_contenders(plan)
    evaluation = measured("daily", rows, model, naives, Evaluate(resamples=100), (), 1, "horizon_hours")
    result = BacktestResult(
        system="daily",
        dataset=DatasetReference(uri="x", version=3, rows=300, fingerprint="f"),
        since="2021-01-01T00:00:00+00:00",
        until="2021-03-01T00:00:00+00:00",
        origins=60,
        refits=9,
        rules=Backtest().model_dump(mode="json"),
        walkers=(Walker(evaluation=evaluation, parameters={"alpha": 3.0}, seconds=0.1),),
        skipped=("lstm was skipped: <no torch>",),
    )
    return result, backtest_html(result, "a daily series", "index_next", "points")


def test_the_page_tells_the_result_and_escapes_names():
    result, page = page_of()
    metric = result.walkers[0].evaluation.metrics[0]
    assert verdict(result).startswith(f"ridge: mean absolute error {metric.value:.1f}"[:30])
    assert verdict(result) in page and "&lt;no torch&gt;" in page and "<no torch>" not in page
    assert page == page_of()[1]
    assert "<b>x" not in page_of("<b>x")[1]


@pytest.mark.slow
def test_the_command_walks_and_keeps_every_forecast(homes, tmp_path):
    hours = pd.date_range("2018-01-01", "2018-03-20", freq="h", tz="UTC")
    rng = np.random.default_rng(0)
    load = 50_000 + 8_000 * np.sin(2 * np.pi * (hours.hour - 8) / 24) - 4_000 * (hours.dayofweek > 4)
    frame = pd.DataFrame({"utc_timestamp": hours, "load_mw": load + rng.normal(0, 500, len(hours))})
    frame.to_csv(tmp_path / "load.csv", index=False)
    project = homes.empty(tmp_path / "home")
    options = (
        *("--config", "configs/files/load_fr.yaml"),
        *("--set", f"source.feeds.load.walk.paths=[{tmp_path}/load.csv]"),
        *("--set", "split.since=2018-03-05", "--set", "evaluate.resamples=100"),
        *("--set", "backtest.since=2018-03-05", "--set", "backtest.until=2018-03-18"),
        *("--set", "backtest.every_days=1"),
    )
    project.run("collect", *options)
    assert "make it first" in project.run("backtest", *options, "--csv", f"{tmp_path}/none/f.csv", code=2)
    output = project.run("backtest", *options, "--csv", f"{tmp_path}/forecasts.csv.gz")
    assert "13 moments, 2 refits" in output and "80% intervals cover" in output
    table = pd.read_csv(tmp_path / "forecasts.csv.gz", parse_dates=["known_at", "time"])
    assert len(table) == 13 * 48 and table["known_at"].nunique() == 13
    error = (table["horizon_ridge"] - table["load_mw"]).abs().mean()
    assert error < (table["seasonal_naive_week"] - table["load_mw"]).abs().mean()
    (numbers,) = (tmp_path / "home" / "backtests" / "load-fr").glob("*.json")
    found = BacktestResult.model_validate_json(numbers.read_text())
    assert found.walkers[0].evaluation.metrics[0].value == pytest.approx(error, rel=1e-9)
    assert numbers.with_suffix(".html").is_file()
    assert not list((tmp_path / "home" / "searches").rglob("*.sqlite"))
