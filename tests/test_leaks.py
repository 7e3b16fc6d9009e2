"""Leaks, planted for real: each is caught and named, and honest tables pass."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from collected import ROOT, collected, config, world
from listings import listings

from perennial import systems
from perennial.config import Checks, Config, FileSource
from perennial.config_file import load
from perennial.data.checks import check, require
from perennial.data.foresight import foresight
from perennial.data.leaks import with_leaks
from perennial.data.tells import tells
from perennial.errors import CheckError
from perennial.learn.leaks import suspects
from perennial.table import Column, Contract, Table

REAL = ROOT.parent / "shared/data/used-cars/uk_used_cars.csv.gz"
COLLECTED = ("fear_greed", "earthquakes", "load")


@pytest.fixture(scope="module")
def address():
    with world() as found:
        yield found


LONG = [pytest.param(name, marks=pytest.mark.torture) for name in ("earthquakes", "load")]


@pytest.fixture(scope="module", params=("fear_greed", *LONG, "used_cars", "synthetic"))
def case(request, tmp_path_factory):
    """A plugin's prepare, contract and checks, with its records: collected ones from the demo server."""
    name, system = request.param, systems.get(request.param)
    if name in COLLECTED:
        of = config(name, request.getfixturevalue("address"))
        records = collected(of, tmp_path_factory.mktemp(name))
    elif name == "synthetic":
        of = load(ROOT / "configs/synthetic.yaml", Config, ()).config
        records = system.collect(of.source, 7)
    else:
        path = tmp_path_factory.mktemp(name) / "listings.csv"
        listings(1200).frame.to_csv(path, index=False)
        of = load(ROOT / "configs/used_cars.yaml", Config, (f"source.path={path}",)).config
        records = system.collect(of.source, 7)
    prepare = partial(system.prepare, source=of.source, features=of.features)
    return prepare, system.contract(of.source, of.features), records, of.checks


def found(prepare, contract, records, rules, **changes):
    """The columns that are called a leak, with what is said of each."""
    rows = prepare(records)
    rules = rules.model_copy(
        update={"max_missing": 1.0, "max_repeats": 1.0, "max_quarantined": 1.0, **changes}
    )
    checked = check(rows, contract, rules)
    report = with_leaks(checked.report, records, rows, prepare, checked.table, rules, 7)
    return report, {f.column: f.message for f in report.findings if f.rule == "leak" and f.column}


def planted(case, **plants):
    """The case with a column more per plant, which makes it from the rows that the plugin prepares."""
    prepare, contract, records, rules = case

    def leaky(some):
        rows = prepare(some).rename(columns=contract.names)
        return rows.assign(**{name: plant(rows, contract) for name, plant in plants.items()})

    extra = (Column(name, "number", "what is tried", unit="1", nullable=True) for name in plants)
    return leaky, replace(contract, columns=(*contract.columns, *extra)), records, rules


def target_of(rows, contract):
    """The target as a number: itself, or whether it is the last class."""
    values = rows[contract.target.name]
    if contract.target.is_numeric:
        return values.astype(float)
    return (values == sorted(values.dropna().unique())[-1]).astype(float)


def noisy_copy(share):
    def plant(rows, contract):
        truth = target_of(rows, contract)
        noise = np.random.default_rng(1).normal(size=len(rows))
        return truth + share * truth.std() * noise

    return plant


def next_truth(rows, contract):
    return target_of(rows, contract).shift(-1)


def standardised(rows, contract):
    values = rows[next(c.name for c in contract.features if c.is_numeric)].astype(float)
    return (values - values.mean()) / values.std()


def centred_mean(rows, contract):
    return target_of(rows, contract).rolling(5, center=True, min_periods=1).mean()


def ranked(rows, contract):
    return rows[next(c.name for c in contract.features if c.is_numeric)].rank(pct=True)


COPIES = {"little noise": noisy_copy(0.01), "noise": noisy_copy(0.05)}
AHEAD = {
    "next_truth": next_truth,
    "centred_mean": centred_mean,
    "standardised": standardised,
    "ranked": ranked,
}


