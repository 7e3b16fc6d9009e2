"""The promises of a feed, held against what a collection brought.

A promise is absolute (`min_rows`, `min_fill`, `max_rejected`, `max_failed`) or compares with earlier good
collections: `row_band` from the third good one on, `fill_drop`, the hit rate of selectors and the layout from the
first. A first collection, and the first after a change of the feed in the config, is judged by absolute promises
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perennial.config_web import Feed, HtmlRead, JsonRead
from perennial.data import field_promises
from perennial.data.fetch.outcomes import FetchOutcome
from perennial.data.field_promises import broken, percent, written
from perennial.data.judged import FEW, NEEDED, Judged, definition, judged
from perennial.evidence import Breach, Collection, FeedFacts


def stamped(collection: Collection, feeds: Mapping[str, Feed]) -> Collection:
    """The collection whose facts carry the definition of their feeds, for the comparisons of later ones."""
    facts = tuple(f.model_copy(update={"definition": definition(feeds[f.feed])}) for f in collection.feeds)
    return collection.model_copy(update={"feeds": facts})


def breaches(facts: FeedFacts, earlier: Sequence[FeedFacts], feed: Feed) -> tuple[Breach, ...]:
    """The promises of `feed` that a collection did not keep, each with a sentence that says what to do.

    `earlier` are the facts of the same feed in earlier good collections, oldest first.
    """
    case = judged(facts, earlier, feed)
    incomplete = list(_requests(case))
    fallen = [*(() if incomplete else _rows(case)), *field_promises.rejected(case)]
    fallen += [breach for name in feed.fields for breach in field_promises.values(case, name)]
    return (*incomplete, *fallen, *_layout(case, fallen))


def notes(facts: FeedFacts, earlier: Sequence[FeedFacts], feed: Feed) -> tuple[str, ...]:
    """What is worth a line and is no breach: a new layout, and what there was not enough data to judge."""
    case = judged(facts, earlier, feed)
    breached = breaches(facts, earlier, feed)
    told = [*_request_notes(case, breached), *_row_notes(case), *_share_notes(case, breached)]
    if case.has_new_layout and not breached:
        told.append(f"{_layouts(case)}; rows and fields still hold")
    return tuple(f"{facts.feed}: {note}" for note in told)


def _requests(case: Judged) -> Iterator[Breach]:
    facts, limit = case.facts, case.feed.expect.max_failed
    requests = max(facts.requests, case.failed)
    if case.failed and (case.failed > limit * requests or case.failed == requests):
        remedy = "; ".join(filter(None, map(_remedy, facts.failed))) or "collect again later"
        yield broken(
            case,
            "requests",
            f"expected at most {percent(limit)} of requests to fail, found {case.failed:,} of {requests:,} "
            f"({_counted(facts.failed)}), so that the collection is incomplete; {remedy}",
        )


def _rows(case: Judged) -> Iterator[Breach]:
    facts, expect, place = case.facts, case.feed.expect, _rows_selector(case.feed)
    if facts.partial or case.nothing_new:
        return
    where = f" (`{place}` found {case.found:,}, of which {facts.rejected:,} were rejected)" if place else ""
    if facts.rows < expect.min_rows:
        yield broken(
            case,
            "min_rows",
            f"expected at least {expect.min_rows:,} rows, found {facts.rows:,}{where}; open one of the addresses "
            f"and mend feeds.{facts.feed}.read, or lower expect.min_rows (0 where no row at all is legitimate)",
            selector=place,
        )
    elif case.is_outside and not case.is_chance:
        low, high = case.band
        yield broken(
            case,
            "row_band",
            f"expected {low:,} to {high:,} rows ({expect.row_band[0]:g} to {expect.row_band[1]:g} times the median "
            f"{case.usual_rows:,.0f} of {case.earlier}), found {facts.rows:,}{where}; "
            "look whether pages are missing or repeat; if the source itself has changed, say so in "
            f"feeds.{facts.feed}.expect: a feed that was edited starts a new history",
            selector=place,
        )


def _layout(case: Judged, fallen: Sequence[Breach]) -> Iterator[Breach]:
    if case.has_new_layout and fallen:
        named = ", ".join(dict.fromkeys(b.selector for b in fallen if b.selector)) or "the selectors"
        yield broken(
            case,
            "layout",
            f"{_layouts(case)}, and rows or fields fell at the same time; compare a page with an earlier one and "
            f"mend {named}",
        )
    elif case.has_new_layout and case.feed.expect.layout == "breach":
        yield broken(
            case,
            "layout",
            f"{_layouts(case)}; look at a page, and set expect.layout: note where such changes are harmless",
        )


def _layouts(case: Judged) -> str:
    return (
        f"expected the page structure of earlier good collections ({case.layout_before[:8]}), found another "
        f"({case.facts.layout[:8]})"
    )


def _request_notes(case: Judged, breached: Sequence[Breach]) -> Iterator[str]:
    facts = case.facts
    if case.failed and not any(b.rule == "requests" for b in breached):
        yield (
            f"{case.failed:,} of {facts.requests:,} requests failed ({_counted(facts.failed)}), within "
            "expect.max_failed"
        )
    if case.nothing_new:
        yield f"nothing is new: all {facts.unchanged:,} answers are unchanged"


def _row_notes(case: Judged) -> Iterator[str]:
    facts, usual = case.facts, case.usual_rows
    if not case.has_history and not facts.partial:
        yield (
            f"not enough data to compare the number of rows: {case.earlier} of this kind, {NEEDED} are needed; "
            "judged by expect.min_rows alone"
        )
    if facts.partial:
        yield "only new and revised records were asked for, so that their number is not judged"
        if facts.rows == 0 and case.has_history and usual >= FEW:
            yield f"no row came, while earlier collections of this kind brought {usual:,.0f} as a rule"
    elif case.is_outside and case.is_chance:
        low, high = case.band
        yield (
            f"not enough data: {facts.rows:,} rows are outside the band of {low:,} to {high:,}, but so few that "
            "chance may be why"
        )


def _share_notes(case: Judged, breached: Sequence[Breach]) -> Iterator[str]:
    facts = case.facts
    if 0 < case.found < FEW:
        yield f"not enough data: {case.found:,} rows are too few to judge shares closely"
    blamed = {b.field for b in breached}
    for name, rule in case.feed.fields.items():
        if facts.hits and case.found >= FEW and not facts.hits.get(name) and name not in blamed:
            yield f"{name}: `{written(rule)}` found nothing in any of {case.found:,} rows"


def _rows_selector(feed: Feed) -> str:
    """Where the rows of an answer are looked for, as it stands in the YAML file; "" for tables."""
    if isinstance(feed.read, HtmlRead):
        return written(feed.read.rows)
    return f"rows: {feed.read.rows}" if isinstance(feed.read, JsonRead) else ""


def _remedy(outcome: str) -> str:
    known = {str(one): one.remedy for one in FetchOutcome}
    return f"for {outcome}: {known[outcome]}" if outcome in known else ""


def _counted(outcomes: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
