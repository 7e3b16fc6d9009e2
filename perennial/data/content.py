"""The content of a dataset version: rows in canonical types and order, and the digest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from perennial.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("feed", "key", "event_time", "available_at", "collected_at", "source", "raw")
ORDER = ("feed", "key", "available_at", "collected_at", "event_time", "source", "raw")
RECORD = ["feed", "key"]
TIMES: Any = pd.DatetimeTZDtype("us", "UTC")  # type: ignore[arg-type]  # the stubs know nanoseconds alone
KINDS = {
    "string": "text",
    "double": "a number",
    "int64": "an integer",
    "bool": "a boolean",
    "timestamp[us, tz=UTC]": "a time",
}


def is_collected(columns: Iterable[Any]) -> bool:
    """Whether columns of these names hold collected records: `COLUMNS` and the fields of feeds."""
    return set(COLUMNS) <= {str(name) for name in columns}


def canonical(records: pd.DataFrame) -> pa.Table:
    """The records as an Arrow table of int64, double, bool, string and timestamp[us, UTC] columns.

    Collected records get the order of `ordered`, and their integers stay integers where some are missing;
    elsewhere such a column becomes double.
    """
    import pyarrow as pa

    exact = is_collected(records.columns)
    table = pa.table({str(name): _column(str(name), records[name], exact) for name in records.columns})
    return ordered(table) if exact else table


def ordered(table: pa.Table) -> pa.Table:
    """Collected records sorted by `ORDER`, then by their fields; the columns are `COLUMNS`, then fields by name.

    The order depends on nothing but the content, so that files may hold the rows as they came.
    """
    import numpy as np
    import pyarrow.compute as pc

    fields = sorted(set(table.column_names) - set(COLUMNS))
    table = table.select([*COLUMNS, *fields])
    positions = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in (*ORDER, *fields)])
    found = positions.to_numpy()
    return table if bool((found == np.arange(len(found))).all()) else table.take(positions)


def in_order(records: pd.DataFrame) -> pd.DataFrame:
    """Collected records sorted by `ORDER` with a new index; equal ones keep their order."""
    result: pd.DataFrame = records.sort_values(list(ORDER), kind="stable", ignore_index=True)
    return result


def frame(table: pa.Table) -> pd.DataFrame:
    """The rows in pandas; integers and booleans of collected records stay exact where some are missing."""
    import pyarrow as pa

    rows: pd.DataFrame = table.to_pandas()
    nullable: Mapping[Any, Any] = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    if not is_collected(table.column_names):
        return rows
    exact = {
        field.name: column.to_pandas(types_mapper=nullable.get)
        for field, column in zip(table.schema, table.columns, strict=True)
        if column.null_count and field.type in nullable
    }
    result: pd.DataFrame = rows.assign(**exact)
    return result


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of several tables; a column that one does not have is missing there.

    Raises:
        DatasetError: where a column has another type in a later table.
    """
    import pyarrow as pa

    found = list(tables)
    types: dict[str, Any] = {}
    for table in found:
        for field in table.schema:
            known = types.setdefault(field.name, field.type)
            if known != field.type:
                raise DatasetError(
                    f"column {field.name}",
                    f"expected {KINDS[str(known)]} as in the records before, found {KINDS[str(field.type)]}",
                    "give the field its old `parse`, or another name",
                )
    return pa.concat_tables(found, promote_options="default")


def fingerprint(table: pa.Table) -> str:
    """SHA-256, in hex, of a canonical table: its column names, types and values in their order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    digest = hashlib.sha256()
    for field, chunked in zip(table.schema, table.columns, strict=True):
        column = pa.concat_arrays(chunked.chunks) if chunked.num_chunks else pa.array([], type=field.type)
        digest.update(f"{field.name}\0{field.type}\0{len(column)}\0".encode())
        digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
        if pa.types.is_string(field.type):
            texts = column.fill_null("").cast(pa.large_string())
            digest.update(pc.binary_length(texts).to_numpy().tobytes())
            digest.update(_text_bytes(texts))
        else:
            numbers = column.cast(pa.int64()) if pa.types.is_timestamp(field.type) else column
            zero = False if pa.types.is_boolean(field.type) else 0
            digest.update(numbers.fill_null(zero).to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def _text_bytes(texts: pa.LargeStringArray) -> bytes:
    """All texts of an Arrow array without nulls, one after the other, in UTF-8."""
    import numpy as np

    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return b""
    bounds = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content: bytes = data.slice(int(bounds[0]), int(bounds[-1] - bounds[0])).to_pybytes()
    return content


def _column(name: str, values: pd.Series[Any], exact: bool) -> pa.Array:
    """One column in the widest type of its family; a mixture of types, or anything nested, as text.

    Integers with missing values become floats, unless they are to stay `exact`.
    """
    import pyarrow as pa

    try:
        column = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        column = pa.array([None if _is_missing(v) else str(v) for v in values], type=pa.string())
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_integer(kind):
        return column.cast(pa.float64() if column.null_count and not exact else pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise DatasetError(
                name, "expected times with a zone, found times without one", "give them in UTC (tz='UTC')"
            )
        return column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    return pa.array([None if _is_missing(v) else str(v) for v in values], type=pa.string())


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)
