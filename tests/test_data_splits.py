from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perennial.config import GroupedSplit, StratifiedSplit, TimeSplit
from perennial.data.splits import RESIDUAL_BLOCKS, folds, residual_folds, split
from perennial.errors import InputError, NotEnoughDataError
from perennial.table import Column, Contract, Table

CONTRACT = Contract(
    "shop",
    (
        Column("id", "text", "digest", role="id"),
        Column("time", "time", "when", role="time"),
        Column("size", "number", "size", unit="m"),
        Column("label", "category", "class", role="target"),
    ),
)
STRATIFIED = StratifiedSplit(kind="stratified", holdout=0.2)
GROUPED = GroupedSplit(kind="grouped", holdout=0.2)
TIME = TimeSplit(kind="time", holdout=0.2, gap_hours=5)
ALL = pytest.mark.parametrize("rules", [STRATIFIED, GROUPED, TIME], ids=lambda r: r.kind)


def table(rows: int = 1000, twins: int = 150, seed: int = 0) -> Table:
    """Rows of three unequal classes, in random order; the last `twins` rows repeat others."""
    rng = np.random.default_rng(seed)
    same = np.append(np.arange(rows - twins), rng.integers(0, rows - twins, twins))
    order = rng.permutation(rows)
    frame = pd.DataFrame(
        {
            "id": [f"id-{n}" for n in same],
            "time": pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(same // 2, unit="h"),
            "size": same.astype(float),
            "label": rng.choice(["a", "b", "c"], rows, p=[0.7, 0.25, 0.05])[same],
        }
    )
    return Table(frame.iloc[order].reset_index(drop=True), CONTRACT)


def hours(chosen: Table):
    return chosen.frame["time"].astype("int64").to_numpy() / 3.6e12


@ALL
def test_sides_are_disjoint_rising_and_complete_but_for_the_gap(rules):
    rows = split(table(), rules, 7)
    assert not set(rows.train) & set(rows.holdout)
    assert (np.diff(rows.train) > 0).all()
    assert (np.diff(rows.holdout) > 0).all()
    left_out = np.setdiff1d(np.arange(1000), np.append(rows.train, rows.holdout))
    if rules is TIME:
        start = hours(table())[rows.holdout].min()
        assert len(left_out)
        assert ((hours(table())[left_out] > start - 5) & (hours(table())[left_out] < start)).all()
    else:
        assert not len(left_out)


@ALL
def test_twins_never_straddle(rules):
    ids = table().ids
    rows = split(table(), rules, 7)
    assert not set(ids[rows.train]) & set(ids[rows.holdout])
    for train, valid in folds(table(), rules, 4, 7):
        assert not set(ids[train]) & set(ids[valid])


@ALL
def test_the_same_seed_gives_the_same_split_in_any_row_order(rules):
    whole = table()
    first = split(whole, rules, 7)
    order = np.random.default_rng(5).permutation(len(whole))
    shuffled = split(whole.rows(order), rules, 7)
    assert np.array_equal(np.sort(order[shuffled.holdout]), first.holdout)
    assert np.array_equal(np.sort(order[shuffled.train]), first.train)
    again = folds(whole, rules, 3, 7)
    for (t1, v1), (t2, v2) in zip(folds(whole, rules, 3, 7), again, strict=True):
        assert np.array_equal(t1, t2)
        assert np.array_equal(v1, v2)


@pytest.mark.parametrize("rules", [STRATIFIED, GROUPED], ids=lambda r: r.kind)
def test_another_seed_gives_another_split(rules):
    assert set(split(table(), rules, 7).holdout) != set(split(table(), rules, 8).holdout)
    assert set(folds(table(), rules, 3, 7)[0][1]) != set(folds(table(), rules, 3, 8)[0][1])


@pytest.mark.parametrize("share", [0.1, 0.2, 0.37, 0.5])
def test_stratified_shares_are_exact(share):
    whole = table()
    rows = split(whole, StratifiedSplit(kind="stratified", holdout=share), 7)
    assert len(rows.holdout) == round(share * 1000)
    for name in ("a", "b", "c"):
        wanted = share * (whole.y == name).sum()
        assert abs((whole.y[rows.holdout] == name).sum() - wanted) < 1


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_grouped_shares_are_met_on_average(share):
    rules = GroupedSplit(kind="grouped", holdout=share)
    found = [len(split(table(), rules, seed).holdout) / 1000 for seed in range(40)]
    spread = np.sqrt(share * (1 - share) / 850)
    assert np.mean(found) == pytest.approx(share, abs=5 * spread / np.sqrt(40))
    assert np.std(found) < 2 * spread


def test_a_grouped_row_stays_on_its_side_when_the_dataset_grows():
    whole = table(2000)
    part = whole.rows(np.arange(500))
    held_out = set(whole.ids[split(whole, GROUPED, 7).holdout])
    assert set(part.ids[split(part, GROUPED, 7).holdout]) == held_out & set(part.ids)


def test_held_out_rows_are_no_special_ones():
    whole = table(4000, twins=0)
    sizes = whole.frame["size"].to_numpy()
    for rules in (STRATIFIED, GROUPED):
        rows = split(whole, rules, 7)
        error = sizes.std() * np.sqrt(1 / len(rows.holdout) + 1 / len(rows.train))
        assert abs(sizes[rows.holdout].mean() - sizes[rows.train].mean()) < 4 * error


@pytest.mark.parametrize("gap", [0, 24])
def test_time_holds_out_the_latest_rows_after_a_gap(gap):
    whole = table()
    rows = split(whole, TimeSplit(kind="time", holdout=0.3, gap_hours=gap), 7)
    start = hours(whole)[rows.holdout].min()
    assert set(rows.holdout) == set(np.flatnonzero(hours(whole) >= start))
    assert len(rows.holdout) == pytest.approx(300, abs=10)
    assert hours(whole)[rows.train].max() <= start - max(gap, 1)


def test_twins_of_held_out_rows_do_not_train_however_old_they_are():
    frame = table(100, twins=0).frame.assign(id="same")
    frame["id"] = np.where(frame.index % 10 == 0, "same", frame["size"].astype(str))
    whole = Table(frame, CONTRACT)
    rows = split(whole, TimeSplit(kind="time", holdout=0.5), 7)
    assert "same" in whole.ids[rows.holdout]
    assert "same" not in whole.ids[rows.train]


@pytest.mark.parametrize("rules", [STRATIFIED, GROUPED], ids=lambda r: r.kind)
def test_folds_validate_every_row_once_in_equal_parts(rules):
    whole = table()
    found = folds(whole, rules, 5, 7)
    valid = np.concatenate([v for _, v in found])
    assert np.array_equal(np.sort(valid), np.arange(1000))
    for train, part in found:
        assert np.array_equal(np.sort(np.append(train, part)), np.arange(1000))
        assert len(part) == pytest.approx(200, abs=15)
        if rules is STRATIFIED:
            for name in ("a", "b", "c"):
                assert (whole.y[part] == name).sum() == pytest.approx((whole.y == name).sum() / 5, abs=5)


def test_time_folds_expand_and_look_ahead_only():
    whole = table()
    found = folds(whole, TIME.model_copy(update={"first": 0.2}), 4, 7)
    assert len(found) == 4
    for train, valid in found:
        assert hours(whole)[train].max() <= hours(whole)[valid].min() - 5
        assert len(valid) == pytest.approx(200, abs=10)
    for (early, _), (late, _) in itertools.pairwise(found):
        assert set(early) < set(late)


def forecasts(
    origins: int = 60, horizon_h: int = 48, every_h: int = 24, short: float = 0.0, seed: int = 0
) -> Table:
    """Every `every_h` an origin with rows for each of the next hours, in random order; a share left out."""
    rng = np.random.default_rng(seed)
    origin = np.repeat(np.arange(origins) * every_h, horizon_h)
    ahead = np.tile(np.arange(horizon_h), origins)
    kept = rng.permutation(len(origin))[: max(1, round((1 - short) * len(origin)))]
    begin = pd.Timestamp("2020-01-01", tz="UTC")
    frame = pd.DataFrame(
        {
            "id": [f"{o} {a}" for o, a in zip(origin[kept], ahead[kept], strict=True)],
            "time": begin + pd.to_timedelta(origin[kept] + ahead[kept], unit="h"),
            "known_at": begin + pd.to_timedelta(origin[kept], unit="h"),
            "load": 1.0,
        }
    )
    roles = (("id", "text", "id"), ("time", "time", "time"), ("known_at", "time", "known_at"))
    columns = [Column(name, kind, name, role=role) for name, kind, role in roles]
    return Table(frame, Contract("grid", (*columns, Column("load", "number", "load", role="target"))))


def moments(chosen: Table, rows) -> tuple[set, pd.Series]:
    """The origins of some rows, and the times of their targets."""
    return set(chosen.frame["known_at"].iloc[rows]), chosen.frame["time"].iloc[rows]


@given(
    origins=st.integers(8, 40),
    horizon_h=st.integers(1, 60),
    every_h=st.integers(1, 48),
    short=st.sampled_from([0.0, 0.3]),
    gap_hours=st.sampled_from([0.0, 1.0, 30.0]),
    first=st.sampled_from([0.3, 0.5, 0.8]),
    window_days=st.sampled_from([None, 4.0]),
    at_origin=st.floats(0.3, 0.9),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_no_training_truth_lies_after_an_origin_that_validates(
    origins, horizon_h, every_h, short, gap_hours, first, window_days, at_origin, seed
):
    whole = forecasts(origins, horizon_h, every_h, short, seed)
    since = pd.Timestamp("2020-01-01", tz="UTC") + pd.Timedelta(hours=at_origin * origins * every_h)
    rules = TimeSplit(kind="time", since=since, gap_hours=gap_hours, first=first, window_days=window_days)
    gap = pd.Timedelta(hours=gap_hours)
    try:
        rows = split(whole, rules, 1)
        train = whole.rows(rows.train)
        parts = folds(train, rules, 3, 1)
    except NotEnoughDataError:
        assume(False)
    frame = whole.frame
    assert set(rows.holdout) == set(np.flatnonzero(frame["known_at"] >= since))
    assert set(rows.train) == set(np.flatnonzero((frame["time"] <= since - gap) & (frame["time"] < since)))
    seen = set()
    for fitted, valid in parts:
        known, truths = moments(train, fitted)
        scored, _ = moments(train, valid)
        assert truths.max() <= min(scored) - gap and truths.max() < min(scored)
        assert not known & scored and not seen & scored
        if window_days is not None:
            assert min(known) >= min(scored) - pd.Timedelta(days=window_days)
        inside = train.frame["known_at"].isin(scored)
        assert set(valid) == set(np.flatnonzero(inside))
        assert not seen or min(scored) > max(seen)
        seen |= scored
    assert max(seen) == train.frame["known_at"].max()


@pytest.mark.parametrize("gap_hours", [0.0, 30.0])
@pytest.mark.parametrize(("horizon_h", "every_h"), [(1, 24), (48, 24), (6, 48)])
def test_residual_folds_validate_every_row_once_and_keep_their_distance_on_both_sides(
    horizon_h, every_h, gap_hours
):
    whole = forecasts(70, horizon_h, every_h)
    found = residual_folds(whole, TimeSplit(kind="time", gap_hours=gap_hours), 3, 7)
    assert len(found) == RESIDUAL_BLOCKS
    assert sorted(np.concatenate([valid for _, valid in found])) == list(range(len(whole)))
    origin, truth, gap = whole.frame["known_at"], whole.frame["time"], pd.Timedelta(hours=gap_hours)
    for train, valid in found:
        first, last = origin.iloc[valid].min(), truth.iloc[valid].max()
        is_before = (truth < first) & (truth <= first - gap)
        is_behind = (origin > last) & (origin >= last + gap)
        assert set(train) == set(np.flatnonzero(is_before | is_behind))
        assert len(train) > 0.7 * len(whole)


def test_residual_folds_of_a_sliding_window_and_of_no_series_are_the_folds():
    whole = table()
    for rules in (TimeSplit(kind="time", window_days=5), GroupedSplit(kind="grouped")):
        for own, other in zip(residual_folds(whole, rules, 4, 7), folds(whole, rules, 4, 7), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(own, other, strict=True))
    short = TimeSplit(kind="time", gap_hours=10_000)
    with pytest.raises(NotEnoughDataError, match=r"around one of 12 blocks.*split\.gap_hours"):
        residual_folds(forecasts(), short, 3, 7)


def test_a_hold_out_starts_at_the_moment_that_is_named_and_naive_times_are_utc():
    whole = forecasts()
    named = split(whole, TimeSplit(kind="time", since="2020-02-10"), 7)
    aware = split(whole, TimeSplit(kind="time", since="2020-02-10T01:00:00+01:00"), 7)
    assert np.array_equal(named.holdout, aware.holdout) and np.array_equal(named.train, aware.train)
    origins, _ = moments(whole, named.holdout)
    assert min(origins) == pd.Timestamp("2020-02-10", tz="UTC") and len(origins) == 20
    _, truths = moments(whole, named.train)
    assert truths.max() == pd.Timestamp("2020-02-09T23:00", tz="UTC")
    with pytest.raises(NotEnoughDataError, match=r"since 2030-01-01.*split\.since"):
        split(whole, TimeSplit(kind="time", since="2030-01-01"), 7)


@pytest.mark.parametrize(("first", "share"), [(0.2, 0.2), (0.5, 0.125), (0.8, 0.05)])
def test_folds_validate_the_later_part_of_the_training_rows(first, share):
    whole = table(2000, twins=0)
    found = folds(whole, TimeSplit(kind="time", first=first), 4, 7)
    valid = np.concatenate([v for _, v in found])
    assert [len(v) / 2000 for _, v in found] == pytest.approx([share] * 4, abs=0.005)
    assert set(valid) == set(np.flatnonzero(hours(whole) >= hours(whole)[valid].min()))


def test_a_window_slides_and_no_window_expands():
    whole = table(2000, twins=0)
    slide = folds(whole, TimeSplit(kind="time", window_days=5), 4, 7)
    expand = folds(whole, TimeSplit(kind="time"), 4, 7)
    for (recent, valid), (all_before, same) in zip(slide, expand, strict=True):
        assert np.array_equal(valid, same)
        start = hours(whole)[valid].min()
        assert set(recent) == {row for row in all_before if hours(whole)[row] >= start - 120}
        assert len(recent) == 240
    with pytest.raises(NotEnoughDataError, match=r"split\.window_days"):
        folds(whole, TimeSplit(kind="time", window_days=1, gap_hours=30), 4, 7)


def test_few_or_unequal_origins_still_make_folds():
    few = forecasts(origins=5, horizon_h=2)
    assert [len(v) for _, v in folds(few, TimeSplit(kind="time"), 4, 7)] == [2, 2, 2, 2]
    with pytest.raises(NotEnoughDataError, match="distinct times"):
        folds(few, TimeSplit(kind="time"), 5, 7)


def test_folds_are_unrelated_to_the_split():
    whole = table(4000, twins=0)
    train = whole.rows(split(whole, GROUPED, 7).train)
    for _, valid in folds(train, GROUPED, 5, 7):
        assert len(valid) == pytest.approx(len(train) / 5, abs=2)


@pytest.mark.parametrize(
    ("frame", "rules", "told"),
    [
        (table().frame.assign(label=["z"] + ["a"] * 999), STRATIFIED, "different rows of 'z'.*found 1"),
        (table().frame.assign(id="one"), STRATIFIED, "found 1"),
        (table().frame.assign(id="one"), GROUPED, "expected at least 1 rows, found 0"),
        (table().frame.assign(time=pd.Timestamp(0, tz="UTC")), TIME, "distinct times.*found 1"),
        (table().frame, TimeSplit(kind="time", gap_hours=1e6), "shorten split.gap_hours"),
    ],
)
def test_an_impossible_split_says_what_is_missing(frame, rules, told):
    with pytest.raises(NotEnoughDataError, match=told):
        split(Table(frame, CONTRACT), rules, 7)


def test_impossible_folds_say_what_is_missing():
    few = table().frame.assign(label=["z"] * 2 + ["a"] * 998)
    with pytest.raises(NotEnoughDataError, match=r"3 folds: different rows of 'z'.*at least 3 rows, found 2"):
        folds(Table(few, CONTRACT), STRATIFIED, 3, 7)
    with pytest.raises(NotEnoughDataError, match="distinct times"):
        folds(Table(table().frame.assign(time=pd.Timestamp(0, tz="UTC")), CONTRACT), TIME, 3, 7)


def test_a_split_that_does_not_fit_the_contract_is_refused():
    number = Contract("shop", (*CONTRACT.columns[:2], Column("size", "number", "size", role="target")))
    with pytest.raises(InputError, match="found the number size; use grouped"):
        split(Table(table().frame, number), STRATIFIED, 7)
    timeless = Contract("shop", (CONTRACT.columns[0], *CONTRACT.columns[2:]))
    with pytest.raises(InputError, match="role time"):
        split(Table(table().frame, timeless), TIME, 7)
