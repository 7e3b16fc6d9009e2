"""AutoARIMA and the recurrent network: what they read from the rows, answer, refuse and ship."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series_rows import daily_table, path

from perennial.config import Learn
from perennial.errors import MissingLayerError, PerennialError, UnknownNameError
from perennial.learn import histories
from perennial.learn.blending import inner_folds
from perennial.learn.fitting import fit_arguments
from perennial.learn.models import FittedModel, fit
from perennial.learn.rows import Rows, moments_of
from perennial.learn.tune import search
from perennial.live import models
from perennial.live.estimators.arima import forecast_weights
from perennial.live.estimators.history import history
from perennial.live.estimators.lstm import Lstm
from perennial.live.export.convert import to_onnx, to_skops
from perennial.live.export.parity import parity
from perennial.table import Table

ARIMA = {"history": "index"}
SHORT = {"history": "index", "epochs": 4}
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch, requirements/deep.in")


def rules(**rest: Any) -> Learn:
    return Learn(candidates=({"name": "ridge"},), threads=2, **rest)


def series(kind: str, days: int = 500) -> np.ndarray:
    """Series that ask for different models: with a mean, differenced, with a drift, with a season."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=days)
    return {
        "mean": lambda: path(days, 2, weekly=0.0),
        "smoothed": lambda: 100.0 + noise + 0.4 * np.cumsum(noise),
        "drift": lambda: 100.0 + np.cumsum(0.5 + noise),
        "season": lambda: 50.0 + np.tile(rng.normal(size=7) * 5, days)[:days] + noise,
    }[kind]()


def their_own(values: np.ndarray, ahead: int, season: int) -> float:
    """What statsforecast forecasts from the whole series."""
    from statsforecast.models import AutoARIMA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoARIMA(season_length=season, approximation=season > 1).fit(values)
    return float(model.predict(ahead)["mean"][-1])


@pytest.mark.parametrize("ahead", [1, 7])
@pytest.mark.parametrize("kind", ["mean", "smoothed", "drift"])
def test_the_weights_give_the_forecast_that_statsforecast_gives(kind: str, ahead: int) -> None:
    table = daily_table(series=series(kind), ahead=ahead, lags=150)
    fitted = fit(table, "auto_arima", {**ARIMA, "horizon": ahead}, rules(), seed=0)
    expected = their_own(table.frame["index"].to_numpy(), ahead, 1)
    assert fitted.raw(table.X[-1:])[0] == pytest.approx(expected, abs=1e-6)


def test_weights_from_few_values_are_those_of_a_kalman_filter_that_sees_these_values_alone() -> None:
    """Recomputed by statsforecast's filter with fixed parameters, on windows of a seasonal series."""
    from statsforecast.models import AutoARIMA

    values = series("season")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoARIMA(season_length=7, approximation=True, d=1, D=0, allowdrift=False).fit(values)
        window = values[200:230]
        theirs = model.forward(window, h=3)["mean"]
    p, q, P, Q, season, d, D = (int(n) for n in model.model_["arma"])
    assert P + Q > 0
    for ahead in (1, 2, 3):
        weights, constant = forecast_weights(
            np.array([p, d, q, P, D, Q, season]), model.model_["coef"], len(window), ahead
        )
        assert weights @ window[::-1] + constant == pytest.approx(theirs[ahead - 1], abs=2e-3)


def test_the_weights_of_known_models_are_those_of_the_textbook() -> None:
    def weights(order: tuple[int, ...], ahead: int = 1, count: int = 60, **coefficients: float) -> Any:
        return forecast_weights(np.array(order), coefficients, count, ahead)

    found, constant = weights((1, 0, 0, 0, 0, 0, 1), ahead=3, ar1=0.8, intercept=10.0)
    np.testing.assert_allclose(found, [0.8**3, *np.zeros(59)], atol=1e-12)
    assert constant == pytest.approx(10.0 * (1 - 0.8**3))
    smoothed, _ = weights((0, 1, 1, 0, 0, 0, 1), ma1=-0.6)
    np.testing.assert_allclose(smoothed[:40], 0.4 * 0.6 ** np.arange(40), atol=1e-9)
    assert smoothed.sum() == pytest.approx(1.0, abs=1e-12)
    walk, drift = weights((0, 1, 0, 0, 0, 0, 1), ahead=5, drift=0.5)
    np.testing.assert_allclose(walk, [1.0, *np.zeros(59)], atol=1e-12)
    assert drift == pytest.approx(2.5)
    naive, _ = weights((0, 0, 0, 0, 1, 0, 7), ahead=2)
    np.testing.assert_allclose(naive, np.arange(60) == 5, atol=1e-12)
    with pytest.raises(ValueError, match="a history of 7 values for a model that differences 7 steps back"):
        weights((0, 0, 0, 0, 1, 0, 7), count=7)


