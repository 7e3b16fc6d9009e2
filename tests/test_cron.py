"""Cron expressions held against a walk through every minute, over years, zones and clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from perennial.config import Schedule
from perennial.cron import Calendar, read_cron

MINUTE = timedelta(minutes=1)
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut",
    "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "America/Santiago", "Antarctica/Troll",
    "Asia/Kathmandu", "Africa/Cairo", "Asia/Gaza", "America/Caracas",
)  # fmt: skip
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, free: float) -> tuple[str, set[int] | None]:
    """A field as it may be written, and its values; None for `*`."""
    if draw(st.floats(0, 1)) < free:
        return "*", None
    parts, values = [], set()
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, max(1, last - first)))
        kind = draw(st.sampled_from(("one", "range", "step")))
        if kind == "one":
            last, step = first, 1
        parts.append({"one": f"{first}", "range": f"{first}-{last}", "step": f"{first}-{last}/{step}"}[kind])
        values |= set(range(first, last + 1, step if kind == "step" else 1))
    return ",".join(parts), values


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, list[set[int] | None]]:
    shares = (0.1, 0.3, 0.7, 0.9, 0.7)
    both = [draw(fields(*bounds, share)) for bounds, share in zip(BOUNDS, shares, strict=True)]
    return " ".join(text for text, _ in both), [values for _, values in both]


@lru_cache
def changes(zone: str, year: int) -> list[date]:
    """The days of a year on which the clocks change, and one on which they may not."""
    noons = [datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in range(366)]
    offsets = [noon.astimezone(ZoneInfo(zone)).utcoffset() for noon in noons]
    changed = [noon.date() for noon, a, b in zip(noons, offsets, offsets[1:], strict=False) if a != b]
    return [*changed, date(year, 7, 10)]


def matches(values: list[set[int] | None], wall: datetime) -> bool:
    minutes, hours, days, months, weekdays = values
    if minutes is not None and wall.minute not in minutes:
        return False
    if hours is not None and wall.hour not in hours:
        return False
    if months is not None and wall.month not in months:
        return False
    by_day = days is not None and wall.day in days
    by_weekday = weekdays is not None and (wall.weekday() + 1) % 7 in weekdays
    return by_day or by_weekday or (days is None and weekdays is None)


def walk(values: list[set[int] | None], zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """What is due from `start` to before `end`, found by looking at the clock on the wall every minute."""
    every_hour = values[1] is None or values[1] == set(range(24))
    due = []
    moment = start - timedelta(hours=6)  # longer than these clocks were ever set back
    furthest = moment.astimezone(zone).replace(tzinfo=None) - MINUTE
    while moment < end:
        wall = moment.astimezone(zone).replace(tzinfo=None, fold=0)
        if every_hour:
            hit = matches(values, wall)
        else:
            news = []
            while furthest < wall:  # nothing where the clocks went back; the leap where they went forward
                furthest += MINUTE
                news.append(furthest)
            hit = any(matches(values, new) for new in news)
        if hit and moment >= start:
            due.append(moment)
        moment += MINUTE
    return due


cases = given(
    expressions(), st.sampled_from(ZONES), st.integers(1991, 2037), st.integers(0, 9), st.integers(0, 2800)
)
no_tracing = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]


@settings(max_examples=30, deadline=None, phases=no_tracing)
@cases
def test_every_time_due_is_that_of_a_walk_through_the_minutes(
    written: tuple[str, list[set[int] | None]], name: str, year: int, which: int, at: int
) -> None:
    hold_against_walk(written, name, year, which, at)


@pytest.mark.torture
@settings(max_examples=1000, deadline=None, phases=no_tracing)
@cases
def test_every_time_due_is_that_of_a_long_walk(
    written: tuple[str, list[set[int] | None]], name: str, year: int, which: int, at: int
) -> None:
    hold_against_walk(written, name, year, which, at)


def hold_against_walk(
    written: tuple[str, list[set[int] | None]], name: str, year: int, which: int, at: int
) -> None:
    """Compares two days around the `which`-th clock change of a year in a zone."""
    text, values = written
    if values[4] is None and values[2] is not None and min(values[2]) > 28:  # may never come
        text = " ".join([*text.split()[:2], "28", *text.split()[3:]])
        values = [*values[:2], {28}, *values[3:]]
    zone, days = ZoneInfo(name), changes(name, year)
    start = datetime.combine(days[which % len(days)], time(), UTC) - timedelta(hours=14)
    end = start + timedelta(days=2)
    expected = walk(values, zone, start, end)
    calendar, found = Calendar(read_cron(text), zone), []
    moment = start - timedelta(seconds=1)
    while (moment := calendar.next_after(moment)) < end:
        found.append(moment)
    assert found == expected
    looked = start + at * MINUTE
    earlier = [m for m in expected if m <= looked]
    assert calendar.last_until(min(looked, end - MINUTE), start - MINUTE / 2) == (
        earlier[-1] if earlier else None
    )


@settings(max_examples=50, deadline=None, phases=no_tracing)
@given(expressions())
def test_the_expression_that_is_printed_for_other_crons_means_the_same(
    written: tuple[str, list[set[int] | None]],
) -> None:
    try:
        cron = read_cron(written[0])
    except ValueError as error:
        assert "a day that comes in some year" in str(error)
        return
    again = read_cron(str(cron))
    assert again == cron
    assert "7" not in str(cron).split()[4], "Kubernetes knows no weekday 7"


def due_on_day(text: str, zone: str, day: date) -> list[datetime]:
    calendar, at = Calendar(read_cron(text), ZoneInfo(zone)), ZoneInfo(zone)
    start, end = (datetime.combine(d, time(), at) for d in (day, day + timedelta(days=1)))
    found, moment = [], start - timedelta(seconds=1)
    while (moment := calendar.next_after(moment)) < end:
        found.append(moment.astimezone(at))
    return found


SHORT, LONG = date(2025, 3, 30), date(2025, 10, 26)


@pytest.mark.parametrize(
    ("text", "day", "times"),
    [
        ("30 2 * * *", SHORT, ["03:00+02:00"]),
        ("30 2 * * *", LONG, ["02:30+02:00"]),
        ("*/15 2 * * *", SHORT, ["03:00+02:00"]),
        ("0,30 2,3 * * *", SHORT, ["03:00+02:00", "03:30+02:00"]),
        ("0 3 * * *", LONG, ["03:00+01:00"]),
    ],
)
def test_a_time_of_the_wall_clock_comes_once_on_the_days_of_clock_changes(
    text: str, day: date, times: list[str]
) -> None:
    assert [
        m.isoformat()[11:16] + m.isoformat()[19:] for m in due_on_day(text, "Europe/Berlin", day)
    ] == times


@pytest.mark.parametrize(("day", "runs"), [(SHORT, 23), (LONG, 25), (date(2025, 7, 1), 24)])
def test_an_hourly_job_runs_once_an_hour_of_elapsed_time(day: date, runs: int) -> None:
    for text in ("0 * * * *", "30 0-23 * * *"):
        found = [m.astimezone(UTC) for m in due_on_day(text, "Europe/Berlin", day)]
        assert len(found) == runs
        assert {b - a for a, b in pairwise(found)} == {timedelta(hours=1)}


def test_days_whose_times_mingle_are_walked_in_order() -> None:
    """Until 2011 St. John's set its clocks back from 00:01 to 23:01, so that the day before went on."""
    calendar = Calendar(read_cron("*/30 * * * *"), ZoneInfo("America/St_Johns"))
    moment = datetime(2009, 11, 1, 0, 30, tzinfo=UTC)
    for _ in range(12):
        following = calendar.next_after(moment)
        assert following - moment == timedelta(minutes=30)
        assert calendar.last_until(following - MINUTE, datetime(2009, 10, 1, tzinfo=UTC)) == moment
        moment = following


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_job_runs_once_for_every_day_of_the_calendar(zone: str) -> None:
    calendar = Calendar(read_cron("30 2 * * *"), ZoneInfo(zone))
    moment = datetime(2029, 12, 31, 12, tzinfo=UTC)
    found = []
    for _ in range(365):
        moment = calendar.next_after(moment)
        found.append(moment.astimezone(ZoneInfo(zone)).date())
    assert found == [found[0] + timedelta(days=n) for n in range(365)]