def test_honest_systems_pass(case):
    report, leaks = found(*case)
    assert leaks == {} and not [f for f in report.findings if f.rule == "leak"]


@pytest.mark.parametrize("noise", COPIES)
def test_a_noisy_copy_of_the_target_is_named_and_blocks_training(case, noise):
    report, leaks = found(*planted(case, planted=COPIES[noise]))
    assert set(leaks) == {"planted"}
    assert "it looks like a copy of the target" in leaks["planted"]
    with pytest.raises(CheckError, match="planted: expected a feature among others"):
        require(report)


def test_columns_that_know_the_future_are_named_and_block_training(case):
    report, leaks = found(*planted(case, **AHEAD))
    assert set(leaks) == set(AHEAD)
    assert len([f for f in report.blocking if "the column knows the future" in f.message]) == len(AHEAD)


@pytest.mark.torture
@pytest.mark.parametrize("case", ["load"], indirect=True)
def test_a_lag_of_a_day_for_two_days_ahead_is_named(case):
    """It is honest on the first day and knows the future on the second, where half of the rows are."""

    def lag(rows, contract):
        truth = rows.drop_duplicates("time").set_index("time")["load_mw"]
        return truth.reindex(rows["time"] - pd.Timedelta(hours=24)).to_numpy()

    report, leaks = found(*planted(case, lag=lag))
    assert set(leaks) == {"lag"} and "the column knows the future" in leaks["lag"]
    assert [f.column for f in report.blocking] == ["lag"]


def test_a_column_that_somebody_looked_into_blocks_nothing():
    of = load(ROOT / "configs/synthetic.yaml", Config, ()).config
    system = systems.get("synthetic")
    case = (
        partial(system.prepare, source=of.source),
        system.contract(of.source),
        system.collect(of.source, 7),
        of.checks,
    )
    leaky = planted(case, copy=COPIES["noise"], ahead=next_truth)
    report, leaks = found(*leaky, allowed_leaks=("copy",))
    assert set(leaks) == {"copy", "ahead"}
    assert {f.column for f in report.blocking} == {"ahead"}
    assert not found(*leaky, leaks="warning")[0].blocking


def test_a_column_of_random_numbers_is_no_leak(case):
    def noise(rows, contract):
        return pd.Series(np.random.default_rng(2).normal(size=200_000)[: len(rows)], index=rows.index)

    prepare, contract, records, rules = planted(case, noise=noise)
    assert suspects(check(prepare(records), contract, rules).table, 7) == []


DAYS = pd.date_range("2020-01-01", periods=700, freq="D", tz="UTC")


def series(values, contract_columns=(), **columns):
    """A table of one row a day with a number as target."""
    frame = pd.DataFrame(
        {"id": [f"r{i}" for i in range(len(values))], "time": DAYS + pd.Timedelta(days=1), "known_at": DAYS}
    ).assign(**columns, target=values)
    contract = Contract(
        "days",
        (
            Column("id", "text", "id", role="id"),
            Column("time", "time", "time", role="time"),
            Column("known_at", "time", "known at", role="known_at"),
            *(Column(name, "number", name, unit="1", nullable=True) for name in columns),
            *contract_columns,
            Column("target", "number", "target", role="target", unit="1"),
        ),
    )
    return Table(frame, contract)


def walk(seed=3):
    return 100 + np.random.default_rng(seed).normal(size=len(DAYS)).cumsum()


def test_a_strong_lag_is_no_copy():
    """Yesterday explains all but a little of a random walk, and a naive model knows it too."""
    level = walk()
    lag = np.concatenate([[100.0], level[:-1]])
    naive = Column("naive", "number", "yesterday", role="baseline", unit="1")
    honest = series(level, lag=lag, week=pd.Series(lag).rolling(7, min_periods=1).mean())
    honest = Table(
        honest.frame.assign(naive=lag), replace(honest.contract, columns=(*honest.contract.columns, naive))
    )
    assert 1 - np.var(level - lag) / np.var(level) > 0.95
    assert suspects(honest, 7) == [] and tells(honest) == []
    rng = np.random.default_rng(1)
    copy = level + 0.2 * rng.normal(size=len(level))
    leaky = Table(
        honest.frame.assign(week=copy),
        honest.contract,
    )
    (suspect,) = suspects(leaky, 7)
    assert suspect.column == "week" and suspect.alone < 0.4 * suspect.baseline


