"""Records from a file that somebody else wrote: CSV, Parquet or JSON lines, optionally compressed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Collection, Hashable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from perennial.config import FileSource
from perennial.errors import SourceError, suggestion

FORMATS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}


def read_file(source: FileSource, text: Collection[str] = ()) -> pd.DataFrame:
    """The rows of a source's file, its columns renamed by `source.columns`.

    Args:
        source: which file, and how its columns are renamed; columns it does not name keep their names.
        text: columns (under either name) whose values are text even where they look like numbers, such as
            a car model called 500.

    Raises:
        SourceError: where the file is missing, empty or unreadable, or two columns would get one name.
    """
    theirs = [old for old, new in source.columns.items() if new in text]
    frame = read_rows(source.path, text=[*text, *theirs])
    names = [source.columns.get(name, name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            source.path,
            f"two columns would be called {', '.join(twice)}",
            "drop one of them from the file or from source.columns",
        )
    return frame.set_axis(names, axis="columns")


def read_rows(path: str | Path, text: Collection[str] = ()) -> pd.DataFrame:
    """The rows of a CSV, Parquet or JSON-lines file (.gz or not) in their order, under its own column names.

    Leading and trailing blanks of column names and text values are dropped; what is then empty is missing.
    `text` names columns whose values stay text even where they look like numbers.

    Raises:
        SourceError: where the file is missing, empty or unreadable.
    """
    file = Path(path)
    kind = _format(file)
    try:
        data = _content(file)
        frame = _stripped({"csv": _csv, "parquet": _parquet, "jsonl": _json_lines}[kind](data, text))
    except (OSError, EOFError, zlib.error, csv.Error, RecursionError, OverflowError, ValueError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        remedy = "save it in UTF-8" if isinstance(error, UnicodeError) else "mend or replace the file"
        raise SourceError(path, f"expected readable {kind} in UTF-8, found: {problem}", remedy) from error
    if not len(frame.columns) or frame.empty:
        raise SourceError(path, "expected rows, found none", "collect it again or name another file")
    return frame


def collected_on(source: FileSource) -> date:
    """The day on which the records were collected: `source.as_of`, or that of the file's last change (UTC).

    Raises:
        SourceError: where neither is known because the file is missing.
    """
    if source.as_of is not None:
        return source.as_of
    _format(Path(source.path))
    return datetime.fromtimestamp(Path(source.path).stat().st_mtime, UTC).date()


def _format(file: Path) -> str:
    """The format that the suffix promises, once it is sure that there is such a file."""
    suffix = Path(file.stem).suffix if file.suffix.lower() == ".gz" else file.suffix
    if not file.is_file():
        found = "found a folder" if file.is_dir() else "found none"
        siblings = (
            sorted(p.name for p in file.parent.iterdir() if p.is_file()) if file.parent.is_dir() else []
        )
        near = suggestion(file.name, siblings) if siblings and len(siblings) <= 200 else ""
        near = near if "did you mean" in near else ""
        raise SourceError(file, f"expected a file, {found}{near}", "name one that exists")
    if suffix.lower() not in FORMATS:
        raise SourceError(
            file,
            f"expected a name ending in {', '.join(sorted(FORMATS))} (or one of these and .gz), "
            f"found {file.suffix or 'no suffix'}",
            "rename or convert the file",
        )
    return FORMATS[suffix.lower()]


def _content(file: Path) -> bytes:
    data = gzip.decompress(file.read_bytes()) if file.suffix.lower() == ".gz" else file.read_bytes()
    if not data.strip():
        raise ValueError("an empty file")
    return data


def _csv(data: bytes, text: Collection[str]) -> pd.DataFrame:
    if b"\0" in data:
        raise ValueError("zero bytes, as in UTF-16 text or in a damaged file")
    header = _header(data)
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise ValueError("a header line with semicolons or tabs instead of commas")
    _refuse_repeats([name.strip() for name in header if name.strip()])
    named: dict[Hashable, type[str]] = {name: str for name in header if name.strip() in text}
    frame = pd.read_csv(
        io.BytesIO(data), encoding="utf-8-sig", low_memory=False, dtype=named, float_precision="round_trip"
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("rows with more fields than the header line names")
    return frame


def _header(data: bytes) -> list[str]:
    """The names in the first line that is not blank; a quoted name may hold a line break."""
    with io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="") as lines:
        return next((row for row in csv.reader(lines) if any(cell.strip() for cell in row)), [])


def _refuse_repeats(names: list[str]) -> None:
    """Raises ValueError where a column name stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the column {', '.join(twice)} more than once")


def _parquet(data: bytes, text: Collection[str]) -> pd.DataFrame:
    frame = pd.read_parquet(io.BytesIO(data))
    return frame.reset_index(drop=isinstance(frame.index, pd.RangeIndex) or frame.index.name is None)


def _json_lines(data: bytes, text: Collection[str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is no JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        if "\\ud" in line.lower() and not _is_text(row):
            raise ValueError(f"line {number} holds half of a surrogate pair, which is no character")
        rows.append(row)
    return pd.DataFrame(rows)


def _is_text(row: dict[str, Any]) -> bool:
    """Whether everything in a JSON object can be written in UTF-8."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _stripped(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without blanks around column names and text cells; cells of other types stay as they are."""
    names = [str(name).strip() for name in frame.columns]
    _refuse_repeats(names)
    columns = [_stripped_cells(frame.iloc[:, place]) for place in range(len(names))]
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def _stripped_cells(values: pd.Series[Any]) -> pd.Series[Any]:
    if not isinstance(values.dtype, (pd.StringDtype, pd.CategoricalDtype)) and values.dtype != object:
        return values
    cells = [v.strip() or None if isinstance(v, str) else v for v in values.astype(object)]
    return pd.Series([None if v is pd.NA or v != v else v for v in cells], index=values.index, dtype=object)
