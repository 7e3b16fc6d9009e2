"""The numbers of an exploration are true to the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from perennial.data.exploration import explore
from perennial.data.exploration.associations import associations, correlation_ratio, cramers_v
from perennial.data.exploration.coverage import buckets, coverage, gaps
from perennial.data.exploration.histogram import histogram
from perennial.data.exploration.missing import pattern
from perennial.data.exploration.outliers import outliers
from perennial.data.exploration.reading import display_names, read, seconds
from perennial.data.exploration.repeats import repeated_rows
from perennial.live.report.time_axis import moment, time_marks
from perennial.table import Column, Contract
from tests.explored import ROOT, Page, records


def test_findings_name_gaps_repeats_revisions_and_early_knowledge() -> None:
    data = records()
    early = data["event_time"] - pd.Timedelta("1h")
    data.loc[:9, "available_at"] = early[:10]
    kept = data.drop(index=range(500, 620))
    revised = kept.tail(30).assign(available_at=kept["available_at"].tail(30) + pd.Timedelta("9D"))
    found = explore(pd.concat([kept, revised, kept.head(4)], ignore_index=True), "records", {}, 1)
    told = " ".join(found.findings)
    assert "4 (0.2 %) of the rows share key, available_at with a row before" in told
    assert "30 (1.6 %) of the rows are later versions of a record" in told
    assert (
        "1 gap in event_time, 120 times missing in all; the longest, 5.04 days, starts at 2023-01-21 19:00"
        in told
    )
    assert "14 (0.7 %) of the records could be known before they happened" in told


def test_a_feed_is_not_missing_the_fields_of_another() -> None:
    days = pd.date_range("2026-01-01", periods=400, freq="D", tz="UTC")
    frame = pd.DataFrame({"feed": ["index", "candles"] * 200, "key": range(400), "event_time": days})
    frame = frame.assign(available_at=days, collected_at=days, source="http://127.0.0.1/", raw="0" * 64)
    is_index = (frame["feed"] == "index").to_numpy()
    frame["points"] = np.where(is_index, np.arange(400.0), np.nan)
    frame["close"] = np.where(~is_index & (np.arange(400) % 8 != 1), 100.0 + np.arange(400.0) ** 2, np.nan)
    found = explore(frame, "two feeds", {}, seed=0, evidently=False)
    assert "50 (25.0 %)" in found.html
    assert found.findings == ("1 column lacks at least 20 % of its values: close (25 %).",)


def test_rows_that_repeat_are_those_that_pandas_finds() -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"a": rng.integers(0, 5, 400), "b": rng.choice(["x", None, "y"], 400), "c": rng.random(400) < 0.5}
    )
    assert repeated_rows([frame[c] for c in frame]) == int(frame.duplicated().sum())
    nested = frame.assign(d=[[i % 2] for i in range(400)])
    told = nested.assign(d=nested["d"].map(repr)).duplicated().sum()
    assert repeated_rows([nested[c] for c in nested]) == int(told)
    assert repeated_rows([frame["b"], frame["a"]]) == int(frame.duplicated(["a", "b"]).sum())


@pytest.mark.parametrize(
    "span", [3600.0, 86400.0 * 3, 86400.0 * 300, 86400.0 * 3000, 86400.0 * 365 * 90, 2.0e11]
)
def test_buckets_hold_every_record_between_their_edges(span: float) -> None:
    times = np.sort(np.random.default_rng(1).uniform(0, 1, 500)) * span - 1e9
    found = buckets(times)
    assert np.histogram(times, bins=np.array(found.edges))[0].tolist() == list(found.counts)
    assert found.counts[0] and found.counts[-1]
    assert len(found.counts) <= 130
    starts = [moment(edge) for edge in found.edges]
    assert all(t.minute == t.second == 0 for t in starts)
    assert all(t.hour == 0 for t in starts) or found.unit == "hour"
    assert all(t.day == 1 for t in starts) or found.unit in ("hour", "day", "week")
    assert all(t.weekday() == 0 for t in starts) or found.unit != "week"
    assert all(t.month == 1 for t in starts) or found.unit in ("hour", "day", "week", "month", "quarter")


def test_gaps_of_a_regular_series_are_the_times_left_out() -> None:
    times = np.arange(1000) * 900.0
    left_out = [100, 101, 102, 400, 900]
    found = gaps(np.delete(times, left_out))
    assert found is not None
    assert found.missing_steps == len(left_out)
    assert [(g.start, g.stop, g.steps) for g in found.found] == [
        (99 * 900.0, 103 * 900.0, 3),
        (399 * 900.0, 401 * 900.0, 1),
        (899 * 900.0, 901 * 900.0, 1),
    ]


def test_random_times_show_gaps_as_rarely_as_the_rule_says() -> None:
    rng = np.random.default_rng(2)
    tables = [np.cumsum(rng.exponential(60, 400)) for _ in range(600)]
    wrong = sum(bool(found.found) for found in map(gaps, tables) if found)
    assert wrong <= stats.binom.ppf(0.999, 600, 0.01)
    torn = [np.where(t > t[200], t + 3600, t) for t in tables[:20]]
    assert all(found.found for found in map(gaps, torn) if found)


def test_coverage_counts_records_without_a_time_and_delays() -> None:
    happened = np.array([0.0, 3600.0, np.nan, 7200.0])
    found = coverage("event_time", happened, "available_at", happened + np.array([60, -60, 60, np.nan]))
    assert found is not None and found.delay is not None
    assert (found.records, found.without, found.delay.records, found.delay.negative) == (3, 1, 2, 1)
    assert coverage("event_time", np.array([np.nan])) is None


def test_times_in_any_zone_are_the_same_moment() -> None:
    berlin = pd.Series(pd.date_range("2024-03-30", periods=4, freq="12h", tz="Europe/Berlin"))
    utc = seconds(berlin.dt.tz_convert("UTC"))
    assert seconds(berlin).tolist() == utc.tolist() == [t.timestamp() for t in berlin]
    assert seconds(berlin.astype(str)).tolist() == utc.tolist()


@pytest.mark.parametrize("span", [7200.0, 1e5, 1e6, 1e7, 1e8, 1e9, 5e9])
@pytest.mark.parametrize("letters", [30, 55, 150])
def test_time_marks_are_round_rising_and_have_room(span: float, letters: int) -> None:
    marks = time_marks(1.6e9 - span, 1.6e9, letters)
    places = [place for place, _ in marks]
    assert places == sorted(set(places))
    assert all(1.6e9 - span <= place <= 1.6e9 for place in places)
    assert sum(len(text) + 3 for _, text in marks) <= letters
    assert all(moment(place).minute == 0 for place in places)


def test_histograms_lose_no_value() -> None:
    rng = np.random.default_rng(3)
    for numbers in (
        rng.normal(size=1000),
        rng.integers(0, 9, 500).astype(float),
        rng.pareto(1, 4000),
        np.array([1.0, 2.0]),
    ):
        found = histogram(numbers)
        assert found is not None and sum(found.counts) == len(numbers)
        assert found.beyond == ((numbers < found.low) | (numbers > found.high)).sum()
    whole = histogram(np.array([3.0, 3.0, 5.0]))
    assert whole is not None and whole.counts == (2, 0, 1)
    assert histogram(np.array([2.0, 2.0])) is None
    assert histogram(np.array([1e308, -1e308])) is None


def test_outliers_are_those_beyond_the_stated_bounds() -> None:
    numbers = np.concatenate([np.random.default_rng(4).normal(10, 2, 999), [1000.0]])
    found = outliers(numbers)
    q1, q3 = np.quantile(numbers, [0.25, 0.75])
    mad = np.median(np.abs(numbers - np.median(numbers)))
    z = 0.6745 * np.abs(numbers - np.median(numbers)) / mad
    assert found is not None
    assert (found.low, found.high) == pytest.approx((q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)))
    assert found.out == sum((numbers < found.low) | (numbers > found.high))
    assert found.distant == sum(z > 3.5)
    assert found.furthest == pytest.approx(z.max(), rel=1e-3)
    assert found.far_out == 1 and found.heavy
    assert not outliers(numbers[:-1]).heavy  # type: ignore[union-attr]
    spike = outliers(np.array([5.0] * 90 + [1.0] * 10))
    assert spike is not None and spike.out == 0 and not spike.heavy
    assert outliers(numbers[:5]) is None


def test_associations_agree_with_scipy() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=500)
    y = np.where(rng.random(500) < 0.1, np.nan, np.exp(x) + rng.normal(size=500) * 0.3)
    kind = np.where(x > 0, "high", "low").astype(object)
    frame = pd.DataFrame({"x": x, "y": y, "kind": kind, "again": np.where(kind == "high", "h", "l")})
    seen = [read(frame[c], i, c, np.arange(500), None) for i, c in enumerate(frame)]
    found = associations(seen, np.arange(500))
    assert found is not None
    both = ~np.isnan(y)
    value = {(p.first, p.second): p.value for p in found.pairs}
    assert value["x", "y"] == pytest.approx(stats.spearmanr(x[both], y[both]).statistic)
    assert value["kind", "again"] == pytest.approx(1.0)
    f = stats.f_oneway(*(stats.rankdata(x)[kind == k] for k in ("high", "low"))).statistic
    assert value["x", "kind"] ** 2 == pytest.approx((f - 1) / (f + 498))  # epsilon squared by way of F
    assert (found.strong[0].first, found.strong[0].second) == ("kind", "again")
    assert np.allclose(found.values, found.values.T, equal_nan=True)


def test_chance_alone_associates_nothing() -> None:
    rng = np.random.default_rng(7)
    many = [rng.integers(0, 40, 400) for _ in range(40)]
    raw = stats.contingency.association(
        np.histogram2d(many[0], many[1], bins=40)[0].astype(int) + 0, method="cramer"
    )
    assert raw > 0.25
    assert np.mean([cramers_v(a, b) for a, b in zip(many[:20], many[20:], strict=True)]) < 0.1
    assert np.mean([correlation_ratio(rng.random(400), codes) for codes in many]) < 0.15
    assert np.isnan(cramers_v(many[0][:10], many[1][:10]))
    assert np.isnan(correlation_ratio(np.full(400, np.nan), many[0]))


def test_the_missing_pattern_adds_up_in_the_order_of_time() -> None:
    data = records(1000)
    data.loc[600:, "load_mw"] = np.nan
    shuffled = data.sample(frac=1, random_state=1).reset_index(drop=True)
    seen = [read(shuffled[c], i, c, np.arange(1000), None) for i, c in enumerate(shuffled)]
    found = pattern(shuffled, seen, seconds(shuffled["event_time"]))
    assert found is not None and found.names == ("load_mw",)
    assert sorted(found.shares[0]) == list(found.shares[0])
    assert np.mean(found.shares[0]) == pytest.approx(0.4, abs=0.01)
    assert list(found.starts) == sorted(found.starts)
    assert pattern(data.drop(columns="load_mw"), [s for s in seen if s.name != "load_mw"], None) is None


def test_a_contract_names_kinds_units_and_times() -> None:
    contract = Contract(
        "shop",
        (
            Column("when", "time", "when it was sold", role="time"),
            Column("known", "time", "when that was known", role="known_at"),
            Column("listing", "integer", "its number", role="id"),
            Column("price", "number", "what was paid", unit="GBP", aliases=("cost",)),
            Column("words", "text", "what was said"),
        ),
    )
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2024", periods=50, tz="UTC"),
            "known": pd.date_range("2024-01-02", periods=50, tz="UTC"),
            "listing": [40_404_040] * 2 + list(range(50_505_050, 50_505_098)),
            "cost": ["5.5"] * 49 + ["cheap"],
            "words": ["hello"] * 25 + ["bye"] * 25,
        }
    )
    found = explore(frame, "shop", {}, 1, contract)
    text = Page(found.html).text
    assert {c.name: c.status for c in found.columns}["cost"] == "mixed types"
    assert "1 (2.0 %) of the rows shares listing with a row before." in found.findings
    assert "Delay from when to known" in text
    assert "what was paid" in text and "5.5 GBP" in text
    for hidden in ("hello", "40,404,040", "40404040"):
        assert hidden not in found.html


def test_a_hundred_thousand_texts_are_only_counted() -> None:
    values = pd.Series([f"private {i}" for i in range(100_000)])
    seen = read(values.rename("x"), 0, "x", np.arange(len(values)), None)
    assert (seen.status, seen.distinct, seen.labels) == ("too many categories", 100_000, ())


def test_names_are_made_unique_without_taking_another() -> None:
    assert display_names(["x", "x", "x (2)", "x"]) == ("x", "x (2)", "x (2) (2)", "x (3)")


@pytest.mark.parametrize(
    ("file", "rows", "told"),
    [
        (
            "used-cars/uk_used_cars.csv.gz",
            65_020,
            "955 (1.5 %) of the rows equal a row before in every column.",
        ),
        ("electricity-load/fr_60min_2015_2018.csv.gz", 35_064, "load_mw and tso_day_ahead_forecast_mw"),
    ],
)
@pytest.mark.torture
def test_real_tables_are_described(file: str, rows: int, told: str) -> None:
    path = ROOT.parent / "shared" / "data" / file
    if not path.exists():
        pytest.skip(f"{path} is not there")
    found = explore(pd.read_csv(path), file, {}, 1)
    assert f"{rows:,} rows" in found.html
    assert told in " ".join(found.findings)
    assert all(c.status == "ok" for c in found.columns)
