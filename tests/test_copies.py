"""Copies of the target that are too noisy to show in errors: told by what they owe to other columns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from collected import ROOT, collected

from perennial import systems
from perennial.config import Config
from perennial.config_file import load
from perennial.data.checks import check
from perennial.data.leaks import with_leaks
from perennial.learn.copies import copies
from perennial.learn.leaks import suspects
from perennial.table import Column, Contract, Table

SHARED = ROOT.parent / "shared/data"
ROWS = 1800
FORMS = {
    "itself": lambda y: y,
    "upside down": lambda y: -y,
    "logarithm": lambda y: np.log(y - y.min() + y.std()),
    "rank": lambda y: pd.Series(y).rank(pct=True).to_numpy(),
    "ten steps": lambda y: np.floor(pd.Series(y).rank(pct=True).to_numpy() * 10),
}


def table(y, classes=False, **columns):
    """Rows in no order with these features."""
    target = pd.Series(y).map({0: "no", 1: "yes"}) if classes else y
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(len(y))], **columns, "target": target})
    kind = {"kind": "category"} if classes else {"kind": "number", "unit": "1"}
    features = (Column(name, "number", name, unit="1", nullable=True) for name in columns)
    target_column = Column("target", description="target", role="target", **kind)
    return Table(frame, Contract("made", (Column("id", "text", "id", role="id"), *features, target_column)))


def causes(seed=1, count=10):
    """Causes that have to do with each other, and what comes of them but for a tenth."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(ROWS, count)) + rng.normal(size=(ROWS, 1))
    y = X @ rng.normal(size=count)
    return rng, {f"x{i}": x for i, x in enumerate(X.T)}, y + 0.3 * y.std() * rng.normal(size=ROWS)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("noise", [0.3, 0.6])
def test_a_copy_that_is_no_better_than_the_other_columns_together_is_told(form, noise):
    rng, X, y = causes()
    bent = FORMS[form](y)
    copy = bent + noise * bent.std() * rng.normal(size=ROWS)
    leaky = table(y, **X, copy=copy)
    assert [c.column for c in copies(leaky, 7)] == ["copy"]
    assert copies(table(y, **X, copy=rng.permutation(copy)), 7) == []


@pytest.mark.parametrize("flips", [0.1, 0.2])
def test_classes_of_which_some_are_flipped_are_told(flips):
    rng, X, y = causes()
    yes = (y > np.quantile(y, 0.7)).astype(int)
    flipped = np.where(rng.random(ROWS) < flips, 1 - yes, yes)
    assert [c.column for c in copies(table(yes, classes=True, **X, copy=flipped), 7)] == ["copy"]
    assert copies(table(yes, classes=True, **X), 7) == []


def test_what_a_copy_owes_and_is_told_follows_from_its_noise():
    """Of what others leave open in y + e, y tells s2 / (s2 + e2), s2 the variance that they leave open in y."""
    rng, X, y = causes()
    noise = 0.4 * y.std()
    matrix = np.column_stack([*X.values(), np.ones(ROWS)])
    left = np.var(y - matrix @ np.linalg.lstsq(matrix, y, rcond=None)[0])
    (copy,) = copies(table(y, **X, copy=y + noise * rng.normal(size=ROWS)), 7)
    assert copy.said == pytest.approx(left / (left + noise**2), abs=0.03)
    assert copy.owed < 0.01


def test_honest_columns_are_none():
    """News, causes, a forecast by somebody who knows more, noisy lags, and gauges of one thing."""
    rng, X, y = causes()
    news = rng.normal(size=ROWS)
    assert copies(table(y + y.std() * news, **X, news=news), 7) == []
    for error in (0.1, 0.3, 1.0):
        told = y + y.std() * news
        later = told + error * y.std() * rng.normal(size=ROWS)
        assert copies(table(later, **X, forecast=told), 7) == []
    walk = rng.normal(size=ROWS + 50).cumsum()
    for noise in (0.0, 0.3):
        lags = {f"lag_{n}": walk[50 - n : -n] + noise * rng.normal(size=ROWS) for n in (1, 2, 3, 7, 14, 21)}
        assert copies(table(walk[50:], **lags), 7) == []
    gauges = {f"g{i}": y + y.std() * rng.normal(size=ROWS) for i in range(6)}
    assert copies(table(y, **gauges), 7) == []