def test_sunday_is_0_and_7_and_days_of_month_and_week_are_either_enough() -> None:
    assert read_cron("0 0 * * 7") == read_cron("0 0 * * 0") == read_cron("0 0 * * SUN")
    assert read_cron("0 0 * * 1").falls_on(date(2025, 11, 24)), "a Monday"
    thirteenth_or_friday = read_cron("0 0 13 * fri")
    falls = [
        d for n in range(30) if thirteenth_or_friday.falls_on(d := date(2025, 11, 1) + timedelta(days=n))
    ]
    assert [d.day for d in falls] == [7, 13, 14, 21, 28]


def test_29_february_is_found_across_a_century_without_one() -> None:
    calendar = Calendar(read_cron("0 0 29 2 *"), ZoneInfo("UTC"))
    assert calendar.next_after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 6 * *", "five fields of cron"),
        ("@daily", "five fields of cron"),
        ("60 * * * *", "values from 0 to 59 in the field minute, not 60"),
        ("0 25 * * *", "values from 0 to 23 in the field hour, not 25"),
        ("0 0 0 * *", "values from 1 to 31 in the field day of month, not 0"),
        ("0 0 * 13 *", "values from 1 to 12 in the field month, not 13"),
        ("0 0 * * 8", "values from 0 to 7 in the field day of week, not 8"),
        ("0 0 * foo *", "values from 1 to 12 in the field month, not 'foo'"),
        ("0 22-2 * * *", "ascending range in the field hour"),
        ("5/10 * * * *", "5-59/10"),
        ("*/0 * * * *", "step from 1 to 59"),
        ("*/90 * * * *", "step from 1 to 59"),
        ("0 0 1,,2 * *", "numbers, lists, ranges and steps"),
        ("0 0 ? * *", "numbers, lists, ranges and steps"),
        ("0 ٣ * * *", "numbers, lists, ranges and steps"),
        ("0 0 30 2 *", "a day that comes in some year"),
        ("0 0 */2 * 1", "every cron reads alike"),
        ("0 0 1 * */2", "every cron reads alike"),
    ],
)
def test_a_wrong_expression_gets_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        read_cron(text)
    assert words in str(error.value)
    with pytest.raises(ValueError, match="expected"):
        Schedule(collect=text)


@given(st.text(alphabet="0123456789*/-, amonfrijulx?", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cron = read_cron(text)
    except ValueError as error:
        assert str(error).startswith("expected")
    else:
        assert read_cron(str(cron)) == cron