@pytest.mark.parametrize("order", [(1, 1, 1, 0, 0, 0, 1), (1, 0, 0, 0, 1, 1, 7)])
def test_a_straight_line_goes_on_straight_under_a_drift(order: tuple[int, ...]) -> None:
    told = {"ar1": 0.4, "ma1": -0.7, "sma1": -0.5, "drift": 3.0}
    line = 20.0 - 3.0 * np.arange(40)  # newest first
    for ahead in (1, 4):
        weights, constant = forecast_weights(np.array(order), told, 40, ahead)
        assert weights @ line + constant == pytest.approx(20.0 + 3.0 * ahead, abs=1e-9)


def test_the_order_of_the_rows_does_not_matter_and_the_log_scale_takes_logs() -> None:
    table = daily_table(series=series("drift"), lags=20)
    fitted = fit(table, "auto_arima", ARIMA, rules(), seed=0)
    shuffled = table.rows(np.random.default_rng(0).permutation(len(table)))
    np.testing.assert_array_equal(
        fitted.raw(table.X), fit(shuffled, "auto_arima", ARIMA, rules(), seed=0).raw(table.X)
    )
    logs = fit(table, "auto_arima", ARIMA, rules(target_scale="log", relative_to="index"), seed=0)
    expected = their_own(np.log(table.frame["index"].to_numpy()), 1, 1)
    assert logs.raw(table.X[-1:])[0] == pytest.approx(expected, abs=1e-3)
    assert type(logs.estimator).__name__ == "AutoArima"


def shifted(table: Table) -> Table:
    frame = table.frame.assign(index_next=table.frame["index_next"].to_numpy()[::-1])
    return Table(frame, table.contract)


def swapped(table: Table) -> Table:
    return Table(table.frame.assign(index_lag_2=table.frame["index_lag_3"]), table.contract)


def uneven(table: Table) -> Table:
    days = pd.to_timedelta(np.arange(len(table)) ** 1.3, unit="D")
    return Table(
        table.frame.assign(
            known_at=table.frame["known_at"].iloc[0] + days, time=table.frame["time"].iloc[0] + days
        ),
        table.contract,
    )


def farther(table: Table) -> Table:
    time_ahead = table.frame["time"] + pd.to_timedelta(np.arange(len(table)) % 3, unit="h")
    return Table(table.frame.assign(time=time_ahead), table.contract)


def sparse(table: Table) -> Table:
    return table.rows(np.arange(len(table)) % 7 < 5)


def timeless(table: Table) -> Table:
    return Table(table.frame.assign(time=table.frame["known_at"]), table.contract)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (shifted, "a target that is the newest history value 1 steps later in"),
        (swapped, "a history whose lag 2 is the value 2 steps earlier in"),
        (uneven, "moments that do not come at regular steps"),
        (farther, "rows that look between 24 and 26 hours ahead"),
        (sparse, "a series of which 28% is missing, more than 10%"),
        (timeless, "rows that are no series"),
        (lambda table: table.rows(np.arange(20)), "20 moments, fewer than 30"),
    ],
)
def test_rows_that_do_not_tell_a_series_are_refused_by_name(spoil: Any, told: str) -> None:
    with pytest.raises(
        PerennialError, match=f"candidate auto_arima with .*found: {told}.*mend its parameters"
    ):
        fit(spoil(daily_table(200, lags=5)), "auto_arima", ARIMA, rules(), seed=0)


def test_revised_values_and_short_gaps_are_taken() -> None:
    table = daily_table(400, lags=10)
    rng = np.random.default_rng(0)
    kept = table.rows(np.sort(rng.permutation(400)[:380]))
    kept.frame.loc[::30, "index_next"] += 1.0
    whole, found = (
        fit(one, "auto_arima", ARIMA, rules(gaps=0.2), seed=0).raw(table.X) for one in (table, kept)
    )
    assert np.abs(whole - found).mean() < 0.3


