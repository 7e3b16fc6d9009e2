"""What the page says about one column: facts, a drawing and its outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from perennial.data.exploration.coverage import buckets
from perennial.data.exploration.drawings import category_bars, number_bars, time_bars
from perennial.data.exploration.histogram import histogram
from perennial.data.exploration.outliers import Outliers, outliers
from perennial.data.exploration.reading import FEWEST_SHOWN, Seen
from perennial.live.report.text import ABSENT, count_text, fixed_text, number_text, share_text, with_unit
from perennial.live.report.time_axis import moment

MOST_BARS = 10


@dataclass(frozen=True)
class Section:
    """One column's part of the page; a fact is a name, a text and whether it is loud; `svg` is safe markup."""

    seen: Seen
    facts: tuple[tuple[str, str, bool], ...]
    svg: str = ""
    note: str = ""
    outliers: Outliers | None = None


def section(seen: Seen) -> Section:
    """The facts and the drawing that suit the column's kind."""
    shared = [("missing", share_text(seen.missing, seen.rows), seen.missing > 0)]
    if seen.infinite:
        shared.append(("infinite", share_text(seen.infinite, seen.sampled), True))
    if seen.unreadable:
        shared.append(("not readable", share_text(seen.unreadable, seen.sampled), True))
    if seen.distinct:
        shared.append(("distinct", f"{seen.distinct:,}", seen.distinct == 1))
    if seen.kind == "time" and len(seen.finite):
        return _times(seen, shared)
    if seen.numbers is not None and len(seen.finite):
        return _numbers(seen, shared)
    if seen.codes is not None and len(seen.labels):
        return _categories(seen, shared)
    if len(seen.lengths):
        least, median, most = np.quantile(seen.lengths, [0, 0.5, 1]).tolist()
        shared.append(("letters", f"{least:,.0f} to {most:,.0f}, median {median:,.0f}", False))
    return Section(seen, tuple(shared))


def plain_text(seen: Seen, value: float) -> str:
    """A number of the column as text: whole numbers in full, others with four digits.

    >>> plain_text(Seen(0, "year", "integer", 1, 0, 1), 2019.0)
    '2019'
    """
    if not math.isfinite(value):
        return ABSENT
    if seen.kind != "integer" or abs(value) >= 1e12:
        return number_text(value)
    return (
        fixed_text(value, int(value != int(value)))
        if abs(value) >= 10_000
        else f"{value:.6g}".replace("-", "−")
    )


def _numbers(seen: Seen, shared: list[tuple[str, str, bool]]) -> Section:
    numbers = seen.finite
    unit = f" {seen.unit}" if seen.unit not in ("", "1") else ""
    low, middle, high = np.quantile(numbers, [0, 0.5, 1]).tolist()
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan
    facts = [*shared, ("least", plain_text(seen, low) + unit, False)]
    facts.append(("median", plain_text(seen, middle) + unit, False))
    facts.append(("mean", number_text(mean) + (unit if math.isfinite(mean) else ""), False))
    facts.append(("greatest", plain_text(seen, high) + unit, False))
    if math.isfinite(spread):
        facts.append(("standard deviation", number_text(spread) + unit, False))
    far = outliers(numbers)
    if far is not None and far.out:
        facts.append(("beyond Tukey's fences", share_text(far.out, far.values), far.heavy))
    found, svg, note = histogram(numbers), "", ""
    if found is not None and seen.distinct > 1:
        svg = number_bars(
            f"c{seen.place}", f"Distribution of {seen.name}", found, with_unit(seen.name, seen.unit)
        )
        note = (
            f"{count_text(found.beyond, 'value')} beyond the ends in the outer bars" if found.beyond else ""
        )
    return Section(seen, tuple(facts), svg, note, far)


def _times(seen: Seen, shared: list[tuple[str, str, bool]]) -> Section:
    times = seen.finite
    first, last = float(times.min()), float(times.max())
    facts = [*shared, ("first", f"{moment(first):%Y-%m-%d %H:%M}", False)]
    facts.append(("last", f"{moment(last):%Y-%m-%d %H:%M}", False))
    drawn = buckets(times, 60)
    svg = time_bars(f"c{seen.place}", f"Times of {seen.name}", drawn) if seen.distinct > 1 else ""
    return Section(seen, tuple(facts), svg)


def _categories(seen: Seen, shared: list[tuple[str, str, bool]]) -> Section:
    """The commonest categories that enough rows share; the others in one bar, without their names."""
    counts = seen.label_counts
    shown = [
        (label, int(count))
        for label, count in zip(seen.labels[:MOST_BARS], counts[:MOST_BARS].tolist(), strict=True)
        if count >= FEWEST_SHOWN
    ]
    rest = len(seen.labels) - len(shown)
    rare = int((counts < FEWEST_SHOWN).sum())
    rows = (
        [*shown, (f"{rest:,} other{'s' * (rest != 1)}", int(counts[len(shown) :].sum()))] if rest else shown
    )
    note = ""
    if rare:
        note = f"{count_text(rare, 'value')} that fewer than {FEWEST_SHOWN} rows share: not named"
    svg = category_bars(f"c{seen.place}", f"Values of {seen.name}", rows, int(counts.sum())) if shown else ""
    return Section(seen, tuple(shared), svg, note)
