"""The widths of a forecast follow how the last ones would have held, as they did when the model was measured."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecasts import build, config, past, sent
from releases import promote
from test_forecast_ladder import ORIGIN, standing_of

from perennial.learn.rows import moments_of
from perennial.live.answer import Recent
from perennial.live.predict import json_rows
from perennial.live.recent import followed
from perennial.live.sign import SigningKey, key_pair
from perennial.systems import load
from perennial.table import Table


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key_pair(tmp_path_factory.mktemp("keys"))


def asked(folder: Path, key: SigningKey, records: pd.DataFrame, recent: Recent | None) -> tuple[Any, Any]:
    """The bundle that answers, and its forecast from a history of these records."""
    own = past(ORIGIN)
    promote(folder, key, build(folder, key, config(False), own[own["feed"] == "load"], ORIGIN, 1.0, recent))
    champion, asks = standing_of(folder, "load", key)
    body = {"origin": ORIGIN.isoformat(), "history": sent(records, load="load_mw")}
    return champion.ready, json.loads(asks.forecast(champion, json.dumps(body).encode(), None, ORIGIN).body)


def widths(found: dict[str, Any]) -> np.ndarray:
    return np.array([row["prediction_high"] - row["prediction_low"] for row in found["predictions"]])


def test_a_forecast_has_the_interval_that_it_was_measured_with(tmp_path: Path, key: SigningKey) -> None:
    recent = Recent(30.0, 24.0)
    ready, found = asked(tmp_path, key, past(ORIGIN), recent)
    of = config(False)
    rows = load.prepare(past(ORIGIN + timedelta(days=2), days=122), of.source, of.features)
    since = pd.Timestamp(ORIGIN - timedelta(days=60))
    rows = rows[(rows["known_at"] >= since) & (rows["known_at"] <= pd.Timestamp(ORIGIN))]
    contract = ready.bundle.contract
    table = Table(rows.assign(id="")[[c.name for c in contract.columns]], contract)
    answered = ready.predictor.answer_columns({c.name: rows[c.name].to_numpy() for c in contract.features})
    moments = moments_of(table)
    assert moments is not None
    measured = followed(answered.answers, answered.rule, table.y, moments)
    here = np.flatnonzero((rows["known_at"] == pd.Timestamp(ORIGIN)).to_numpy())
    assert len(here) == len(found["predictions"]) == 24
    for row, place in zip(found["predictions"], here, strict=True):
        assert measured.low is not None and measured.high is not None
        assert row["prediction_low"] == pytest.approx(measured.low[place], rel=1e-9)
        assert row["prediction_high"] == pytest.approx(measured.high[place], rel=1e-9)
        assert row["prediction_low_95"] == pytest.approx(measured.further[0][0][place], rel=1e-9)
    fixed = json_rows(answered)[here[0]]
    assert fixed["prediction"] == pytest.approx(found["predictions"][0]["prediction"], rel=1e-9)
    assert fixed["prediction_high"] != pytest.approx(found["predictions"][0]["prediction_high"], rel=1e-6)


def test_a_wilder_month_widens_and_a_short_history_leaves_the_widths_as_learned(
    tmp_path: Path, key: SigningKey
) -> None:
    records = past(ORIGIN)
    late = records["event_time"] >= pd.Timestamp(ORIGIN - timedelta(days=25))
    noise = np.random.default_rng(3).normal(0, 5_000, len(records))
    wild = records.assign(load_mw=records["load_mw"] + np.where(late, noise, 0.0))
    recent = Recent(30.0, 24.0)
    _, calm = asked(tmp_path / "calm", key, records, recent)
    _, stormy = asked(tmp_path / "wild", key, wild, recent)
    _, fixed = asked(tmp_path / "fixed", key, records, None)
    short = records[records["event_time"] >= pd.Timestamp(ORIGIN - timedelta(days=39))]
    _, short_of = asked(tmp_path / "short", key, short, recent)
    assert {one["quality"] for one in (calm, stormy, fixed, short_of)} == {"champion"}
    assert (widths(stormy) > 1.5 * widths(calm)).all()
    assert widths(short_of) == pytest.approx(widths(fixed))