@pytest.mark.parametrize("candidate", ["auto_arima", "lstm"])
def test_a_history_that_is_no_column_is_told_with_the_nearest_name(candidate: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(histories, "find_spec", lambda name: name)
    with pytest.raises(UnknownNameError, match=f"history of {candidate}, found 'indx'; did you mean"):
        fit(daily_table(60), candidate, {"history": "indx"}, rules(), seed=0)
    with pytest.raises(UnknownNameError, match=f"history of {candidate}, found 'model'"):
        fit(daily_table(60), candidate, {"history": "model"}, rules(), seed=0)


def test_a_history_ends_at_the_first_lag_that_is_missing_and_at_the_length_asked_for() -> None:
    features = [c for c in daily_table(40, lags=9).contract.features if c.name != "index_lag_6"]
    found = histories.history_positions("lstm", features, {"history": "index"})
    assert [features[i].name for i in found] == ["index", *(f"index_lag_{lag}" for lag in range(1, 6))]
    assert histories.history_positions("lstm", features, {"history": "index", "length": 3}) == found[:3]


def test_a_missing_value_is_the_next_older_one_then_the_next_newer_one() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 9, (200, 13))
    X[rng.random(X.shape) < rng.random((200, 1))] = np.nan
    X[0] = np.nan
    expected = pd.DataFrame(X).bfill(axis=1).ffill(axis=1).fillna(-1.0).to_numpy()
    np.testing.assert_array_equal(history(X, range(13), False, -1.0), expected)
    with_negatives = np.where(X < 3, -X, X)
    logs = pd.DataFrame(np.log(np.where(X < 3, np.nan, X))).bfill(axis=1).ffill(axis=1).fillna(0.5)
    np.testing.assert_array_equal(history(with_negatives, range(13), True, 0.5), logs.to_numpy())


def assert_served(fitted: FittedModel, again: FittedModel, table: Table, folder: Path) -> None:
    """The export passes the gate, skops gives the same bits back, and a second fit the same bytes."""
    assert to_onnx(fitted.estimator, table.X.shape[1], folder / "m.onnx") == ""
    whole = np.array([c.kind != "number" for c in table.contract.features])
    exported = models.OnnxModel(folder / "m.onnx")
    found = parity(models.FittedModel(fitted.estimator, 0), exported, table.X, whole, fitted.rule, 1)
    assert found.passed
    assert max(found.largest, found.largest_near, found.largest_missing) < 1e-12
    for name, one in (("a", fitted), ("b", again)):
        to_skops(one.estimator, folder / name)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    restored = models.SkopsModel((folder / "a").read_bytes(), 0)
    np.testing.assert_array_equal(restored.raw(table.X), fitted.raw(table.X))


@pytest.mark.parametrize("scale", ["identity", "log"])
def test_auto_arima_is_served_as_fitted(scale: str, tmp_path: Path) -> None:
    table = daily_table(200, holes=0.05, lags=20)
    fitted, again = (fit(table, "auto_arima", ARIMA, rules(target_scale=scale), seed=s) for s in (0, 1))
    assert_served(fitted, again, table, tmp_path)


def test_a_blend_with_auto_arima_learns_its_weights_in_the_order_of_time() -> None:
    table = daily_table(300, holes=0.02, lags=20)
    parameters = {"members": [{"name": "auto_arima", "parameters": ARIMA}, {"name": "ridge"}]}
    fitted = fit(table, "blend", parameters, rules(relative_to="index", gaps=0.1), seed=0)
    kinds = [type(member).__name__ for _, member in fitted.estimator.members]
    assert kinds == ["AutoArima", "Relative"]
    fresh = daily_table(100, seed=4, lags=20)
    naive = np.abs(fresh.frame["index"] - fresh.y).mean()
    assert np.abs(fitted.predict(fresh).prediction - fresh.y).mean() < 0.95 * naive
    rows = Rows(table.X, table.y, moments_of(table), np.arange(300), 0)
    told = fit_arguments("blend", table.contract.features, parameters, rows)
    assert told["arguments"][0]["moments"] is rows.moments and told["arguments"][1] == {}
    assert len(told["folds"]) == len(inner_folds(rows)) == 3


