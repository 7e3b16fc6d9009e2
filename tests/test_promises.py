"""What a feed promises, held against what came; and the log that remembers it."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.config_web import Feed
from perennial.data import collection_log, judged, promises
from perennial.errors import StoreError
from perennial.evidence import Breach, Collection, DatasetReference, FeedFacts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FORK = multiprocessing.get_context("fork")


def feed(**expect: Any) -> Feed:
    return Feed.model_validate(
        {
            "base_url": "https://cars.example",
            "walk": {"kind": "pages", "start": ["/"]},
            "read": {"kind": "html", "rows": {"css": "article.listing"}},
            "fields": {
                "id": {"css": "::attr(data-id)", "required": True},
                "price": {"css": ".prix", "parse": "number", "minimum": 100},
                "year": {"xpath": ".//span[2]", "parse": "integer", "unbelievable": "reject"},
            },
            "key": ["id"],
            "expect": expect,
        }
    )


def facts(rows: int = 918, **changes: Any) -> FeedFacts:
    full = dict.fromkeys(("id", "price", "year"), rows)
    given = {"requests": 10, "unchanged": 0, "hits": full, "filled": full, "layout": "a1b2c3d4e5f6"}
    for counts in ("hits", "filled"):
        given[counts] = {**full, **changes.pop(counts, {})}
    return FeedFacts(feed="cars", rows=rows, **{**given, **changes})


PAST = [facts(900), facts(918), facts(930)]


def rules(found: tuple[Breach, ...]) -> list[tuple[str, str]]:
    return [(breach.rule, breach.field) for breach in found]


def test_a_collection_like_those_before_keeps_every_promise() -> None:
    assert promises.breaches(facts(), PAST, feed(layout="breach", min_fill={"price": 1.0})) == ()
    assert promises.notes(facts(), PAST, feed()) == ()


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(1, 5000),
    share=st.floats(0, 1),
    earlier=st.integers(0, 12),
    partial=st.booleans(),
)
def test_the_same_facts_again_are_never_a_breach(
    rows: int, share: float, earlier: int, partial: bool
) -> None:
    some = int(rows * share)
    one = facts(rows, hits={"price": some}, filled={"price": some}, partial=partial)
    assert promises.breaches(one, [one] * earlier, feed()) == ()


def test_a_collapsed_selector_is_named_as_it_is_written() -> None:
    gone = facts(hits={"price": 0}, filled={"price": 0}, layout="ffff00001111")
    selector, layout = promises.breaches(gone, PAST, feed())
    assert (selector.rule, selector.field, selector.selector) == ("selector", "price", "css: .prix")
    assert selector.sentence == (
        "cars.price: expected `css: .prix` to find something in about 100 % of rows, as in 3 earlier good "
        "collections, found it in 0 of 918 (0 %); open one of the answers, mend `css: .prix` under "
        "feeds.cars.fields.price, and run collect --reparse"
    )
    assert layout.rule == "layout"
    assert "a1b2c3d4" in layout.sentence and "ffff0000" in layout.sentence and "css: .prix" in layout.sentence


def test_one_good_collection_is_enough_to_see_a_selector_collapse() -> None:
    assert rules(promises.breaches(facts(hits={"price": 0}, filled={"price": 0}), PAST[:1], feed())) == [
        ("selector", "price")
    ]


def test_a_first_collection_is_judged_by_absolute_promises_alone() -> None:
    poor = facts(40, hits={"price": 0}, filled={"price": 0}, layout="other")
    assert promises.breaches(poor, [], feed()) == ()
    told = promises.notes(poor, [], feed())
    assert any("0 earlier good collections" in note and "3 are needed" in note for note in told)
    assert any("css: .prix" in note and "40" in note for note in told)
    assert rules(promises.breaches(poor, [], feed(min_rows=41, min_fill={"price": 0.5}))) == [
        ("min_rows", ""),
        ("min_fill", "price"),
    ]


@pytest.mark.parametrize(
    ("rows", "outside"), [(458, True), (459, False), (918, False), (1836, False), (1837, True)]
)
def test_the_band_is_counted_from_the_median(rows: int, outside: bool) -> None:
    found = promises.breaches(facts(rows), PAST, feed())
    assert rules(found) == ([("row_band", "")] if outside else [])
    if outside:
        assert "459 to 1,836" in found[0].sentence and "css: article.listing" in found[0].sentence


def test_the_band_needs_three_good_collections() -> None:
    assert promises.breaches(facts(100), PAST[:2], feed()) == ()
    assert rules(promises.breaches(facts(100), PAST, feed())) == [("row_band", "")]


def test_old_collections_are_forgotten() -> None:
    grown = [facts(100)] * 20 + [facts(1000)] * judged.NEWEST
    assert promises.breaches(facts(1000), grown, feed()) == ()
    assert rules(promises.breaches(facts(100), grown, feed())) == [("row_band", "")]


def test_zero_rows_are_a_breach_unless_declared() -> None:
    nothing = facts(0)
    (breach,) = promises.breaches(nothing, PAST, feed())
    assert breach.rule == "min_rows" and "css: article.listing" in breach.sentence
    assert promises.breaches(nothing, PAST, feed(min_rows=0)) == ()
    assert promises.breaches(facts(7), [nothing] * 5, feed(min_rows=0)) == ()


def test_few_rows_raise_no_false_alarm_and_say_so() -> None:
    three = facts(3, hits={"price": 2}, filled={"price": 2}, rejected=0)
    past = [facts(4), facts(5), facts(7)]
    assert promises.breaches(three, past, feed(min_fill={"price": 0.9})) == ()
    assert any("not enough data" in note for note in promises.notes(three, past, feed()))
    lost = facts(3, hits={"price": 0}, filled={"price": 0})
    assert rules(promises.breaches(lost, past, feed(min_fill={"price": 0.9}))) == [("min_fill", "price")]
    assert rules(promises.breaches(lost, PAST, feed(row_band=(0, 99)))) == [("selector", "price")]


def test_few_rows_outside_the_band_are_a_note() -> None:
    past = [facts(20)] * 5
    assert promises.breaches(facts(9), past, feed()) == ()
    assert any("10 to 40" in note for note in promises.notes(facts(9), past, feed()))
    assert rules(promises.breaches(facts(2), past, feed())) == [("row_band", "")]


@pytest.mark.parametrize("mean", [4, 30, 400])
def test_the_band_seldom_cries_wolf_over_counts_that_scatter(mean: int) -> None:
    """Poisson counts of one mean, with a band so narrow that the scatter alone must hold back the alarm."""
    draw = random.Random(7)
    tried, false = 2000, 0
    for _ in range(tried):
        *past, now = (facts(max(1, _poisson(draw, mean))) for _ in range(6))
        false += bool(promises.breaches(now, past, feed(row_band=(1.0, 1.0))))
    assert false / tried < 0.006  # 0.001 on either side, and a median of five that scatters itself


@pytest.mark.parametrize("rows", [3, 10, 19])
def test_absolute_shares_of_few_rows_seldom_cry_wolf(rows: int) -> None:
    draw = random.Random(11)
    tried, false = 2000, 0
    for _ in range(tried):
        filled = sum(draw.random() < 0.9 for _ in range(rows))
        false += bool(
            promises.breaches(facts(rows, filled={"price": filled}), [], feed(min_fill={"price": 0.9}))
        )
    assert false / tried < 0.02


@pytest.mark.parametrize("rows", [3, 10, 30])
def test_a_share_that_scatters_around_the_usual_one_seldom_cries_wolf(rows: int) -> None:
    draw = random.Random(13)
    tried, false = 2000, 0
    usual = [facts(1000, filled={"price": 500}, hits={"price": 1000})] * 3
    for _ in range(tried):
        filled = sum(draw.random() < 0.5 for _ in range(rows))
        found = promises.breaches(facts(rows, filled={"price": filled}), usual, feed(row_band=(0, 9)))
        false += bool(found)
    assert false / tried < 0.004


@given(st.integers(0, 30), st.integers(1, 30), st.floats(0.01, 0.99))
def test_the_binomial_tail_is_its_own_sum(count: int, total: int, share: float) -> None:
    sums = sum(
        math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(min(count, total) + 1)
    )
    assert judged.at_most(min(count, total), total, share) == pytest.approx(sums, abs=1e-9)


def test_a_share_at_its_limit_holds() -> None:
    exact = facts(100, filled={"price": 90}, rejected=0)
    assert promises.breaches(exact, [], feed(min_fill={"price": 0.9})) == ()
    below = facts(100, filled={"price": 89})
    assert rules(promises.breaches(below, [], feed(min_fill={"price": 0.9}))) == [("min_fill", "price")]
    assert promises.breaches(facts(90, rejected=10), [], feed(max_rejected=0.1)) == ()


def test_a_fallen_fill_rate_is_told_apart_from_a_fallen_selector() -> None:
    unread = facts(filled={"price": 500})
    (breach,) = promises.breaches(unread, PAST, feed())
    assert (breach.rule, breach.field) == ("fill_drop", "price")
    assert "500 of 918" in breach.sentence and "918 of 918" in breach.sentence
    assert promises.breaches(facts(filled={"price": 800}), PAST, feed()) == ()
    assert rules(promises.breaches(facts(filled={"price": 800}), PAST, feed(fill_drop=0.05))) == [
        ("fill_drop", "price")
    ]


def test_unbelievable_values_are_a_breach_of_their_own() -> None:
    odd = facts(filled={"price": 700}, unreadable={"price": 18}, out_of_range={"price": 200})
    (breach,) = promises.breaches(odd, PAST, feed())
    assert (breach.rule, breach.field, breach.selector) == ("values", "price", "css: .prix")
    assert "18 unreadable" in breach.sentence and "200 out of range" in breach.sentence


def test_rejected_rows_name_the_field_that_cost_most() -> None:
    found = facts(
        800, rejected=200, hits={"id": 990, "price": 1000, "year": 1000}, out_of_range={"year": 190}
    )
    (breach,) = promises.breaches(found, PAST, feed())
    assert (breach.rule, breach.field, breach.selector) == ("rejected", "year", "xpath: .//span[2]")
    assert "200 of 1,000 (20 %)" in breach.sentence
    missing = facts(800, rejected=200, hits={"id": 800, "price": 1000, "year": 1000})
    assert promises.breaches(missing, [], feed())[0].selector == "css: ::attr(data-id)"


def test_failed_requests_keep_an_incomplete_collection_out() -> None:
    torn = facts(300, failed={"robots_forbids": 1, "idle_timeout": 2}, requests=120)
    (breach,) = promises.breaches(torn, PAST, feed())
    assert breach.rule == "requests"
    for words in ("3 of 120", "1 robots_forbids", "ask the people who run the host", "limits.idle_s"):
        assert words in breach.sentence
    assert (
        promises.breaches(facts(failed={"idle_timeout": 2}, requests=120), PAST, feed(max_failed=0.02)) == ()
    )
    assert (
        "2 idle_timeout"
        in promises.notes(facts(failed={"idle_timeout": 2}, requests=120), PAST, feed(max_failed=0.02))[0]
    )
    alone = facts(0, failed={"connection": 1}, requests=1)
    assert rules(promises.breaches(alone, PAST, feed(max_failed=1.0))) == [("requests", "")]


def test_failed_requests_do_not_hide_a_broken_selector() -> None:
    both = facts(hits={"price": 3}, filled={"price": 3}, failed={"throttled": 1})
    assert rules(promises.breaches(both, PAST, feed())) == [("requests", ""), ("selector", "price")]


def test_a_changed_layout_alone_is_a_note_unless_it_is_promised() -> None:
    changed = facts(layout="ffff00001111")
    assert promises.breaches(changed, PAST, feed()) == ()
    (note,) = promises.notes(changed, PAST, feed())
    assert "a1b2c3d4" in note and "ffff0000" in note
    assert rules(promises.breaches(changed, PAST, feed(layout="breach"))) == [("layout", "")]
    seen = [facts(layout="ffff00001111"), *PAST]
    assert promises.breaches(changed, seen, feed(layout="breach")) == ()


def test_partial_collections_are_compared_with_their_like_alone() -> None:
    few = facts(30, partial=True, hits={"price": 0}, filled={"price": 0}, layout="other")
    assert promises.breaches(few, PAST, feed()) == ()
    assert any("not judged" in note for note in promises.notes(few, PAST, feed()))
    likes = [facts(25, partial=True)] * 3
    assert rules(promises.breaches(few, likes, feed())) == [("selector", "price"), ("layout", "")]
    empty = facts(0, partial=True)
    assert promises.breaches(empty, likes, feed()) == ()
    assert any("brought 25" in note for note in promises.notes(empty, likes, feed()))
    assert promises.breaches(facts(), likes, feed()) == ()


def test_answers_that_have_not_changed_are_no_empty_collection() -> None:
    same = facts(0, requests=10, unchanged=10)
    assert promises.breaches(same, PAST, feed()) == ()
    assert "nothing is new" in promises.notes(same, PAST, feed())[0]
    assert rules(promises.breaches(facts(0, requests=10, unchanged=9), PAST, feed())) == [("min_rows", "")]


def test_an_edited_feed_starts_a_new_history() -> None:
    one = Collection(
        system="used_cars",
        number=1,
        started_at="",
        finished_at="",
        feeds=(facts(9000), facts(9100), facts(9200)),
    )
    past = promises.stamped(one, {"cars": feed()}).feeds
    assert rules(promises.breaches(facts(), past, feed())) == [("row_band", "")]
    assert promises.breaches(facts(), past, feed(min_rows=500)) == ()
    with_header = feed().model_copy(update={"headers": {"x": "y"}})
    assert rules(promises.breaches(facts(), past, with_header)) == [("row_band", "")]


def collection(number: int, *broken: str, hours: float = 0, version: int | None = 3) -> Collection:
    end = NOON + timedelta(hours=hours)
    breached = tuple(Breach(feed="cars", rule="selector", sentence=sentence) for sentence in broken)
    reference = (
        DatasetReference(uri="d", version=version, rows=918, fingerprint="f") if version is not None else None
    )
    return Collection(
        system="used_cars",
        number=number,
        started_at=(end - timedelta(minutes=5)).isoformat(),
        finished_at=end.isoformat(),
        feeds=(facts(),),
        breaches=breached,
        dataset=reference,
    )


def test_what_was_logged_is_read_back_in_order(tmp_path: Path) -> None:
    assert collection_log.history(tmp_path) == [] and collection_log.last_good(tmp_path) is None
    all_of_them = [collection(n, *["no"] * (n % 3 == 0), hours=n) for n in range(1, 12)]
    for one in all_of_them:
        assert collection_log.append(tmp_path, one) == one
    assert collection_log.history(tmp_path) == all_of_them
    assert collection_log.history(tmp_path, newest=2) == all_of_them[-2:]
    assert collection_log.last_good(tmp_path) == all_of_them[10]


def test_blocked_says_since_when_and_how_old_the_last_good_version_is(tmp_path: Path) -> None:
    now = NOON + timedelta(days=2, hours=1)
    assert collection_log.blocked(tmp_path, now) is None
    collection_log.append(tmp_path, collection(1))
    assert collection_log.blocked(tmp_path, now) is None
    collection_log.append(tmp_path, collection(2, "cars.price: first.", hours=24))
    collection_log.append(tmp_path, collection(3, "a.", "b.", "c.", "d.", hours=48))
    told = collection_log.blocked(tmp_path, now)
    assert told is not None
    for words in (
        "number 3 of 2026-03-03 12:00 UTC",
        "(1) a. (2) b. (3) c., and 1 more",
        "since 2026-03-02 12:00 UTC (1 day 1 hour ago)",
        "version is 3 (918 records)",
        "collection 1 of 2026-03-01 12:00 UTC, 2 days 1 hour ago",
    ):
        assert words in told, told
    collection_log.append(tmp_path, collection(4, hours=49))
    assert collection_log.blocked(tmp_path, now) is None


def test_blocked_without_any_good_version(tmp_path: Path) -> None:
    collection_log.append(tmp_path, collection(1, "no", version=None))
    assert "no good dataset version yet" in str(collection_log.blocked(tmp_path, NOON))


def test_a_verdict_that_is_repeated_after_a_kill_is_logged_once(tmp_path: Path) -> None:
    first = collection(1, "no").model_copy(update={"added": 5})
    collection_log.append(tmp_path, first)
    again = first.model_copy(update={"finished_at": (NOON + timedelta(hours=1)).isoformat(), "added": 0})
    assert collection_log.append(tmp_path, again) == first
    assert collection_log.history(tmp_path) == [first]


def test_a_second_look_at_the_same_answers_is_the_newest_verdict(tmp_path: Path) -> None:
    collection_log.append(tmp_path, collection(1, "no"))
    mended = collection(1)
    collection_log.append(tmp_path, mended)
    collection_log.append(tmp_path, mended)
    assert collection_log.history(tmp_path) == [collection(1, "no"), mended]
    assert collection_log.blocked(tmp_path, NOON) is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    collection_log.append(tmp_path, collection(1))
    path = tmp_path / "log" / "000001.json"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match=r"000001\.json"):
        collection_log.history(tmp_path)


def _race(barrier: Any, results: Any, folder: Path, hours: int) -> None:
    barrier.wait()
    try:
        collection_log.append(folder, collection(1, hours=hours))
        results.put("won")
    except StoreError:
        results.put("lost")


def test_two_writers_never_share_a_number(tmp_path: Path) -> None:
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        outcomes = _together(4, _race, folder)
        assert sorted(outcomes) == ["lost"] * 3 + ["won"]
        assert len(collection_log.history(folder)) == 1


def _append_for_ever(folder: Path) -> None:
    number = 0
    while True:
        number += 1
        collection_log.append(folder, collection(number, hours=number))


def test_a_killed_writer_leaves_a_whole_log(tmp_path: Path) -> None:
    draw = random.Random(3)
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        writer = FORK.Process(target=_append_for_ever, args=(folder,))
        writer.start()
        writer.join(draw.uniform(0.02, 0.15))
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        numbers = [one.number for one in collection_log.history(folder)]
        assert numbers == list(range(1, len(numbers) + 1))
        head = len(numbers) + 1
        collection_log.append(folder, collection(head, hours=head))
        assert collection_log.history(folder)[-1].number == head


def _together(count: int, target: Callable[..., None], folder: Path) -> list[str]:
    """What `count` processes put into a queue that were let go at the same moment."""
    barrier, results = FORK.Barrier(count), FORK.Queue()
    processes = [FORK.Process(target=target, args=(barrier, results, folder, n)) for n in range(count)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    return outcomes


def _poisson(draw: random.Random, mean: float) -> int:
    """A Poisson count: how many exponential gaps fit into a stretch of `mean`."""
    count, reached = 0, draw.expovariate(1)
    while reached < mean:
        count, reached = count + 1, reached + draw.expovariate(1)
    return count


def test_facts_are_json_that_anyone_can_read(tmp_path: Path) -> None:
    collection_log.append(tmp_path, collection(1))
    assert json.loads((tmp_path / "log" / "000001.json").read_text())["feeds"][0]["hits"]["price"] == 918
