"""A profile of a table as one small page: what is in its columns, without a single row of it."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.data.coerce import coerced
from perennial.live.report.page import page
from perennial.live.report.text import number_text
from perennial.table import Column, Contract

SAMPLE_ROWS = 100_000
BINS = 24
TOP = 3
FEWEST_SHOWN = 5
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
    sample = frame
    if len(frame) > SAMPLE_ROWS:
        chosen = np.random.default_rng(0).choice(len(frame), SAMPLE_ROWS, replace=False)
        sample = frame.iloc[np.sort(chosen)]
    sampled = f"; figures from a random sample of {len(sample):,} rows" if len(sample) < len(frame) else ""
    sections = "".join(
        _section(sample.iloc[:, place], _column(str(name), sample.iloc[:, place], contract))
        for place, name in enumerate(frame.columns)
    )
    title = f"Table of {contract.system}"
    size = f"{_counted(len(frame), 'row')}, {_counted(frame.shape[1], 'column')}{sampled}"
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
    infinite = _infinite(values)
    n_rows, missing = len(values), int(values.isna().sum())
    facts = [("missing", _share(missing, n_rows), missing > 0)]
    odd = int(unreadable.sum()) - int(infinite.sum())
    if infinite.any():
        facts.append(("infinite", _share(int(infinite.sum()), n_rows), True))
    if odd:
        facts.append((f"not a {column.kind}", _share(odd, n_rows), True))
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
        drawing = _histogram(numbers)
    elif len(known) and column.kind == "time":
        facts += [("first", _moment(known.min()), False), ("last", _moment(known.max()), False)]
        drawing = _histogram(known.astype("int64").to_numpy())
    elif column.kind in ("category", "boolean"):
        counts = known.value_counts()
        common = counts[counts >= FEWEST_SHOWN].head(TOP)
        facts += [(str(name), _share(int(count), n_rows), False) for name, count in common.items()]
        drawing = _bars(counts.head(BINS).to_numpy()) if len(counts) > 1 else ""
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd{LOUD if loud else ''}>{escape(text)}</dd>" for name, text, loud in facts
    )
    role = "" if column.role == "feature" else f", {column.role}"
    return (
        f"<figure><figcaption><b>{escape(column.name)}</b> <span>{column.kind}{role}: "
        f"{escape(column.description)}</span></figcaption><dl>{listed}</dl>{drawing}</figure>"
    )


def _infinite(values: pd.Series[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype == object:
        return np.array([isinstance(v, (float, np.floating)) and np.isinf(v) for v in values], dtype=bool)
    if not pd.api.types.is_numeric_dtype(values):
        return np.zeros(len(values), dtype=bool)
    return np.asarray(np.isinf(values.to_numpy(dtype=np.float64, na_value=np.nan)), dtype=bool)


def _share(count: int, total: int) -> str:
    """A count with its share; never "0.0 %" of something that is there."""
    if not count or not total:
        return "none" if not count else f"{count:,}"
    share = 100 * count / total
    return f"{count:,} ({'under 0.1' if share < 0.05 else f'{share:.1f}'} %)"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)}"


def _moment(time: pd.Timestamp) -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _histogram(numbers: npt.NDArray[Any]) -> str:
    """Bars over equal bins; what lies beyond the outer percentiles is counted in the outer bins."""
    low, high = np.quantile(numbers, [0.005, 0.995])
    if not low < high:
        low, high = numbers.min(), numbers.max()
    if not low < high or not np.isfinite(high - low):
        return ""
    return _bars(
        np.histogram(np.clip(numbers, low, high), bins=BINS, range=(low, high))[0].astype(np.float64)
    )


def _bars(counts: npt.NDArray[Any]) -> str:
    """An inline drawing of bars, the tallest as high as the drawing."""
    heights = 40 * counts / counts.max()
    width = 240 / len(counts)
    bars = "".join(
        f'<rect class="main" x="{i * width:.1f}" y="{40 - h:.1f}" width="{width - 1:.1f}" height="{h:.1f}"/>'
        for i, h in enumerate(np.maximum(heights, 0.5 * (counts > 0)).tolist())
        if h > 0
    )
    return f'<svg viewBox="0 0 240 40" role="img" aria-label="distribution">{bars}</svg>'
