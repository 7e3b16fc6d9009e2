"""Records: typed rows, repeats and revisions, and what could be known when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perennial.config_web import RESERVED, Feed
from perennial.data.answer import CollectedRow
from perennial.data.content import COLUMNS, canonical
from perennial.data.records import as_of, current, finished, join_series, merge, to_frame, together
from perennial.data.revisions import rebase
from perennial.errors import DatasetError, InputError

START = datetime(2026, 1, 1, tzinfo=UTC)
quick = settings(max_examples=15, deadline=None, derandomize=True)
long = settings(max_examples=150, deadline=None, report_multiple_bugs=False)


def feed(key: Sequence[str] = ("id",), **more: Any) -> Feed:
    """A feed with a field of every type; `more` overrides its other keys."""
    kinds = {
        "id": "text",
        "size": "number",
        "count": "integer",
        "sold": "boolean",
        "at": "time",
        "link": "url",
    }
    return Feed.model_validate(
        {
            "walk": {"kind": "once", "urls": ["x"]},
            "read": {"kind": "json"},
            "fields": {name: {"path": name, "parse": parse} for name, parse in kinds.items()},
            "key": list(key),
            **more,
        }
    )


def row(values: Mapping[str, Any], hours: float = 0, name: str = "ads", raw: str = "r") -> CollectedRow:
    return CollectedRow(name, values, "http://site/1", raw, START + timedelta(hours=hours))


def collected(*rows: tuple[Mapping[str, Any], float], **more: Any) -> pd.DataFrame:
    """A collection of the feed `ads`: the values of each row, and the hour in which it was collected."""
    return to_frame("ads", feed(**more), [row(values, hours) for values, hours in rows])


def all_of(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


def hours(times: pd.Series) -> list[float]:
    return [(t - pd.Timestamp(START)) / pd.Timedelta(hours=1) for t in times]


# --------------------------------------------------------------------------------------------- typed rows


def test_the_names_that_fields_must_not_have_are_the_columns_of_records():
    assert set(COLUMNS) == RESERVED


def test_every_value_has_the_type_of_its_parse_also_where_all_are_missing():
    full = {"id": "a", "size": 2, "count": 2**60 + 1, "sold": False, "at": "2025-12-31T23:00:00+00:00"}
    one = collected((full, 0))
    none = collected(({"id": "b"}, 0))
    types = {
        "size": "double",
        "count": "int64",
        "sold": "bool",
        "at": "timestamp[us, tz=UTC]",
        "link": "string",
    }
    for found in (one, none, all_of(one, none), one.iloc[:0]):
        schema = canonical(found).schema
        assert {name: str(schema.field(name).type) for name in types} == types
    assert one.loc[0, "count"] == 2**60 + 1 and one.loc[0, "sold"] is np.False_
    assert one.loc[0, "at"] == pd.Timestamp("2025-12-31T23:00Z")
    assert none.loc[0, list(types)].isna().all()
    assert one.loc[0, ["feed", "key", "source", "raw"]].tolist() == ["ads", "a", "http://site/1", "r"]


def test_times_far_away_are_kept():
    found = collected(
        *(({"id": "a", "at": text}, 0) for text in ("9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"))
    )
    assert [t.year for t in found["at"]] == [9999, 1]
    assert merge(None, found.drop_duplicates("key")).added["at"][0].year == 9999


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "12"), ("count", 1.5), ("count", 2**63), ("sold", 1), ("at", 5), ("at", "soon"), ("id", "\ud800"),
        ("size", "x"), ("count", float("inf")),
    ],
)  # fmt: skip
def test_a_value_that_is_not_what_its_parse_says_is_named(name, value):
    if (name, value) == ("size", "12"):
        assert collected(({"id": "a", "size": "12"}, 0))["size"].tolist() == [12.0]
        return
    with pytest.raises(DatasetError, match=f"column {name}: expected .* in feed ads, found"):
        collected(({"id": "a", name: value}, 0))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["|", "\\", "\\|", "a|b"]
)


@given(st.lists(st.tuples(texts, texts, st.floats(allow_nan=False) | st.none()), max_size=20))
@example([("a|b", "c", 1.0), ("a", "b|c", 1.0)])
@example([("a\\", "b|c", 1.0), ("a|b\\", "c", 1.0)])
@quick
def test_two_keys_are_the_same_where_their_fields_are(parts):
    rows = [({"id": a, "link": b, "size": c}, 0.0) for a, b, c in parts]
    keys = collected(*rows, key=("id", "link", "size"))["key"]
    usable = [bool(a.strip() and b.strip()) and c is not None for a, b, c in parts]
    assert keys.notna().tolist() == usable
    for i, key in enumerate(keys):
        for j, other in enumerate(keys):
            if usable[i] and usable[j]:
                assert (key == other) == (parts[i] == parts[j])


def test_a_key_of_one_field_is_its_text_and_a_time_is_one_time_in_any_zone():
    assert collected(({"id": "a|b"}, 0))["key"].tolist() == ["a|b"]
    times = [({"at": t}, 0.0) for t in ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00")]
    assert collected(*times, key=("at",))["key"].nunique() == 1
    assert collected(({"count": 3}, 0), key=("count",))["key"].tolist() == ["3"]


@pytest.mark.parametrize(
    ("more", "values", "event", "available"),
    [
        ({}, {}, 5, 5),
        ({"event_time": "at"}, {"at": 1}, 1, 5),
        ({"event_time": "at", "available_after_s": 3600}, {"at": 1}, 1, 2),
        ({"available_after_s": 3600}, {}, 5, 6),
        ({"available_at": "at"}, {"at": 1}, 5, 1),
        ({"available_at": "at"}, {}, 5, 5),
        ({"event_time": "at"}, {}, None, 5),
    ],
)
def test_the_times_of_a_record(more, values, event, available):
    moments = {name: (START + timedelta(hours=h)).isoformat() for name, h in values.items()}
    found = collected(({"id": "a", **moments}, 5), **more)
    assert hours(found["available_at"]) == [available]
    assert found["event_time"].isna().all() if event is None else hours(found["event_time"]) == [event]


def test_a_time_must_be_a_field_of_times():
    with pytest.raises(
        InputError, match="feed ads: expected event_time to name a field with `parse: time`, found id"
    ):
        collected(({"id": "a"}, 0), event_time="id")


@pytest.mark.parametrize("unfinished, left", [("keep", [0, 1, 23]), ("skip", [0])])
def test_what_is_read_before_it_is_available_may_wait(unfinished, left):
    rules = feed(event_time="at", available_after_s=86_400, unfinished=unfinished)
    moments = [(START + timedelta(hours=h)).isoformat() for h in (0, 1, 23)]
    rows = [row({"id": str(n), "at": at}, hours=24) for n, at in enumerate(moments)]
    kept = finished(to_frame("ads", rules, rows), rules)
    assert hours(kept["event_time"]) == left


def test_rows_of_other_feeds_are_passed_over():
    assert to_frame("ads", feed(), [row({"id": "a"}), row({"id": "b"}, name="other")])["key"].tolist() == [
        "a"
    ]


def test_feeds_come_together_unless_they_disagree_about_a_field():
    other = Feed.model_validate(
        {**feed().model_dump(), "fields": {"id": {"path": "id"}, "rate": {"path": "r"}}}
    )
    both = together(
        [collected(({"id": "a", "count": 1}, 0)), to_frame("fx", other, [row({"id": "a"}, name="fx")])]
    )
    assert (
        both["feed"].tolist() == ["ads", "fx"] and str(canonical(both).schema.field("count").type) == "int64"
    )
    wrong = Feed.model_validate(
        {**other.model_dump(), "fields": {"id": {"path": "id"}, "size": {"path": "s"}}}
    )
    with pytest.raises(DatasetError, match=r"column size: expected a number .*, found text"):
        together([collected(({"id": "a"}, 0)), to_frame("fx", wrong, [])])


# ------------------------------------------------------------------------------------- repeats and revisions


def test_repeats_merge_and_revisions_append():
    first = merge(None, collected(({"id": "a", "size": 1}, 0), ({"id": "b"}, 0)))
    assert (first.new, first.revised, first.repeats) == (2, 0, 0)
    second = merge(first.added, collected(({"id": "b"}, 9), ({"id": "a", "size": 2}, 9), ({"id": "c"}, 9)))
    assert (second.new, second.revised, second.repeats) == (1, 1, 1)
    known = all_of(first.added, second.added)
    assert current(known)["key"].tolist() == ["a", "b", "c"]
    assert current(known)["size"].tolist()[:1] == [2]
    assert as_of(known, START + timedelta(hours=8))["size"].tolist()[:1] == [1]
    assert as_of(known, START - timedelta(hours=1)).empty
    back = merge(known, collected(({"id": "a", "size": 1}, 10)))
    assert (back.new, back.revised) == (0, 1)


def test_rows_without_a_key_or_an_event_time_are_rejected_and_counted():
    at = START.isoformat()
    found = merge(
        None,
        collected(({"id": "a", "at": at}, 0), ({"id": " ", "at": at}, 0), ({"id": "b"}, 0), event_time="at"),
    )
    assert (found.new, found.repeats, found.rejected) == (1, 0, 2)


def test_the_first_of_two_readings_in_one_collection_counts():
    found = merge(None, collected(({"id": "a", "size": 2}, 0), ({"id": "a", "size": 1}, 1)))
    assert found.added["size"].tolist() == [2] and (found.new, found.repeats) == (1, 1)


def dated(size: float, updated: float) -> dict[str, Any]:
    return {"id": "a", "size": size, "at": (START + timedelta(hours=updated)).isoformat()}


def test_readings_that_the_source_dates_differently_are_revisions():
    found = merge(None, collected((dated(2, -1), 5), (dated(1, -2), 5), (dated(2, -1), 5), available_at="at"))
    assert found.added["size"].tolist() == [1, 2] and hours(found.added["available_at"]) == [-2, -1]
    assert (found.new, found.revised, found.repeats) == (1, 1, 1)


def test_a_revision_that_the_source_dates_back_was_not_known_before_it_was_collected():
    before = merge(None, collected((dated(1, -1), 0), available_at="at")).added
    for updated in (-1, -9):
        later = merge(before, collected((dated(2, updated), 7), available_at="at"))
        assert hours(later.added["available_at"]) == [7] and later.revised == 1
    ahead = merge(None, collected((dated(1, 99), 0), available_at="at")).added
    later = merge(ahead, collected((dated(2, 98), 7), available_at="at"))
    assert later.added["available_at"][0] == pd.Timestamp(START) + pd.Timedelta(hours=99, microseconds=1)


def test_an_old_revision_that_a_stale_cache_shows_again_is_no_news():
    known = merge(None, collected((dated(1, -2), 0), (dated(2, -1), 0), available_at="at")).added
    assert merge(known, collected((dated(1, -2), 9), available_at="at")).added.empty


def test_a_value_that_returns_after_a_revision_is_another_revision():
    more = {"event_time": "at", "available_after_s": 0.0}
    known = merge(None, collected((dated(1, -9), 0), **more)).added
    for hour, size in ((1, 2), (2, 1), (3, 2)):
        found = merge(known, collected((dated(size, -9), hour), **more))
        assert found.revised == 1 and hours(found.added["available_at"]) == [hour]
        known = all_of(known, found.added)
    assert current(known)["size"].tolist() == [2]


def test_the_same_answer_read_by_other_rules_is_a_revision_and_back_again():
    known = merge(None, collected(({"id": "a", "size": 1}, 0))).added
    for size in (2, 1, 3):
        found = merge(known, collected(({"id": "a", "size": size}, 0)))
        assert found.revised == 1
        known = all_of(known, found.added)
        assert current(known)["size"].tolist() == [size]
        assert merge(known, collected(({"id": "a", "size": size}, 0))).added.empty


def test_a_field_that_is_new_revises_and_one_that_is_gone_does_not():
    before = merge(None, collected(({"id": "a", "size": 1, "count": 3}, 0))).added
    without = before.drop(columns="size")
    again = collected(({"id": "a", "size": 1, "count": 3}, 5))
    assert merge(without, again).revised == 1
    assert merge(before, again.drop(columns="size")).repeats == 1


def test_a_field_that_changes_its_type_is_refused():
    before = merge(None, collected(({"id": "a"}, 0))).added
    with pytest.raises(
        DatasetError, match="column size: expected a number as in the records before, found text"
    ):
        merge(before, collected(({"id": "a"}, 0)).astype({"size": object}))


def test_rows_that_came_whole_are_no_records():
    found = merge(pd.DataFrame({"price": [1, 2]}), collected(({"id": "a"}, 0)))
    assert found.new == 1


def test_nothing_collected_adds_nothing():
    empty = collected()
    assert merge(None, empty).added.empty
    assert merge(merge(None, collected(({"id": "a"}, 0))).added, empty).added.empty
    assert current(empty).empty and as_of(empty, START).empty


readings = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from([None, 1.0, 2.0]), st.integers(-3, 3), st.integers(0, 3)
    ),
    max_size=8,
)
manners = st.sampled_from([{}, {"available_at": "at"}, {"event_time": "at", "available_after_s": 3600.0}])


def collection(
    found: list[tuple[str, float | None, int, int]], hour: int, manner: dict[str, Any]
) -> pd.DataFrame:
    rows = [({**dated(0, at), "id": key, "size": size}, hour + later / 10) for key, size, at, later in found]
    return collected(*rows, **manner)


def check_merging(
    collections: list[list[tuple[str, float | None, int, int]]], manner: dict[str, Any]
) -> None:
    known = merge(None, collection([], 0, manner)).added
    for hour, found in enumerate(collections):
        now = collection(found, hour, manner)
        untouched = now.copy()
        merged = merge(known, now)
        pd.testing.assert_frame_equal(now, untouched)
        assert merged.new + merged.revised == len(merged.added)
        assert len(merged.added) + merged.repeats + merged.rejected == len(now)
        again = rebase(known, merged.added)
        pd.testing.assert_frame_equal(again.added, merged.added)
        assert (again.new, again.revised) == (merged.new, merged.revised)
        latest = {r.key: r.available_at for r in current(known).itertuples()}
        for added in merged.added.itertuples():
            assert added.key not in latest or added.available_at > latest[added.key]
        assert not merged.added.duplicated(["key", "available_at"]).any()
        known = all_of(known, merged.added).sample(frac=1, random_state=hour)
        assert merge(known, now).added.empty, "the same collection twice is one collection"
    assert set(current(known)["key"]) == {key for found in collections for key, *_ in found}


@given(st.lists(readings, min_size=1, max_size=3), manners)
@quick
def test_laws_of_merging(collections, manner):
    check_merging(collections, manner)


@pytest.mark.torture
@given(st.lists(readings, min_size=1, max_size=6), manners)
@long
def test_laws_of_merging_at_length(collections, manner):
    check_merging(collections, manner)


@given(readings, st.permutations(range(8)))
@quick
def test_the_order_of_what_is_added_does_not_depend_on_the_order_of_pages(found, order):
    once = list({key: (key, *rest) for key, *rest in found}.values())
    mixed = [once[i] for i in order if i < len(once)]
    pd.testing.assert_frame_equal(
        merge(None, collection(once, 0, {})).added, merge(None, collection(mixed, 0, {})).added
    )


# ------------------------------------------------------------------------------------------- outside series


def series(points: Sequence[tuple[float, float, float]], name: str = "cpi") -> pd.DataFrame:
    """Records of (event, available, value), times in hours; two of one event are revisions."""
    start = pd.Timestamp(START)
    times = [[start + pd.Timedelta(hours=point[which]) for point in points] for which in (0, 1)]
    utc = "datetime64[us, UTC]"
    return pd.DataFrame(
        {
            "feed": pd.Series([name] * len(points), dtype=object),
            "key": pd.Series([str(event) for event, _, _ in points], dtype=object),
            "event_time": pd.Series(times[0], dtype=utc),
            "available_at": pd.Series(times[1], dtype=utc),
            "collected_at": pd.Series(times[1], dtype=utc),
            "source": pd.Series([""] * len(points), dtype=object),
            "raw": pd.Series([""] * len(points), dtype=object),
            "value": pd.Series([value for *_, value in points], dtype=float),
        }
    )


def asked(known_at: Sequence[float | None]) -> pd.DataFrame:
    times = [pd.NaT if h is None else pd.Timestamp(START) + pd.Timedelta(hours=h) for h in known_at]
    column = pd.Series(times, dtype="datetime64[us, UTC]", index=range(7, 7 + len(times)))
    return column.to_frame("known_at")


points = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 99)),
    unique_by=lambda p: p[:2],
    max_size=12,
)
moments = st.lists(st.none() | st.integers(-1, 10), min_size=1, max_size=6)


def last_known(found: Sequence[tuple[int, int, int]], moment: int | None) -> float:
    """The same by a plain search: the newest event's latest revision among what was available."""
    available = [(event, at, value) for event, at, value in found if moment is not None and at <= moment]
    return float(max(available)[2]) if available else float("nan")


