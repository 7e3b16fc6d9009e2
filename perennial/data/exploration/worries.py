"""What a reader should worry about, in words, the most serious first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from perennial.config_web import RESERVED
from perennial.data.exploration.associations import Associations, Pair
from perennial.data.exploration.coverage import Coverage, span_text
from perennial.data.exploration.outliers import FAR_OUT
from perennial.data.exploration.reading import Seen, Status
from perennial.data.exploration.sections import Section
from perennial.live.report.text import count_text, fixed_text, percent_text, share_text
from perennial.live.report.time_axis import moment

MOST_NAMED = 8
MUCH_MISSING = 0.2

Weight = Literal["serious", "look", "note"]


@dataclass(frozen=True)
class Worry:
    """Something to worry about, with how much and a sentence."""

    weight: Weight
    about: str
    sentence: str


@dataclass(frozen=True)
class Repeats:
    """Rows that repeat one before them: `columns` are compared, all where empty; `revised` counts later versions.

    `revised` is None where versions of a record are not told apart.
    """

    columns: tuple[str, ...]
    rows: int
    revised: int | None = None


def worries(
    rows: int,
    names: Sequence[str],
    sections: Sequence[Section],
    covered: Coverage | None,
    repeats: Repeats | None,
    paired: Associations | None,
) -> tuple[Worry, ...]:
    """All findings of an exploration, serious ones first; `names` are the columns' own, repeats included."""
    columns = [s.seen for s in sections]
    found = [
        *_size(rows, columns),
        *_names(names),
        *_statuses(columns),
        *_repeats(rows, repeats),
        *_times(covered),
        *_values(columns),
        *_outliers(sections),
        *_pairs(paired),
    ]
    order: tuple[Weight, ...] = ("serious", "look", "note")
    return tuple(sorted(found, key=lambda w: order.index(w.weight)))


def _size(rows: int, columns: Sequence[Seen]) -> Iterable[Worry]:
    if not rows:
        yield Worry("serious", "size", "The table has no row.")
    if not columns:
        yield Worry("serious", "size", "The table has no column.")


def _names(names: Sequence[str]) -> Iterable[Worry]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        yield Worry(
            "serious",
            "names",
            f"{_are(twice, 'column name stands', 'column names stand')} more than once: {_listed(twice)}.",
        )


def _statuses(columns: Sequence[Seen]) -> Iterable[Worry]:
    told: tuple[tuple[Status, Weight, str, str, str], ...] = (
        ("all missing", "serious", "missing", "column has no value at all", "columns have no value at all"),
        ("failed", "serious", "values", "column could not be described", "columns could not be described"),
        ("mixed types", "serious", "values", "column mixes types", "columns mix types"),
        ("constant", "look", "values", "column has one value only", "columns have one value only"),
        (
            "too many categories",
            "note",
            "values",
            "text column has too many different values to be drawn",
            "text columns have too many different values to be drawn",
        ),
    )
    for status, weight, about, one, many in told:
        known = RESERVED if status == "constant" else ()
        found = [c.name for c in columns if c.status == status and c.rows and c.name not in known]
        if found:
            yield Worry(weight, about, f"{_are(found, one, many)}: {_listed(found)}.")


def _repeats(rows: int, repeats: Repeats | None) -> Iterable[Worry]:
    if repeats is None:
        return
    if repeats.rows and repeats.columns:
        same = "share" if repeats.rows != 1 else "shares"
        text = f"{share_text(repeats.rows, rows)} of the rows {same} {_listed(repeats.columns)} with a row before."
        yield Worry("serious", "repeats", text)
    elif repeats.rows:
        text = f"{share_text(repeats.rows, rows)} of the rows equal a row before in every column."
        yield Worry("look", "repeats", text)
    if repeats.revised:
        text = f"{share_text(repeats.revised, rows)} of the rows are later versions of a record."
        yield Worry("note", "repeats", text)


def _times(covered: Coverage | None) -> Iterable[Worry]:
    if covered is None:
        return
    total = covered.records + covered.without
    if covered.without:
        yield Worry(
            "serious",
            "time",
            f"{share_text(covered.without, total)} of the records have no {covered.column}.",
        )
    if covered.gaps and covered.gaps.found:
        found, longest = covered.gaps.found, covered.gaps.found[0]
        lacking = (
            f", {covered.gaps.missing_steps:,} times missing in all" if covered.gaps.missing_steps else ""
        )
        yield Worry(
            "look",
            "time",
            f"{count_text(len(found), 'gap')} in {covered.column}{lacking}; the longest, "
            f"{span_text(longest.stop - longest.start)}, starts at {moment(longest.start):%Y-%m-%d %H:%M} UTC.",
        )
    if covered.delay and covered.delay.negative:
        yield Worry(
            "look",
            "time",
            f"{share_text(covered.delay.negative, covered.delay.records)} of the records could be known before "
            f"they happened: {covered.known_column} before {covered.column}.",
        )


def _values(columns: Sequence[Seen]) -> Iterable[Worry]:
    infinite = [c.name for c in columns if c.infinite]
    if infinite:
        text = f"{_are(infinite, 'column holds', 'columns hold')} infinite numbers: {_listed(infinite)}."
        yield Worry("serious", "values", text)
    much = sorted(
        (c for c in columns if MUCH_MISSING <= c.missing / max(1, c.rows) < 1), key=lambda c: -c.missing
    )
    if much:
        shares = [f"{c.name} ({percent_text(c.missing / c.rows)})" for c in much]
        text = f"{_are(much, 'column lacks', 'columns lack')} at least {percent_text(MUCH_MISSING)} of its values"
        yield Worry(
            "look",
            "missing",
            f"{text if len(much) == 1 else text.replace('its', 'their')}: {_listed(shares)}.",
        )


def _outliers(sections: Sequence[Section]) -> Iterable[Worry]:
    heavy = sorted(
        (
            (s.outliers.far_out / s.outliers.values, s.seen.name, s.outliers)
            for s in sections
            if s.outliers is not None and s.outliers.heavy
        ),
        key=lambda found: (-found[0], found[1]),
    )
    if heavy:
        shares = [f"{name} {share_text(far.far_out, far.values)}" for _, name, far in heavy]
        yield Worry(
            "look",
            "outliers",
            f"{_are(heavy, 'column has', 'columns have')} heavy outliers, beyond {FAR_OUT:g} interquartile ranges "
            f"from the quartiles: {_listed(shares)}.",
        )


def _pairs(paired: Associations | None) -> Iterable[Worry]:
    if paired is None or not paired.strong:
        return
    said = [f"{p.first} and {p.second} ({_measured(p)})" for p in paired.strong]
    text = f"{_are(said, 'pair of columns goes', 'pairs of columns go')} almost wholly together: {_listed(said)}."
    yield Worry("look", "associations", text)


def _measured(pair: Pair) -> str:
    return f"{pair.measure} {fixed_text(pair.value, 2)}"


def _are(found: Sequence[object], one: str, many: str) -> str:
    return f"{len(found):,} {one if len(found) == 1 else many}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
