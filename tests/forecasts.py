"""A load that is forecast: records up to a moment, and bundles that the real code made from them."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import test_load_features
from releases import promote
from test_load_features import HOUR, records_of

from perennial import systems
from perennial.config import Bundle, Config
from perennial.evidence import BundleReference, DatasetReference, Evaluation, Metric
from perennial.learn import recipes
from perennial.live.answer import AnswerRule, Band, Interval, Recent
from perennial.live.build import build_bundle
from perennial.live.pack import Parts
from perennial.live.settings import settings
from perennial.live.sign import SigningKey
from perennial.table import Table

DAYS = 120


def feed(field: str, unit: str, minimum: float, delay_s: float) -> dict[str, Any]:
    made = test_load_features.feed(field, unit, delay_s)
    made["fields"]["at"]["required"] = True
    made["fields"][field]["minimum"] = minimum
    return made


@cache
def config(with_weather: bool) -> Config:
    """An hourly load of Germany, 24 hours ahead, known an hour after it happened; the weather a day before."""
    feeds = {"load": feed("load_mw", "MW", 0, 3600), "weather": feed("temperature_c", "degC", -60, -86400)}
    values = {
        "system": "load",
        "source": {"kind": "web", "feeds": feeds},
        "features": {
            "kind": "series",
            "horizon_hours": 24,
            "zone": "Europe/Berlin",
            "country": "DE",
            "lags": "ratio",
            "given": ["weather.temperature_c"] if with_weather else [],
        },
        "split": {"kind": "time"},
        "learn": {"candidates": [{"name": "ridge"}]},
    }
    if not with_weather:
        del feeds["weather"]
    return Config.model_validate(values)


def past(until: datetime, days: int = DAYS) -> pd.DataFrame:
    """Records of both feeds: the load up to `until`, the weather a day longer."""
    rng = np.random.default_rng(5)
    end = pd.Timestamp(until).floor("h")
    times = pd.date_range(end=end - HOUR, periods=days * 24, freq=HOUR)
    level = 50_000 + 8_000 * np.sin(2 * np.pi * times.hour / 24) - 6_000 * (times.dayofweek >= 5)
    load = level + rng.normal(0, 900, len(times))
    hours = pd.date_range(times[0], end + 24 * HOUR, freq=HOUR)
    warmth = 9 + 5 * np.sin(2 * np.pi * hours.hour / 24) + rng.normal(0, 2, len(hours))
    return pd.concat(
        [
            records_of("load", times, times + HOUR, load_mw=load.round(1)),
            records_of("weather", hours, hours - 24 * HOUR, temperature_c=warmth.round(1)),
        ],
        ignore_index=True,
    )


def sent(records: pd.DataFrame, **feeds: str) -> dict[str, list[dict[str, Any]]]:
    """Records as a request's history: `load="load_mw"` and so on."""
    history = {}
    for name, field in feeds.items():
        rows = records[records["feed"] == name]
        times = rows["event_time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        values = rows[field].astype(object).where(rows[field].notna(), None)
        history[name] = [{"time": t, field: v} for t, v in zip(times, values, strict=True)]
    return history


def build(
    releases: Path,
    key: SigningKey,
    of: Config,
    records: pd.DataFrame,
    until: datetime,
    strength: float,
    recent: Recent | None = None,
) -> BundleReference:
    """A bundle of a ridge regression in the releases folder, not promoted."""
    system = systems.get(of.system)
    rows = system.prepare(records, of.source, of.features)
    rows = rows.assign(id=[f"r{i}" for i in range(len(rows))])
    contract = system.contract(of.source, of.features).fitted(rows)
    whole = Table(rows[[c.name for c in contract.columns]], contract)
    cut = len(rows) * 3 // 4
    train, holdout = whole.rows(np.arange(cut)), whole.rows(np.arange(cut, len(rows)))
    target = contract.target
    model = recipes.ridge(contract.features, {"alpha": strength}, 7, 1).fit(train.X, train.y)
    width = float(np.std(train.y)) / 5
    further = (Band(0.95, (-2 * width,), (2 * width,)),)
    metric = Metric(name="some_error", value=1.0, low=0.5, high=1.5)
    made = Parts(
        system=of.system,
        estimator=model,
        contract=contract,
        rule=AnswerRule(
            "regression",
            target.name,
            target.unit,
            interval=Interval(0.8, (), (-width,), (width,), further=further, recent=recent),
        ),
        train=train,
        holdout=holdout,
        evaluation=Evaluation(
            system=of.system,
            task="regression",
            candidate="ridge",
            rows=len(holdout),
            metrics=(metric,),
            baselines={"persistence": (metric,)},
            against_baselines=(),
        ),
        candidate="ridge",
        parameters={"alpha": strength},
        dataset=DatasetReference(uri="memory", version=1, rows=len(records), fingerprint="f" * 64),
        config_digest="c" * 64,
        code_digest="d" * 64,
        seed=7,
        options=Bundle(),
        settings=settings(of),
    )
    folder = releases / of.system / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    return build_bundle(made, folder, key, until)


def released(releases: Path, key: SigningKey, until: datetime) -> None:
    """Two releases: one that knows the load alone, then a champion that wants the weather too."""
    records = past(until)
    load = records[records["feed"] == "load"]
    promote(releases, key, build(releases, key, config(False), load, until, 1.0))
    promote(releases, key, build(releases, key, config(True), records, until, 2.0), hours=1)


def floor_hour(moment: datetime) -> datetime:
    """The start of the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def on_trial(releases: Path, key: SigningKey, until: datetime) -> None:
    """A release that had no weather in the beginning of its training, and a bundle that had and so needs it."""
    records = past(until)
    is_late = records["event_time"] >= pd.Timestamp(until) - pd.Timedelta(days=DAYS // 2)
    later = records[is_late | (records["feed"] == "load")]
    promote(releases, key, build(releases, key, config(True), later, until, 1.0))
    build(releases, key, config(True), records, until, 200.0)
