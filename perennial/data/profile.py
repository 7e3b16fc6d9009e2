"""A profile of a table as one small page: what is in its columns, without a single row of it."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pandas as pd

from perennial.data.coerce import coerced
from perennial.data.exploration.histogram import BINS, Floats, bars, histogram
from perennial.data.exploration.kinds import infinite
from perennial.data.exploration.reading import FEWEST_SHOWN, chosen
from perennial.live.report.page import page
from perennial.live.report.text import count_text, number_text, share_text
from perennial.table import Column, Contract

SAMPLE_ROWS = 100_000
TOP = 3
LOUD = ' class="loud"'

STYLE = """<style>
figure dl{display:grid;grid-template-columns:minmax(5.5rem,auto) 1fr;gap:.05rem 1rem;margin:.3rem 0 .5rem}
figure dt{overflow-wrap:anywhere}
figure dd{font-size:.9rem;overflow-wrap:anywhere}
dd.loud{color:var(--warn);font-weight:600}
</style>"""


def profile_html(frame: pd.DataFrame, contract: Contract) -> str:
    """The profile of `frame` as a self-contained HTML page, light or dark as the reader prefers.

    Per column: kind, missing share, distinct values, and least, median and greatest number or the commonest
    categories, with a histogram. Of tables above `SAMPLE_ROWS` rows a sample of that size is described (the
    page says so). No row is shown; of texts and ids only counts are, and of categories only those which at
    least `FEWEST_SHOWN` rows share.
    """
    sample = frame if len(frame) <= SAMPLE_ROWS else frame.iloc[chosen(len(frame), SAMPLE_ROWS, seed=0)]
    sampled = f"; figures from a random sample of {len(sample):,} rows" if len(sample) < len(frame) else ""
    sections = "".join(
        _section(sample.iloc[:, place], _column(str(name), sample.iloc[:, place], contract))
        for place, name in enumerate(frame.columns)
    )
    title = f"Table of {contract.system}"
    size = f"{count_text(len(frame), 'row')}, {count_text(frame.shape[1], 'column')}{sampled}"
    return page(
        title,
        f'{STYLE}<h1>{escape(title)}</h1><p class="muted">{size}</p><div class="figures">{sections}</div>',
    )


def _column(name: str, values: pd.Series[Any], contract: Contract) -> Column:
    """The contract's column, or one that is guessed from the values."""
    if name in contract.names:
        return contract[name]
    unknown = "not in the contract"
    if pd.api.types.is_bool_dtype(values):
        return Column(name, "boolean", unknown)
    if pd.api.types.is_numeric_dtype(values):
        return Column(name, "number", unknown)
    is_time = pd.api.types.is_datetime64_any_dtype(values)
    return Column(name, "time" if is_time else "text", unknown)


def _section(values: pd.Series[Any], column: Column) -> str:
    """One column's part of the page."""
    clean, unreadable = coerced(values, column)
    endless = infinite(values)
    n_rows, missing = len(values), int(values.isna().sum())
    facts = [("missing", share_text(missing, n_rows), missing > 0)]
    odd = int(unreadable.sum()) - int(endless.sum())
    if endless.any():
        facts.append(("infinite", share_text(int(endless.sum()), n_rows), True))
    if odd:
        facts.append((f"not a {column.kind}", share_text(odd, n_rows), True))
    known = clean.dropna()
    facts.append(("distinct", f"{known.nunique():,}", known.nunique() < 2))
    drawing = ""
    if len(known) and column.is_numeric:
        numbers = known.to_numpy(dtype=np.float64)
        unit = f" {column.unit}" if column.unit not in ("", "1") else ""
        plain = column.kind == "integer" and not unit
        low, middle, high = (
            f"{n:g}" if plain else number_text(n) for n in np.quantile(numbers, [0, 0.5, 1]).tolist()
        )
        facts += [
            ("least", low + unit, False),
            ("median", middle + unit, False),
            ("greatest", high + unit, False),
        ]
        drawing = _drawn(numbers)
    elif len(known) and column.kind == "time":
        facts += [("first", _moment(known.min()), False), ("last", _moment(known.max()), False)]
        drawing = _drawn(known.astype("int64").to_numpy().astype(np.float64))
    elif column.kind in ("category", "boolean"):
        counts = known.value_counts()
        common = counts[counts >= FEWEST_SHOWN].head(TOP)
        facts += [(str(name), share_text(int(count), n_rows), False) for name, count in common.items()]
        drawing = bars(counts.head(BINS).to_numpy()) if len(counts) > 1 else ""
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd{LOUD if loud else ''}>{escape(text)}</dd>" for name, text, loud in facts
    )
    role = "" if column.role == "feature" else f", {column.role}"
    return (
        f"<figure><figcaption><b>{escape(column.name)}</b> <span>{column.kind}{role}: "
        f"{escape(column.description)}</span></figcaption><dl>{listed}</dl>{drawing}</figure>"
    )


def _moment(time: pd.Timestamp) -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _drawn(numbers: Floats) -> str:
    found = histogram(numbers)
    return bars(found.counts) if found else ""
