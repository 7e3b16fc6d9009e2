"""An exploration of a table: every column looked at on its own, then time, gaps, repeats and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from perennial.data import content
from perennial.data.exploration.associations import PAIR_ROWS, associations
from perennial.data.exploration.coverage import Coverage, coverage
from perennial.data.exploration.evidently_summary import Part, Summary, harmless, summary
from perennial.data.exploration.feeds import own_rows, within
from perennial.data.exploration.missing import pattern
from perennial.data.exploration.page import Views, exploration_html
from perennial.data.exploration.reading import (
    FEWEST_SHOWN,
    ColumnStatus,
    Positions,
    Seen,
    chosen,
    display_names,
    read,
    seconds,
)
from perennial.data.exploration.repeats import repeated_rows
from perennial.data.exploration.sections import Section, section
from perennial.data.exploration.worries import Repeats, worries
from perennial.table import Contract

SAMPLE_ROWS = 100_000
EVIDENTLY_ROWS = 20_000
MOST_LABELS = 50
IDENTITY = ("feed", "key")
MOMENTS = ("available_at",)


@dataclass(frozen=True)
class Exploration:
    """What was found.

    Attributes:
        html: the page, self-contained and without scripts; about 0.2 MB.
        columns: what became of every column, in the table's order.
        findings: what a reader should worry about, the most serious first, one sentence each.
        evidently_html: Evidently's own page over a sample, with its scripts inside (about 4 MB); "" where
            Evidently could summarise nothing.
    """

    html: str
    columns: tuple[ColumnStatus, ...]
    findings: tuple[str, ...]
    evidently_html: str


@np.errstate(over="ignore", invalid="ignore")
def explore(
    frame: pd.DataFrame,
    title: str,
    facts: Mapping[str, str],
    seed: int,
    contract: Contract | None = None,
    *,
    beside: str = "",
    evidently: bool = True,
) -> Exploration:
    """The exploration of a table of any content; equal arguments give equal bytes.

    Counts of rows, missing values, repeats and times are exact. Distributions and outliers are of a random
    sample of `SAMPLE_ROWS` rows, pairs and Evidently's part of fewer; the page says of how many. No row is
    shown: of texts and ids only counts are, and of categories those that `FEWEST_SHOWN` rows share.

    Args:
        frame: the table; names may repeat, and a column that breaks something gets a status instead.
        title: what the table is, for the heading.
        facts: further facts for the heading, such as the dataset version.
        seed: of the samples.
        contract: kinds, units and meanings of the columns that it knows; others are guessed.
        beside: where `evidently_html` will be found, relative to the page; "" leaves the link out.
        evidently: whether Evidently's summary is made as well; importing it takes seconds.
    """
    positions = chosen(len(frame), SAMPLE_ROWS, seed)
    names = display_names(list(frame.columns))
    sections = []
    for place, name in enumerate(names):
        values = frame.iloc[:, place]
        seen = within(read(values, place, name, positions, contract), values, own_rows(frame, place))
        sections.append(_section(seen))
    columns = [s.seen for s in sections]
    covered, times = _coverage(frame, columns, contract)
    repeats = _repeats(frame, columns, contract)
    paired = associations(_paired(frame, columns), chosen(len(positions), PAIR_ROWS, seed))
    told = worries(len(frame), [str(n) for n in frame.columns], sections, covered, repeats, paired)
    found, names_there = Summary({}, {}, {}, ""), dict[str, str]()
    if evidently:
        found, names_there = _evidently(columns, chosen(len(positions), EVIDENTLY_ROWS, seed))
    views = Views(
        title=title,
        facts=facts,
        rows=len(frame),
        sampled=len(positions),
        seed=seed,
        worries=told,
        sections=tuple(sections),
        coverage=covered,
        pattern=pattern(frame, columns, times),
        associations=paired,
        evidently=found,
        evidently_names=names_there,
        evidently_rows=min(EVIDENTLY_ROWS, len(positions)),
        beside=beside if found.html else "",
    )
    statuses = tuple(ColumnStatus(c.name, c.status, c.sentence) for c in columns)
    return Exploration(
        exploration_html(views), statuses, tuple(w.sentence for w in told), _encodable(found.html)
    )


def _encodable(html: str) -> str:
    return html.encode("utf-8", "replace").decode("utf-8")


def _paired(frame: pd.DataFrame, columns: Sequence[Seen]) -> list[Seen]:
    """The columns whose associations say something: of a dataset, what was collected and not how."""
    if not content.is_collected(frame.columns):
        return list(columns)
    return [c for c in columns if str(frame.columns[c.place]) not in content.COLUMNS]


def _section(seen: Seen) -> Section:
    """The column's section; a column whose figures break becomes one that failed."""
    try:
        return section(seen)
    except (ArithmeticError, LookupError, TypeError, ValueError) as failure:
        sentence = f"could not be drawn ({type(failure).__name__}); only its missing values are counted"
        failed = Seen(
            seen.place, seen.name, "text", seen.rows, seen.missing, seen.sampled, "failed", sentence
        )
        return section(failed)


