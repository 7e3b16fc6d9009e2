"""Datasets: all records of a system in a Delta table, every version readable for ever.

Delta's log makes a commit all or nothing: a process killed in the middle leaves the version before it. Rows that
come whole (a file, a generator) are committed whole; collected records are appended to those before them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from perennial.data.content import canonical, fingerprint, frame, is_collected, ordered, together
from perennial.data.revisions import rebase
from perennial.errors import DatasetError
from perennial.evidence import DatasetReference

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

PREFIX = "perennial."
TRIES = 20
KEEP_FOR_EVER = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
ONE_FILE = 1 << 40


def commit(
    records: pd.DataFrame, folder: str | Path, facts: Mapping[str, str] | None = None
) -> DatasetReference:
    """The dataset version that holds `records`: the latest one if its content is the same, else a new one.

    Row order is kept, the index is not. Integers and floats become 64 bits wide, times microseconds in UTC,
    and a column of mixed types becomes text. `facts` are kept with the version, for its history.

    Raises:
        DatasetError: where a time has no zone, or another process committed different records meanwhile.
    """
    from deltalake.exceptions import CommitFailedError

    table = canonical(records)
    digest = fingerprint(table)
    before = latest(folder)
    if before is not None and before.fingerprint == digest:
        return before
    told = {**(facts or {}), "fingerprint": digest, "rows": str(table.num_rows)}
    try:
        _write(str(folder), table, "overwrite", told, before is None)
    except CommitFailedError as error:
        return _committed(folder, digest, before, error)
    return _committed(folder, digest, before)


def append(added: pd.DataFrame, folder: str | Path, facts: Mapping[str, str]) -> DatasetReference | None:
    """The dataset version with the `added` records of a collection; the latest one where all of them are known.

    Every row is held against the latest version once more (see `revisions.rebase`), so that a collection that is
    appended twice, or by two processes at once, is in the dataset once. The first collection after a source
    that came whole takes its place. `facts` are kept with the version, beside the counts `added` and `revised`.

    Returns:
        The reference; None where there are no records at all yet.

    Raises:
        DatasetError: where the rows were not collected, a column has another type than before, the latest
            version is damaged, or other processes came first too often.
    """
    from deltalake.exceptions import CommitFailedError, DeltaError

    if not is_collected(added.columns) or added["key"].isna().any():
        raise DatasetError(
            folder, "expected collected records, each with a key, found others", "merge them first"
        )
    for _ in range(TRIES):
        before = latest(folder)
        known = _verified(before) if before is not None else None
        known = known if known is not None and is_collected(known.column_names) else None
        merged = rebase(None if known is None else frame(known), added)
        if merged.added.empty:
            return before
        rows = canonical(merged.added)
        content = ordered(rows if known is None else together([known, rows]))
        told = {
            **facts,
            "added": str(merged.new),
            "revised": str(merged.revised),
            "fingerprint": (digest := fingerprint(content)),
            "rows": str(content.num_rows),
        }
        try:
            if before is None:
                _write(str(folder), rows, "error", told, True)
            else:
                seen = _open(before.uri, before.version)
                _write(seen, rows, "overwrite" if known is None else "append", told, False)
        except CommitFailedError:
            continue
        except DeltaError:
            if before is None and latest(folder) is not None:
                continue
            raise
        version = 0 if before is None else before.version + 1
        return DatasetReference(uri=str(folder), version=version, rows=content.num_rows, fingerprint=digest)
    raise DatasetError(
        folder, f"expected to append, found that other processes came first {TRIES} times", "collect again"
    )


def read(reference: DatasetReference) -> pd.DataFrame:
    """The records of a dataset version: collected ones in canonical order, others as they were committed.

    Raises:
        DatasetError: where the version is missing, or its content is not what the reference's digest says.
    """
    return frame(_verified(reference))


def latest(folder: str | Path) -> DatasetReference | None:
    """The newest version of the dataset in `folder`; None where there is no dataset yet."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(folder)):
        return None
    return _reference(str(folder))


