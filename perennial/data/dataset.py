"""Datasets: all records of a system in a Delta table, every version readable for ever.

Delta's log makes a commit all or nothing: a process killed in the middle leaves the version before it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from perennial.errors import DatasetError
from perennial.evidence import DatasetReference

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

FINGERPRINT_KEY = "perennial.fingerprint"
ROWS_KEY = "perennial.rows"
KEEP_FOR_EVER = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
ONE_FILE = 1 << 40


def commit(records: pd.DataFrame, folder: str | Path) -> DatasetReference:
    """The dataset version that holds `records`: the latest one if its content is the same, else a new one.

    Row order is kept, the index is not. Integers and floats become 64 bits wide, times microseconds in UTC,
    and a column of mixed types becomes text.

    Raises:
        DatasetError: where a time has no zone, or another process committed different records meanwhile.
    """
    from deltalake import CommitProperties, WriterProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    table = canonical(records)
    digest = fingerprint(table)
    before = latest(folder)
    if before is not None and before.fingerprint == digest:
        return before
    facts = {FINGERPRINT_KEY: digest, ROWS_KEY: str(table.num_rows)}
    try:
        write_deltalake(
            str(folder),
            table,
            mode="overwrite",
            schema_mode="overwrite",
            configuration=KEEP_FOR_EVER if before is None else None,
            target_file_size=ONE_FILE,
            writer_properties=WriterProperties(compression="ZSTD"),
            commit_properties=CommitProperties(custom_metadata=facts, max_commit_retries=0),
        )
    except CommitFailedError as error:
        return _committed(folder, digest, before, error)
    return _committed(folder, digest, before)


def read(reference: DatasetReference) -> pd.DataFrame:
    """The records of a dataset version, in the order in which they were committed.

    Raises:
        DatasetError: where the version is missing, or its content is not what the reference's digest says.
    """
    table = _content(_open(reference.uri, reference.version))
    found = fingerprint(table)
    if found != reference.fingerprint:
        raise DatasetError(
            reference.uri,
            f"expected version {reference.version} with the digest {reference.fingerprint[:12]}, "
            f"found {found[:12]}",
            "its files were changed: restore them from a backup, or collect again",
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def latest(folder: str | Path) -> DatasetReference | None:
    """The newest version of the dataset in `folder`; None where there is no dataset yet."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(folder)):
        return None
    return _reference(str(folder))


def canonical(records: pd.DataFrame) -> pa.Table:
    """The records as an Arrow table of int64, double, bool, string and timestamp[us, UTC] columns."""
    import pyarrow as pa

    return pa.table({str(name): _canonical_column(str(name), records[name]) for name in records.columns})


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


def _committed(
    folder: str | Path, digest: str, before: DatasetReference | None, error: Exception | None = None
) -> DatasetReference:
    """The newest version after `before` that has this digest.

    Another process may have committed after this one, or (`error`) instead of it.
    """
    newest = _open(str(folder)).version()
    for version in range(newest, -1 if before is None else before.version, -1):
        reference = _reference(str(folder), version)
        if reference.fingerprint == digest:
            return reference
    raise DatasetError(
        folder,
        "expected to be the only process that commits, found another one that came first",
        "collect again",
    ) from error


def _reference(uri: str, version: int | None = None) -> DatasetReference:
    """The reference to a version (the newest one without `version`), from its own entry in the log.

    `DeltaTable.history` would not do: beside another writer it lists commits that are newer than the opened
    version, under wrong version numbers (deltalake 1.6). An entry that this project did not write holds no
    digest; then the content is read.
    """
    import pyarrow.fs
    from deltalake.fs import DeltaStorageHandler

    delta = _open(uri, version)
    facts: dict[str, Any] = {}
    store = pyarrow.fs.PyFileSystem(DeltaStorageHandler(uri))
    entry = f"_delta_log/{delta.version():020d}.json"
    if store.get_file_info(entry).type == pyarrow.fs.FileType.File:
        with store.open_input_file(entry) as file:
            actions = [json.loads(line) for line in file.read().splitlines() if line.strip()]
        facts = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    digest, rows = facts.get(FINGERPRINT_KEY), facts.get(ROWS_KEY)
    if digest is None or rows is None:
        table = _content(delta)
        digest, rows = fingerprint(table), table.num_rows
    return DatasetReference(uri=uri, version=delta.version(), rows=int(rows), fingerprint=digest)


def _canonical_column(name: str, values: pd.Series[Any]) -> pa.Array:
    """One column in the widest type of its family; a mixture of types, or anything nested, as text."""
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
        return column.cast(pa.float64() if column.null_count else pa.int64())
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


def _open(uri: str, version: int | None = None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(uri, version=version)
    except (TableNotFoundError, DeltaError) as error:
        wanted = "a dataset" if version is None else f"a dataset with version {version}"
        raise DatasetError(uri, f"expected {wanted}, found none ({error})", "collect first") from error


def _content(delta: DeltaTable) -> pa.Table:
    """All rows of an opened version, in canonical types."""
    import pyarrow as pa

    try:
        table = pa.table(delta.to_pyarrow_table())
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(
            delta.table_uri,
            f"expected version {delta.version()} to be readable, found: {error}",
            "restore its files from a backup, or collect again",
        ) from error
    return table.cast(
        pa.schema([(f.name, f.type if pa.types.is_primitive(f.type) else pa.string()) for f in table.schema])
    )
