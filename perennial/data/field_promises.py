"""The promises about the fields of a feed, and the words for where a value was looked for."""

from __future__ import annotations

from collections.abc import Iterator

from perennial.config_web import Select
from perennial.data.judged import Judged, has_fallen, is_above, shares_of
from perennial.evidence import Breach


def written(rule: Select) -> str:
    """A selector as it stands in the YAML file, such as `css: .price`."""
    place, value = next((p, v) for p in rule.places() if (v := getattr(rule, p)) is not None)
    return f"{place}: {value}"


def broken(case: Judged, rule: str, sentence: str, field: str = "", selector: str = "") -> Breach:
    """A breach whose sentence starts with the feed, and with the field where it is about one."""
    feed = case.facts.feed
    told = f"{feed}.{field}: {sentence}" if field else f"{feed}: {sentence}"
    return Breach(feed=feed, rule=rule, field=field, selector=selector, sentence=told)


def percent(share: float) -> str:
    """A share in percent.

    >>> percent(0.0131)
    '1.31 %'
    """
    return f"{100 * share:.3g} %"


def rejected(case: Judged) -> Iterator[Breach]:
    """The breach of `max_rejected`, with the field that cost most rows."""
    facts, limit = case.facts, case.feed.expect.max_rejected
    if not is_above(facts.rejected, case.found, limit):
        return
    losses = {name: _losses(case, name) for name in case.feed.fields}
    worst = max(losses, key=lambda name: losses[name])
    field, selector = (worst, written(case.feed.fields[worst])) if losses[worst] else ("", "")
    culprit = f"most often for `{selector}`" if field else "see the quarantined rows"
    yield broken(
        case,
        "rejected",
        f"expected at most {percent(limit)} of rows to be rejected, found {_of(facts.rejected, case.found)}, "
        f"{culprit}; mend the rule, or raise expect.max_rejected",
        field,
        selector,
    )


def values(case: Judged, name: str) -> Iterator[Breach]:
    """The most telling of the broken promises about the values of one field, if any was broken."""
    found = _selector(case, name) or _unbelievable(case, name) or _fill(case, name)
    if found:
        yield broken(case, *found, name, written(case.feed.fields[name]))


def _selector(case: Judged, name: str) -> tuple[str, str] | None:
    hits, place = case.facts.hits.get(name, 0), written(case.feed.fields[name])
    of_hits, _ = shares_of(name)
    usual = case.usual(of_hits)
    if not case.facts.hits or usual is None:
        return None
    if not has_fallen(hits, case.found, usual, case.feed.expect.fill_drop):
        return None
    return "selector", (
        f"expected `{place}` to find something in about {percent(usual.share)} of rows, as in "
        f"{case.earlier}, found it in {_of(hits, case.found)}; {_mend(case, name)}"
    )


def _unbelievable(case: Judged, name: str) -> tuple[str, str] | None:
    facts, rule, limit = case.facts, case.feed.fields[name], case.feed.expect.max_rejected
    unreadable, outside = facts.unreadable.get(name, 0), facts.out_of_range.get(name, 0)
    hits = max(facts.hits.get(name, 0), unreadable + outside)
    if rule.unbelievable != "blank" or not is_above(unreadable + outside, hits, limit):
        return None
    return "values", (
        f"expected at most {percent(limit)} of the values of `{written(rule)}` to be unbelievable, found "
        f"{unreadable:,} unreadable and {outside:,} out of range among {hits:,}; look whether the unit or the "
        f"format has changed, and mend feeds.{facts.feed}.fields.{name}"
    )


def _fill(case: Judged, name: str) -> tuple[str, str] | None:
    facts, expect, rows = case.facts, case.feed.expect, case.facts.rows
    filled, hits = min(facts.filled.get(name, 0), rows), facts.hits.get(name, 0)
    _, of_filled = shares_of(name)
    usual = case.usual(of_filled)
    place = written(case.feed.fields[name])
    why = f" (`{place}` found something in {hits:,} of {case.found:,})" if facts.hits else ""
    least = expect.min_fill.get(name)
    if least is not None and is_above(rows - filled, rows, 1 - least):
        return "min_fill", (
            f"expected a value in at least {percent(least)} of rows, found one in {_of(filled, rows)}{why}; "
            f"{_mend(case, name)}"
        )
    if usual and has_fallen(filled, rows, usual, expect.fill_drop):
        return "fill_drop", (
            f"expected a value in about {percent(usual.share)} of rows, as in {case.earlier}, "
            f"found one in {_of(filled, rows)}{why}; {_mend(case, name)}"
        )
    return None


def _losses(case: Judged, name: str) -> int:
    """How many rows the rules of a field may have cost."""
    facts, rule = case.facts, case.feed.fields[name]
    bad = facts.unreadable.get(name, 0) + facts.out_of_range.get(name, 0)
    missed = case.found - facts.hits.get(name, 0) if facts.hits else 0
    return (missed if rule.required else 0) + (bad if rule.required or rule.unbelievable == "reject" else 0)


def _mend(case: Judged, name: str) -> str:
    place = written(case.feed.fields[name])
    return (
        f"open one of the answers, mend `{place}` under feeds.{case.facts.feed}.fields.{name}, and run "
        "collect --reparse"
    )


def _of(count: int, total: int) -> str:
    """A count with its total and share.

    >>> _of(12, 918)
    '12 of 918 (1.31 %)'
    """
    return f"{count:,} of {total:,} ({percent(count / total)})"