def test_little_tells_nothing():
    rng, X, y = causes()
    leaky = table(y, **X, copy=y + 0.3 * y.std() * rng.normal(size=ROWS))
    assert copies(leaky.rows(np.arange(150)), 7) == []
    assert copies(table(np.ones(ROWS, dtype=int), classes=True, **X), 7) == []
    assert copies(table(y, x0=X["x0"], copy=y + rng.normal(size=ROWS)), 7) == []


def test_a_copy_of_the_change_alone_is_a_suspect():
    rng, X, y = causes()
    level = rng.normal(size=ROWS).cumsum() * 10
    leaky = table(level + y, **X, level=level, change=y + 0.1 * y.std() * rng.normal(size=ROWS))
    naive = Column("naive", "number", "the level", role="baseline", unit="1")
    leaky = Table(
        leaky.frame.assign(naive=level), replace(leaky.contract, columns=(*leaky.contract.columns, naive))
    )
    assert [s.column for s in suspects(leaky, 7)] == ["change"]


BITCOIN = (
    f"source.feeds.index.walk.paths=[{SHARED}/bitcoin/fear_greed_2018-02_2023-12.json]",
    f"source.feeds.candles.walk.paths=[{SHARED}/bitcoin/btcusdt_1d_2017-08_2023-12.csv.gz]",
)
QUAKES = (
    f"source.feeds.events.walk.paths=[{SHARED}/earthquakes/usgs_m50_world_2009-01_2018-12.csv.gz, "
    f"{SHARED}/earthquakes/usgs_m45_world_2012-11_2018-12.csv.gz]",
)
LOAD = (f"source.feeds.load.walk.paths=[{SHARED}/electricity-load/fr_60min_2015_2018.csv.gz]",)
REAL = [
    ("files/fear_greed", BITCOIN, 0.2),
    ("files/bitcoin_close", BITCOIN, 0.1),
    pytest.param("files/load_fr", LOAD, 0.2, marks=pytest.mark.torture),
    pytest.param("files/earthquakes", QUAKES, 0.1, marks=pytest.mark.torture),
]


@pytest.mark.skipif(not SHARED.exists(), reason="the real data are not on this machine")
@pytest.mark.parametrize(("name", "settings", "noise"), REAL)
def test_a_copy_among_real_features_is_named_and_they_pass_without_it(name, settings, noise, tmp_path):
    """The noise is that share of the target's spread, or of classes flipped: some too much for errors to show."""
    of = load(ROOT / f"configs/{name}.yaml", Config, settings).config
    system, records = systems.get(of.system), collected(of, tmp_path)
    prepare = partial(system.prepare, source=of.source, features=of.features)
    contract, rows, rng = system.contract(of.source, of.features), prepare(records), np.random.default_rng(1)
    honest = check(rows, contract, of.checks)
    assert copies(honest.table, 7) == [] and suspects(honest.table, 7) == []
    truth = rows[contract.target.name]
    if contract.target.is_numeric:
        copy = truth + noise * truth.std() * rng.normal(size=len(rows))
    else:
        copy = (truth == sorted(truth.unique())[-1]) ^ (rng.random(len(rows)) < noise)
    extra = Column("copy", "number", "what is tried", unit="1")
    contract = replace(contract, columns=(*contract.columns, extra))
    leaky = check(rows.assign(copy=copy.astype(float)), contract, of.checks)
    assert [c.column for c in copies(leaky.table, 7)] == ["copy"]
    report = with_leaks(leaky.report, records, rows, prepare, leaky.table, of.checks, 7)
    (named,) = (f for f in report.blocking)
    assert named.column == "copy" and "it looks like a copy of the target" in named.message
