from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from perennial.config import GroupedSplit, StratifiedSplit, TimeSplit
from perennial.data.splits import folds, split
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
    found = folds(whole, TIME, 4, 7)
    assert len(found) == 4
    for train, valid in found:
        assert hours(whole)[train].max() <= hours(whole)[valid].min() - 5
        assert len(valid) == pytest.approx(200, abs=10)
    for (early, _), (late, _) in itertools.pairwise(found):
        assert set(early) < set(late)


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