@pytest.mark.parametrize("size", [4, 40])
def test_what_is_not_there_at_the_newest_rows_is_told(size):
    level, rng = walk(), np.random.default_rng(4)
    usual = rng.normal(size=len(DAYS))
    usual[rng.random(len(DAYS)) < 0.05] = np.nan
    history = usual.copy()
    history[:100] = np.nan
    steps = np.repeat(rng.normal(size=100), 7)
    later, still = usual.copy(), rng.normal(size=len(DAYS))
    later[-size:] = np.nan
    still[-size:] = still[-size]
    table = series(level, usual=usual, history=history, steps=steps, later=later, still=still)
    assert {t.column: t.rows >= size - 1 for t in tells(table)} == {"later": True, "still": True}
    shuffled = table.rows(rng.permutation(len(table)))
    assert {t.column for t in tells(shuffled)} == {"later", "still"}


@pytest.mark.parametrize("lead", [0, 1, 7, 200])
def test_a_column_that_equals_a_later_truth_is_told(lead):
    level = walk()
    (tell,) = tells(series(level, ahead=np.roll(level, -lead)))
    assert tell.column == "ahead" and "truth" in tell.sentence
    assert tells(series(level, behind=pd.Series(level).shift(lead + 1).bfill())) == []


def test_a_target_that_hardly_moves_equals_its_past_and_future():
    steps = np.repeat(np.random.default_rng(1).normal(size=70), 10)
    assert tells(series(steps, lag=pd.Series(steps).shift(1).bfill())) == []


def test_a_mean_of_the_target_by_category_is_told():
    rng = np.random.default_rng(8)
    make = rng.choice(["a", "b", "c"], len(DAYS))
    level = walk() + (make == "a")
    mean = pd.Series(level).groupby(make).transform("mean")
    category = Column("make", "category", "make")
    (tell,) = tells(
        Table(
            series(level, mean=mean).frame.assign(make=make),
            series(level, (category,), mean=mean).contract,
        )
    )
    assert tell.column == "mean" and "each make" in tell.sentence


def test_few_rows_tell_nothing_and_say_so():
    table = series(walk(), x=walk(4)).rows(np.arange(15))
    assert suspects(table, 7) == [] and tells(table) == []
    records = table.frame.drop(columns="id")
    looked = foresight(records, records, lambda some: some.copy(), table.contract, 7)
    assert looked.changed == () and len(looked.untold) == 2 and "20 are needed" in looked.untold[0]


def test_a_prepare_that_needs_more_records_is_no_leak():
    from perennial.errors import NotEnoughDataError

    records = series(walk(), x=walk(4)).frame

    def prepare(some):
        if len(some) < 700:
            raise NotEnoughDataError("records", len(some), 700)
        return some.copy()

    looked = foresight(records, records, prepare, series(walk(), x=walk(4)).contract, 7)
    assert looked.changed == () and all("expected at least 700 rows" in t for t in looked.untold)


def test_nothing_is_looked_for_where_the_data_blocks_anyway():
    records = series(walk()).frame
    rules = Checks(min_rows=10_000)
    checked = check(records, series(walk()).contract, rules)
    report = with_leaks(checked.report, records, records, lambda _: 1 / 0, checked.table, rules, 7)
    assert report == checked.report and report.blocking


@pytest.mark.skipif(not REAL.exists(), reason="the real listings are not on this machine")
def test_real_listings_pass_and_a_noisy_price_among_them_does_not():
    plugin = systems.get("used_cars")
    of = load(ROOT / "configs/used_cars.yaml", Config, (f"source.path={REAL}",)).config
    assert isinstance(of.source, FileSource)
    case = (
        partial(plugin.prepare, source=of.source),
        plugin.contract(of.source),
        plugin.collect(of.source, 7),
        of.checks,
    )
    assert found(*case)[1] == {}
    leaky = planted(case, copy=noisy_copy(0.1), standardised=standardised)
    assert set(found(*leaky)[1]) == {"copy", "standardised"}
