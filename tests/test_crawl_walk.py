"""Walks: windows that leave no gap, pages that are asked once, addresses that stay on their host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.config_web import Feed
from perennial.data.crawl.walk import (
    MOST_SAME,
    Found,
    Reached,
    Step,
    after,
    after_refusal,
    first_steps,
    plain,
    span,
    standing_in,
)
from perennial.errors import SourceError

NOW = datetime(2025, 6, 1, 12, 0, 7, 123456, tzinfo=UTC)
NEVER = Reached(None, None)
BASE = "http://a.example/api"
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2025, 5, 31), timezones=st.just(UTC))


def feed(**walk: Any) -> Feed:
    return Feed.model_validate(
        {
            "base_url": BASE,
            "walk": walk,
            "read": {"kind": "json"},
            "fields": {"id": {"path": "id"}},
            "key": ["id"],
        }
    )


def windows(**more: Any) -> Feed:
    return feed(kind="windows", url="q?a={start}&b={end}", **more)


def spans(steps: tuple[Step, ...]) -> list[tuple[datetime, datetime]]:
    return [span(step) for step in steps]


def found(elements: int = 1, content: str = "x", links: tuple[str, ...] = (), final_url: str = BASE) -> Found:
    return Found(elements, content, links, final_url)


@given(since=MOMENTS, days=st.floats(20, 4000), times=st.sampled_from(["iso", "date", "unix_s", "unix_ms"]))
@settings(max_examples=50, deadline=None)
def test_windows_cover_all_of_the_time_and_nothing_twice(since: datetime, days: float, times: str) -> None:
    config = windows(since=since, days=days, times=times)
    found_spans = spans(first_steps(config, "", NEVER, NOW)[:500])
    assert found_spans[0][0] == since
    assert len(found_spans) == 500 or found_spans[-1][1] == NOW
    assert all(a[1] == b[0] for a, b in pairwise(found_spans))
    assert all(start < end for start, end in found_spans)


@given(since=MOMENTS, times=st.sampled_from(["iso", "date", "unix_s", "unix_ms"]), data=st.data())
@settings(max_examples=50, deadline=None)
def test_halves_ask_for_the_whole_window_until_it_is_as_short_as_its_times_can_say(
    since: datetime, times: str, data: st.DataObject
) -> None:
    config = windows(since=since, days=100_000, times=times, most_rows=10)
    (step,) = first_steps(config, "", NEVER, NOW)
    for content in range(100):
        ahead = after(step, found(10, str(content)), config, "")
        if ahead.rows == "full":
            break
        first, second = ahead.steps
        assert (span(first)[0], span(second)[1]) == span(step)
        assert span(first)[1] == span(second)[0]
        assert first.url != step.url != second.url
        asked = [[parse_qs(urlsplit(half.url).query)[name][0] for name in "ab"] for half in ahead.steps]
        assert asked[0][1] == asked[1][0]
        step = data.draw(st.sampled_from(ahead.steps))
    start, end = span(step)
    assert end - start < timedelta(days=2 if times == "date" else 2 / 86_400) * 1.5


def test_a_host_that_ignores_the_window_is_not_asked_for_ever() -> None:
    config = windows(since=datetime(2000, 1, 1, tzinfo=UTC), days=100_000, most_rows=10)
    steps, asked = list(first_steps(config, "", NEVER, NOW)), 0
    while steps:
        asked += 1
        steps += after(steps.pop(), found(10, "always the same"), config, "").steps
    assert asked == 2 ** (MOST_SAME + 1) - 1


@pytest.mark.parametrize(
    ("times", "asked"),
    [
        ("iso", "a=2025-05-01T10:30:00&b=2025-06-01T12:00:07"),
        ("date", "a=2025-05-01&b=2025-06-01"),
        ("unix_s", "a=1746095400&b=1748779207"),
        ("unix_ms", "a=1746095400000&b=1748779207000"),
    ],
)
def test_times_are_written_as_the_host_wants_them(times: str, asked: str) -> None:
    config = windows(since=datetime(2025, 5, 1, 12, 30).isoformat() + "+02:00", times=times)
    (step,) = first_steps(config, "", NEVER, NOW)
    assert step.url == f"{BASE}/q?{asked}"


def test_a_refused_window_is_split_unless_it_is_short() -> None:
    config = windows(since=NOW - timedelta(minutes=5))
    (step,) = first_steps(config, "", NEVER, NOW)
    ahead = after_refusal(step, 413, config, "")
    assert ahead is not None and ahead.rows == "split" and len(ahead.steps) == 2
    assert after_refusal(step, 403, config, "") is None
    short = windows(since=NOW - timedelta(seconds=59))
    assert after_refusal(first_steps(short, "", NEVER, NOW)[0], 400, short, "") is None


def test_a_walk_that_reached_the_present_asks_for_nothing_before_its_overlap() -> None:
    config = windows(since=datetime(2000, 1, 1, tzinfo=UTC), overlap_days=3)
    newest = NOW - timedelta(days=1)
    assert spans(first_steps(config, "", Reached(newest, NOW), NOW)) == [(newest - timedelta(days=3), NOW)]
    future = windows(since=NOW + timedelta(days=1))
    assert first_steps(future, "", NEVER, NOW) == ()


def test_counted_pages_end_at_the_last_an_empty_or_a_repeated_one() -> None:
    known = feed(kind="pages", start=["p?n={page}"], first=0, step=20, last=60)
    assert [s.url[-2:] for s in first_steps(known, "", NEVER, NOW)] == ["=0", "20", "40", "60"]
    assert all(after(s, found(), known, "").steps == () for s in first_steps(known, "", NEVER, NOW))
    open_ended = feed(kind="pages", start=["p?n={page}"], first=5)
    (step,) = first_steps(open_ended, "", NEVER, NOW)
    (second,) = after(step, found(3, "rows"), open_ended, "").steps
    assert second.url == f"{BASE}/p?n=6"
    assert after(second, found(3, "rows"), open_ended, "").steps == ()
    assert after(second, found(0, "none"), open_ended, "").steps == ()
    assert after(second, found(3, "others"), open_ended, "").steps[0].url == f"{BASE}/p?n=7"
    assert after_refusal(step, 404, open_ended, "") is None, "the first page has to exist"
    assert after_refusal(second, 404, open_ended, "") is not None


def test_links_are_followed_on_the_own_host_alone_and_once() -> None:
    config = feed(kind="pages", start=["cars"], next={"path": "x"}, drop_parameters=["sid"])
    links = (
        "http://a.example/cars?p=2&sid=1",
        "http://A.example/cars?sid=2&p=2#x",
        "http://b.example/cars?p=3",
        "https://www.a.example/cars?p=4",
    )
    ahead = after(Step(f"{BASE}/cars"), found(links=links), config, "")
    assert [step.url for step in ahead.steps] == ["http://a.example/cars?p=2"]
    moved = after(Step(f"{BASE}/cars"), found(links=links, final_url="https://www.a.example/"), config, "")
    assert [step.url for step in moved.steps][-1] == "https://www.a.example/cars?p=4"


@pytest.mark.parametrize(
    ("link", "moved"),
    [
        ("http://a.example/api/cars?p=2", "http://127.0.0.1:80/x/cars?p=2"),
        ("http://a.example/other?p=2", "http://127.0.0.1:80/other?p=2"),
        ("http://a.example.evil/api/cars", "http://a.example.evil/api/cars"),
        ("http://127.0.0.1:80/x/cars", "http://127.0.0.1:80/x/cars"),
    ],
)
def test_links_to_the_real_address_move_to_the_stand_in(link: str, moved: str) -> None:
    config = feed(kind="pages", start=["cars"], next={"path": "x"})
    assert standing_in(link, config, "http://127.0.0.1:80/x/") == moved
    assert standing_in(link, config, "") == link


@given(st.text(max_size=40), st.lists(st.sampled_from(["a", "b", "%61", "sid"]), max_size=4))
def test_the_plain_spelling_of_an_address_is_its_own(path: str, names: list[str]) -> None:
    url = "http://a.example/" + path.replace("#", "") + "?" + "&".join(f"{name}=1" for name in names)
    once = plain(url, ("a",))
    assert once == plain(once, ("a",)) and once.isascii()
    assert "a=1" not in once.partition("?")[2].split("&") and "#" not in once


def test_files_come_sorted_and_a_missing_one_is_named(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "c.txt"):
        (tmp_path / name).touch()
    config = feed(kind="files", paths=[f"{tmp_path}/*.json", f"{tmp_path}/c.txt"])
    steps = first_steps(config, "", NEVER, NOW)
    assert [Path(step.url).name for step in steps] == ["a.json", "b.json", "c.txt"]
    with pytest.raises(SourceError, match=r"expected a file that fits this pattern, found none"):
        first_steps(feed(kind="files", paths=[f"{tmp_path}/*.csv"]), "", NEVER, NOW)
