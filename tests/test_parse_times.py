"""Times as they are written, and local times over both clock changes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.data.parse import times
from tests.parsing import cell, feed, parsed

BERLIN = ZoneInfo("Europe/Berlin")


def local_labels(
    start: datetime, steps: int, step: timedelta, zone: ZoneInfo
) -> tuple[list[datetime], list[datetime]]:
    """True times in UTC, and the labels that clocks of `zone` showed, without zone and without fold."""
    true = [start + i * step for i in range(steps)]
    return true, [time.astimezone(zone).replace(tzinfo=None, fold=0) for time in true]


@pytest.mark.parametrize(
    ("zone", "minutes"),
    [
        ("Europe/Berlin", 15),
        ("Europe/Berlin", 60),
        ("America/New_York", 60),
        ("Australia/Lord_Howe", 30),
        ("UTC", 60),
    ],
)
def test_a_year_of_local_times_comes_back_in_utc(zone: str, minutes: int) -> None:
    clocks = ZoneInfo(zone)
    steps = 366 * 24 * 60 // minutes
    true, labels = local_labels(datetime(2019, 1, 1, tzinfo=UTC), steps, timedelta(minutes=minutes), clocks)
    assert times.in_utc(labels, clocks) == true
    assert times.in_utc(labels[::-1], clocks) == true[::-1]


def test_rows_of_several_zones_at_each_time_come_back_in_utc() -> None:
    true, labels = local_labels(datetime(2019, 10, 26, 20, tzinfo=UTC), 40, timedelta(minutes=15), BERLIN)
    doubled = [label for label in labels for _ in range(3)]
    assert times.in_utc(doubled, BERLIN) == [time for time in true for _ in range(3)]
    hourly, hours = local_labels(datetime(2019, 10, 26, 20, tzinfo=UTC), 10, timedelta(hours=1), BERLIN)
    assert times.in_utc([h for h in hours for _ in range(2)], BERLIN) == [h for h in hourly for _ in range(2)]


def test_the_skipped_hour_is_missing_and_the_double_hour_is_told_by_order() -> None:
    march = [datetime(2019, 3, 31, 1, 45), datetime(2019, 3, 31, 2, 15), datetime(2019, 3, 31, 3)]
    assert times.in_utc(march, BERLIN) == [
        datetime(2019, 3, 31, 0, 45, tzinfo=UTC),
        None,
        datetime(2019, 3, 31, 1, tzinfo=UTC),
    ]
    alone = times.in_utc([datetime(2019, 10, 27, 2, 30)], BERLIN)
    assert alone == [datetime(2019, 10, 27, 0, 30, tzinfo=UTC)]
    thrice = [datetime(2019, 10, 27, 2)] * 3
    assert times.in_utc(thrice, BERLIN) == [None] * 3
    with_gap = [datetime(2019, 10, 27, 2), None, datetime(2019, 10, 27, 2)]
    assert times.in_utc(with_gap, BERLIN) == [
        datetime(2019, 10, 27, 0, tzinfo=UTC),
        None,
        datetime(2019, 10, 27, 1, tzinfo=UTC),
    ]


def test_times_that_name_a_zone_keep_it() -> None:
    aware = datetime(2019, 10, 27, 2, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert times.in_utc([aware], BERLIN) == [datetime(2019, 10, 26, 17, 30, tzinfo=UTC)]


MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS)
def test_written_times_come_back_equal(time: datetime) -> None:
    whole = time.replace(microsecond=0)
    assert times.reader("iso")(time.isoformat()) == time
    assert times.reader("iso")(time.isoformat().replace("+00:00", "Z")) == time
    assert times.reader("unix_s")(int(whole.timestamp())) == whole
    assert times.reader("unix_s")(str(int(whole.timestamp()))) == whole
    milliseconds = time.replace(microsecond=time.microsecond // 1000 * 1000)
    counted = (milliseconds - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert times.reader("unix_ms")(counted) == milliseconds
    pattern = "%d.%m.%Y %H:%M:%S"
    assert times.reader(pattern)(whole.strftime(pattern)) == whole.replace(tzinfo=None)


@given(
    st.text() | st.integers() | st.floats() | st.booleans(),
    st.sampled_from(["iso", "unix_s", "unix_ms", "%d.%m.%Y"]),
)
def test_anything_is_a_time_or_unreadable(written: str | int | float | bool, pattern: str) -> None:
    try:
        time = times.reader(pattern)(written)
    except ValueError:
        return
    settled = times.in_utc([time], BERLIN)[0]
    assert settled is None or settled.tzinfo is UTC


@given(st.lists(st.none() | st.datetimes(datetime(2019, 10, 27), datetime(2019, 10, 27, 4)), max_size=12))
def test_any_order_of_labels_gives_times_that_clocks_showed(labels: list[datetime | None]) -> None:
    settled = times.in_utc(labels, BERLIN)
    assert len(settled) == len(labels)
    for label, time in zip(labels, settled, strict=True):
        assert label is not None or time is None
        if label is not None and time is not None:
            assert time.astimezone(BERLIN).replace(tzinfo=None, fold=0) == label


def test_times_beyond_the_calendar_are_missing() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    assert times.in_utc([datetime(1, 1, 1)], tokyo) == [None]
    for pattern, written in [
        ("unix_s", 10**18),
        ("unix_ms", -(10**18)),
        ("unix_s", float("inf")),
        ("iso", True),
    ]:
        with pytest.raises(ValueError):
            times.reader(pattern)(written)


@pytest.mark.parametrize("pattern", ["isoo", "%Q", "%d.%", "", "dd.mm.yyyy"])
def test_a_wrong_pattern_is_refused_before_anything_is_read(pattern: str) -> None:
    with pytest.raises(ValueError):
        times.reader(pattern)


def test_a_field_of_times_is_text_in_utc() -> None:
    assert cell({"parse": "time"}, "2024-02-03") == "2024-02-03T00:00:00+00:00"
    berlin = {"parse": "time", "format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}
    assert cell(berlin, "03.07.2024\u00a008:30") == "2024-07-03T06:30:00+00:00"
    assert (
        cell({**berlin, "regex": "^(.+?) -"}, "03.07.2024 08:30 - 03.07.2024 08:45")
        == "2024-07-03T06:30:00+00:00"
    )
    assert cell(berlin, "31.03.2019 02:15") is None
    assert cell({**berlin, "unbelievable": "reject"}, "31.03.2019 02:15") == "rejected"
    assert cell({"parse": "time"}, "yesterday") is None


def test_the_unreadable_and_the_impossible_times_of_a_column_are_counted() -> None:
    rule = {"column": "t", "parse": "time", "zone": "Europe/Berlin"}
    lines = ["t", "2019-03-31T01:45", "2019-03-31T02:15", "soon", '""', "2019-03-31T03:00"]
    read = parsed(
        feed({"kind": "csv"}, {"t": rule, "n": {"column": "n"}}), "\n".join(line + ",1" for line in lines)
    )
    assert [row["t"] for row in read.rows] == [
        "2019-03-31T00:45:00+00:00",
        None,
        None,
        None,
        "2019-03-31T01:00:00+00:00",
    ]
    assert read.unreadable["t"] == 2


def test_shuffled_labels_of_the_double_hour_are_not_believed() -> None:
    _, labels = local_labels(datetime(2019, 10, 27, tzinfo=UTC), 8, timedelta(minutes=15), BERLIN)
    random.Random(3).shuffle(labels)
    assert times.in_utc(labels, BERLIN) == [None] * 8