@given(points, moments)
@quick
def test_a_series_joins_what_was_known_last(found, known_at):
    rows = asked(known_at)
    joined = join_series(rows, series(found), "cpi", ["value"])
    assert joined.index.equals(rows.index)
    np.testing.assert_array_equal(
        joined["cpi_value"].to_numpy(dtype=float), [last_known(found, moment) for moment in known_at]
    )


@given(points, moments, st.integers(0, 9), st.randoms(use_true_random=False))
@quick
def test_the_future_of_a_series_changes_nothing(found, known_at, cut, chance):
    past = [p for p in found if p[1] <= cut]
    invented = [(event, at, value + 1000) for event, at, value in found if at > cut]
    mixed = past + invented
    chance.shuffle(mixed)
    rows = asked([m if m is None or m <= cut else cut for m in known_at])
    expected = join_series(rows, series(found), "cpi", ["value"])
    for changed in (past, mixed):
        pd.testing.assert_frame_equal(join_series(rows, series(changed), "cpi", ["value"]), expected)


@given(points, st.integers(0, 9))
@quick
def test_what_was_known_does_not_depend_on_what_came_later(found, cut):
    known = merge(None, series(found).drop(columns="source").assign(source="")).added
    moment = START + timedelta(hours=cut)
    pd.testing.assert_frame_equal(as_of(known, moment), current(known[known["available_at"] <= moment]))
    everything = as_of(known, START + timedelta(hours=99))
    pd.testing.assert_frame_equal(everything, current(known))


def test_a_series_that_is_not_there_is_named():
    rows, found = asked([1]), series([(0, 0, 1)])
    with pytest.raises(
        InputError, match="series cpi: expected to add cpi_rate from the field rate, found no such"
    ):
        join_series(rows, found, "cpi", ["rate"])
    with pytest.raises(InputError, match="found a column of that name"):
        join_series(rows.assign(cpi_value=1), found, "cpi", ["value"])
    assert join_series(rows, found, "gdp", ["value"])["gdp_value"].isna().all()