def _coverage(
    frame: pd.DataFrame, columns: Sequence[Seen], contract: Contract | None
) -> tuple[Coverage | None, np.ndarray[tuple[int], np.dtype[np.float64]] | None]:
    """The times of the records, and the time of every row (seconds since 1970) where there is one."""
    times = {str(frame.columns[c.place]): c for c in reversed(columns) if c.kind == "time" and c.distinct}
    roles = {c.role: c.name for c in contract.columns} if contract else {}
    first = min(times.values(), key=lambda c: c.place, default=None)
    happened = times.get("event_time") or times.get(roles.get("time", "")) or first
    if happened is None:
        return None, None
    known = times.get("available_at") or times.get(roles.get("known_at", ""))
    moments = seconds(frame.iloc[:, happened.place])
    if known is None or known is happened:
        return coverage(happened.name, moments), moments
    return coverage(happened.name, moments, known.name, seconds(frame.iloc[:, known.place])), moments


def _repeats(frame: pd.DataFrame, columns: Sequence[Seen], contract: Contract | None) -> Repeats | None:
    """Rows that repeat: by the record's key and version, by the contract's id, else by all columns."""
    places = {str(frame.columns[c.place]): c.place for c in reversed(columns)}

    def repeated(names: Sequence[str]) -> int:
        return repeated_rows([frame.iloc[:, places[name]] for name in names])

    if "key" in places:
        identity = [name for name in IDENTITY if name in places]
        version = [*identity, *(name for name in MOMENTS if name in places)]
        again = repeated(version)
        later = repeated(identity) - again if len(version) > len(identity) else None
        return Repeats(tuple(version), again, later)
    row_id = next((c.name for c in contract.columns if c.role == "id"), "") if contract else ""
    if row_id in places:
        return Repeats((row_id,), repeated([row_id]))
    return Repeats((), repeated_rows([frame.iloc[:, c.place] for c in columns])) if columns else None


def _evidently(columns: Sequence[Seen], rows: Positions) -> tuple[Summary, dict[str, str]]:
    """Evidently's summary of what has a distribution, and the column's names by those that Evidently was given.

    Categories that too few rows share are put together, so that their names do not appear.
    """
    data: dict[str, pd.Series[Any]] = {}
    parts: dict[str, Part] = {}
    names: dict[str, str] = {}
    for column in columns:
        safe = display_names([*data, harmless(column.name)])[-1]
        if column.kind == "time" and column.numbers is not None:
            data[safe] = pd.Series(_dates(column.numbers[rows]))
            parts[safe] = "time"
        elif column.numbers is not None:
            data[safe] = pd.Series(column.numbers[rows])
            parts[safe] = "number"
        elif column.codes is not None and column.labels:
            counts = column.label_counts
            labels = [
                harmless(label) if count >= FEWEST_SHOWN and place < MOST_LABELS else "(others)"
                for place, (label, count) in enumerate(zip(column.labels, counts.tolist(), strict=True))
            ]
            data[safe] = pd.Series(np.array([*labels, None], dtype=object)[column.codes[rows]])
            parts[safe] = "category"
        else:
            continue
        names[safe] = column.name
    return summary(pd.DataFrame(data), parts), names


def _dates(numbers: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> pd.DatetimeIndex:
    whole = np.where(np.isnan(numbers), 0, np.round(numbers * 1e6)).astype(np.int64).astype("datetime64[us]")
    return pd.DatetimeIndex(np.where(np.isnan(numbers), np.datetime64("NaT"), whole))