def test_without_pytorch_the_network_is_skipped_with_one_sentence(monkeypatch: Any) -> None:
    monkeypatch.setattr(histories, "find_spec", lambda name: None)
    table = daily_table(120, lags=5)
    sentence = r"expected the package torch for the candidate lstm, found none; install requirements/deep.in"
    with pytest.raises(MissingLayerError, match=sentence):
        fit(table, "lstm", SHORT, rules(), seed=0)
    learn = Learn(candidates=({"name": "ridge"}, {"name": "lstm", "parameters": SHORT}), folds=2, threads=1)
    folds = [(np.arange(80), np.arange(80, 120))]
    found = search(table, folds, learn, "regression", 0, time.monotonic)
    assert [trial.candidate for trial in found.trials] == ["ridge"]
    assert len(found.skipped) == 1 and found.skipped[0].startswith(
        "lstm was skipped: expected the package torch"
    )


@needs_torch
def test_the_network_answers_as_pytorch_does() -> None:
    import torch

    table = daily_table(150, lags=8)
    fitted = fit(table, "lstm", SHORT, rules(), seed=0).estimator
    weights = {name: torch.from_numpy(np.array(part)) for name, part in fitted.weights_.items()}
    network = torch.nn.LSTM(1, fitted.hidden, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        network.weight_ih_l0.copy_(weights["told"][:, None])
        network.weight_hh_l0.copy_(weights["kept"].T)
        network.bias_ih_l0.copy_(weights["bias"])
        network.bias_hh_l0.zero_()
        sequence, beside = fitted._inputs(table.X)
        last = network(torch.from_numpy(sequence.copy())[:, :, None])[0][:, -1]
        answer = torch.cat([last, torch.from_numpy(beside)], dim=1) @ weights["head"] + weights["shift"]
    np.testing.assert_allclose(
        fitted.predict(table.X), answer.numpy() * fitted.unit_ + fitted.middle_, rtol=1e-12
    )


@needs_torch
def test_the_network_is_served_as_fitted_and_needs_no_pytorch_for_it(tmp_path: Path) -> None:
    table = daily_table(200, holes=0.05, lags=12)
    learn = rules(relative_to="index")
    fitted, again = (fit(table, "lstm", SHORT, learn, seed=0) for _ in range(2))
    assert_served(fitted, again, table, tmp_path)
    np.save(tmp_path / "X.npy", table.X)
    code = (
        "import sys, numpy\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from perennial.live.models import SkopsModel; from pathlib import Path\n"
        f"X = numpy.load({str(tmp_path / 'X.npy')!r})\n"
        f"print(SkopsModel(Path({str(tmp_path / 'a')!r}), 0).raw(X).sum().hex())"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == float(fitted.raw(table.X).sum()).hex()


@needs_torch
def test_the_network_does_not_depend_on_threads_or_on_what_was_drawn_before() -> None:
    import torch

    table = daily_table(150, lags=8)
    first = fit(table, "lstm", SHORT, rules(), seed=0).raw(table.X)
    torch.manual_seed(99)
    torch.set_num_threads(2)
    assert first.tobytes() == fit(table, "lstm", SHORT, rules(), seed=0).raw(table.X).tobytes()
    assert first.tobytes() != fit(table, "lstm", SHORT, rules(), seed=1).raw(table.X).tobytes()


@needs_torch
def test_the_network_beats_persistence_where_there_is_a_pattern() -> None:
    table, fresh = daily_table(700, lags=14), daily_table(200, seed=5, lags=14)
    fitted = fit(table, "lstm", {"history": "index", "others": "none"}, rules(), seed=0)
    naive = np.abs(fresh.frame["index"] - fresh.y).mean()
    assert np.abs(fitted.predict(fresh).prediction - fresh.y).mean() < 0.95 * naive


def test_the_watched_rows_are_the_last_of_a_series_and_no_truth_of_theirs_is_fitted() -> None:
    table = daily_table(200, ahead=7)
    moments = moments_of(table)
    assert moments is not None
    order = np.random.default_rng(0).permutation(200)
    fitted, watched = Lstm()._watched(200, moments[order])
    assert moments[order][fitted, 1].max() <= moments[order][watched, 0].min()
    assert 25 <= len(watched) <= 35
    lot = Lstm()._watched(200, None)
    assert sorted(np.concatenate(lot)) == list(range(200)) and len(lot[1]) == 30


def test_the_network_refuses_too_few_rows_and_an_empty_history() -> None:
    with pytest.raises(ValueError, match="30 rows, fewer than 40"):
        Lstm().fit(np.ones((30, 2)), np.ones(30))
    with pytest.raises(ValueError, match="a history without a single value"):
        Lstm().fit(np.full((50, 2), np.nan), np.ones(50))