def resolve(folder: str | Path, version: int | None) -> DatasetReference:
    """The version of that number, or the newest one.

    Raises:
        DatasetError: where there is no dataset, or no such version; names those that there are.
    """
    newest = latest(folder)
    if newest is None:
        raise DatasetError(folder, "expected a dataset, found none", "collect first")
    if version is None or version == newest.version:
        return newest
    if not 0 <= version < newest.version:
        known = f"a version from 0 to {newest.version}" if newest.version else "version 0, the only one"
        raise DatasetError(folder, f"expected {known}, found {version}", "see `python run.py data log`")
    return _reference(str(folder), version)


def log_entry(uri: str, version: int) -> dict[str, Any]:
    """What Delta's log says of the commit of a version; empty where it says nothing.

    `DeltaTable.history` would not do: beside another writer it lists commits that are newer than the opened
    version, under wrong version numbers (deltalake 1.6).
    """
    import pyarrow.fs
    from deltalake.fs import DeltaStorageHandler

    store = pyarrow.fs.PyFileSystem(DeltaStorageHandler(uri))
    entry = f"_delta_log/{version:020d}.json"
    if store.get_file_info(entry).type != pyarrow.fs.FileType.File:
        return {}
    with store.open_input_file(entry) as file:
        actions = [json.loads(line) for line in file.read().splitlines() if line.strip()]
    return next((action["commitInfo"] for action in actions if "commitInfo" in action), {})


def _write(
    table: str | DeltaTable,
    rows: pa.Table,
    mode: Literal["error", "append", "overwrite"],
    facts: Mapping[str, str],
    is_first: bool,
) -> None:
    """One commit. On an opened table it becomes the version after the opened one, or CommitFailedError is raised."""
    from deltalake import CommitProperties, WriterProperties, write_deltalake

    metadata = {f"{PREFIX}{name}": value for name, value in facts.items()}
    write_deltalake(
        table,
        rows,
        mode=mode,
        schema_mode=None if mode == "error" else "merge" if mode == "append" else "overwrite",
        configuration=KEEP_FOR_EVER if is_first else None,
        target_file_size=ONE_FILE,
        writer_properties=WriterProperties(compression="ZSTD"),
        commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0),
    )


def _verified(reference: DatasetReference) -> pa.Table:
    table = _content(_open(reference.uri, reference.version))
    found = fingerprint(table)
    if found != reference.fingerprint:
        raise DatasetError(
            reference.uri,
            f"expected version {reference.version} with the digest {reference.fingerprint[:12]}, "
            f"found {found[:12]}",
            "its files were changed: restore them from a backup, or collect again",
        )
    return table


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

    An entry that this project did not write holds no digest; then the content is read.
    """
    delta = _open(uri, version)
    entry = log_entry(uri, delta.version())
    digest, rows = (entry.get(f"{PREFIX}{name}") for name in ("fingerprint", "rows"))
    if digest is None or rows is None:
        table = _content(delta)
        digest, rows = fingerprint(table), table.num_rows
    return DatasetReference(uri=uri, version=delta.version(), rows=int(rows), fingerprint=digest)


def _open(uri: str, version: int | None = None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        return DeltaTable(uri, version=version)
    except (TableNotFoundError, DeltaError) as error:
        wanted = "a dataset" if version is None else f"a dataset with version {version}"
        raise DatasetError(uri, f"expected {wanted}, found none ({error})", "collect first") from error


def _content(delta: DeltaTable) -> pa.Table:
    """All rows of an opened version in canonical types, collected ones in canonical order."""
    import pyarrow as pa

    try:
        table = pa.table(delta.to_pyarrow_table())
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(
            delta.table_uri,
            f"expected version {delta.version()} to be readable, found: {error}",
            "restore its files from a backup, or collect again",
        ) from error
    types = [(f.name, f.type if pa.types.is_primitive(f.type) else pa.string()) for f in table.schema]
    plain = table.cast(pa.schema(types))
    return ordered(plain) if is_collected(plain.column_names) else plain
