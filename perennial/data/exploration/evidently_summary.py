"""Evidently's summary preset over a sample; the one file that knows Evidently.

Evidently sends nothing in this use: its telemetry sits in its service and command line alone. Its page is made
repeatable (random ids are replaced), and forbidden to load anything from outside.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Part = Literal["number", "category", "time"]

_RANDOM_ID = re.compile(
    r"metric_[0-9a-f]{32}|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
)
_HARMLESS = str.maketrans({"<": "‹", ">": "›", "&": "＆", "\u2028": " ", "\u2029": " "})
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; font-src data:; img-src data: blob:; base-uri 'none'; form-action 'none'\">"
)
_COLUMN_FIGURES = {
    "MissingValueCount": "missing",
    "MinValue": "min",
    "QuantileValue 0.25": "25 %",
    "QuantileValue 0.5": "50 %",
    "QuantileValue 0.75": "75 %",
    "MaxValue": "max",
    "MeanValue": "mean",
    "StdValue": "std",
    "UniqueValueCount": "distinct",
}
_TOTALS = {
    "RowCount": "rows",
    "ColumnCount": "columns",
    "DuplicatedRowCount": "duplicated rows",
    "EmptyRowsCount": "empty rows",
    "EmptyColumnsCount": "empty columns",
    "ConstantColumnsCount": "constant columns",
    "AlmostConstantColumnsCount": "almost constant columns",
    "DuplicatedColumnsCount": "duplicated columns",
    "AlmostDuplicatedColumnsCount": "almost duplicated columns",
    "DatasetMissingValueCount": "missing values",
}


@dataclass(frozen=True)
class Summary:
    """What Evidently found.

    Attributes:
        totals: figures of the whole sample by name.
        columns: figures of every column by name, by the column's name.
        broken: columns that Evidently cannot summarise, each with the error's name.
        html: Evidently's own page, "" where no column is left.
    """

    totals: Mapping[str, float]
    columns: Mapping[str, Mapping[str, float | str]]
    broken: Mapping[str, str]
    html: str


def harmless(text: str) -> str:
    """A text that cannot become markup: Evidently writes names and values into a script as they are.

    >>> harmless("</script><b>")
    '‹/script›‹b›'
    """
    return text.translate(_HARMLESS)


def summary(frame: pd.DataFrame, parts: Mapping[str, Part]) -> Summary:
    """Evidently's data summary of the columns in `parts`, whose names and texts must be `harmless`.

    A column that breaks Evidently is left out and named; the others are summarised without it.
    """
    broken: dict[str, str] = {}
    done, error = _tried(frame, parts)
    if done is None and len(frame):
        _separate(frame, parts, error, broken)
        sound = {name: part for name, part in parts.items() if name not in broken}
        done, error = _tried(frame, sound)
        if done is None:
            broken.update(dict.fromkeys(sound, error))
    if done is None:
        return Summary({}, {}, broken, "")
    snapshot, html = done
    totals, columns = _figures(snapshot.dict()["metrics"])
    return Summary(totals, columns, broken, _page(html))


def _tried(frame: pd.DataFrame, parts: Mapping[str, Part]) -> tuple[tuple[Any, str] | None, str]:
    """Evidently's snapshot of these columns and its page; None and the error's name where they break it."""
    if not parts or not len(frame):
        return None, ""
    try:
        snapshot = _snapshot(frame, parts)
        html = snapshot.get_html_str(as_iframe=False)
    except Exception as failure:  # noqa: BLE001  Evidently lets through whatever its libraries meet in the data
        return None, type(failure).__name__
    return (snapshot, html), ""


def _separate(frame: pd.DataFrame, parts: Mapping[str, Part], error: str, broken: dict[str, str]) -> None:
    """Adds to `broken` those of the columns that break Evidently, found by halving; together they do."""
    names = list(parts)
    if len(names) == 1:
        broken[names[0]] = error
        return
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        halved = {name: parts[name] for name in half}
        done, found = _tried(frame, halved)
        if done is None:
            _separate(frame, halved, found, broken)


def _snapshot(frame: pd.DataFrame, parts: Mapping[str, Part]) -> Any:
    def of(part: Part) -> list[str]:
        return [name for name, kind in parts.items() if kind == part]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataSummaryPreset

        definition = DataDefinition(
            numerical_columns=of("number"), categorical_columns=of("category"), datetime_columns=of("time")
        )
        data = Dataset.from_pandas(frame[list(parts)], definition)
        return Report([DataSummaryPreset()], include_tests=False).run(data, None)


def _figures(
    metrics: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, float], dict[str, dict[str, float | str]]]:
    """The preset's figures for the whole sample and by column, under plain names."""
    totals: dict[str, float] = {}
    columns: dict[str, dict[str, float | str]] = {}
    for metric in metrics:
        config, value = metric["config"], metric["value"]
        kind = str(config["type"]).rsplit(":", 1)[-1]
        if "quantile" in config:
            kind = f"{kind} {config['quantile']:g}"
        if isinstance(value, Mapping):
            value = value["count"] if "count" in value else len(value["counts"])
        if "column" in config and kind in _COLUMN_FIGURES:
            columns.setdefault(config["column"], {})[_COLUMN_FIGURES[kind]] = _figure(value)
        elif kind in _TOTALS and config.get("column_type") is None:
            totals[_TOTALS[kind]] = float(value)
    return totals, columns


def _figure(value: Any) -> float | str:
    """A number as it is; a time as text."""
    return float(value) if isinstance(value, (int, float)) or not hasattr(value, "isoformat") else str(value)


def _page(html: str) -> str:
    """Evidently's page without anything random in it, and with a policy against outside content."""
    ids: dict[str, str] = {}

    def steady(match: re.Match[str]) -> str:
        found = match.group()
        prefix = "metric_" if found.startswith("metric_") else "00000000-0000-4000-8000-"
        width = 32 if prefix == "metric_" else 12
        return ids.setdefault(found, f"{prefix}{len(ids):0{width}x}")

    head, mark, rest = html.partition("<head>")
    return _RANDOM_ID.sub(steady, f"{head}{mark}{_POLICY}{rest}").lstrip()
