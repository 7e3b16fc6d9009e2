"""History: which versions a dataset has, what changed between two of them, and any of them as a file."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from perennial.data import dataset
from perennial.data.content import canonical
from perennial.data.difference import Difference, compared, with_texts
from perennial.errors import InputError
from perennial.evidence import DatasetReference
from perennial.live.files import write_atomic

FORMS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True)
class VersionFacts:
    """One dataset version.

    `added` and `revised` count the new and the revised records that an append brought; None for a version that
    was committed whole. `committed_at` is UTC, None where the log does not say. `why` is "" where nobody said.
    """

    version: int
    committed_at: datetime | None
    rows: int
    added: int | None
    revised: int | None
    digest: str
    why: str


def versions(folder: str | Path) -> list[VersionFacts]:
    """All versions of the dataset in `folder`, oldest first; none where there is no dataset."""
    newest = dataset.latest(folder)
    return [] if newest is None else [facts(folder, number) for number in range(newest.version + 1)]


def difference(folder: str | Path, a: int, b: int) -> Difference:
    """What changed from version `a` to version `b`.

    Raises:
        DatasetError: where there is no such version, or its content is not what its digest says.
    """
    references = dataset.resolve(folder, a), dataset.resolve(folder, b)
    before, after = (dataset.read(reference) for reference in references)
    return compared(references, before, after)


def export(reference: DatasetReference, path: str | Path) -> int:
    """Writes a version as CSV, Parquet or JSON lines (the first and last also as .gz); returns the rows written.

    Numbers keep every digit; in texts, times are ISO 8601 in UTC. The file is whole or not there at all.

    Raises:
        InputError: where the name's suffix is none of these, or the folder does not exist.
        DatasetError: where the version is missing or damaged.
    """
    file = Path(path)
    is_packed = file.suffix == ".gz"
    form = FORMS.get(Path(file.stem).suffix if is_packed else file.suffix)
    if form is None or (is_packed and form == "parquet"):
        known = f"{', '.join(FORMS)}, .csv.gz or .jsonl.gz"
        raise InputError(f"expected a file name that ends in one of {known}, found {file.name!r}")
    if not file.parent.is_dir():
        raise InputError(
            f"expected a file in a folder that exists, found none at {file.parent}; make it first"
        )
    rows = dataset.read(reference)
    data = {"csv": _csv, "parquet": _parquet, "jsonl": _json_lines}[form](rows)
    write_atomic(file, gzip.compress(data, mtime=0) if is_packed else data)
    return len(rows)


def facts(folder: str | Path, version: int) -> VersionFacts:
    """One version of the dataset in `folder`; raises DatasetError where there is no such version."""
    uri = str(folder)
    entry = dataset.log_entry(uri, version)
    told = {k.removeprefix(dataset.PREFIX): v for k, v in entry.items() if k.startswith(dataset.PREFIX)}
    if not {"rows", "fingerprint"} <= told.keys():
        reference = dataset.resolve(uri, version)
        told |= {"rows": str(reference.rows), "fingerprint": reference.fingerprint}
    milliseconds = entry.get("timestamp")
    number = told.get("collection")
    return VersionFacts(
        version=version,
        committed_at=None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC),
        rows=int(told["rows"]),
        added=int(told["added"]) if "added" in told else None,
        revised=int(told["revised"]) if "revised" in told else None,
        digest=told["fingerprint"],
        why=told.get("why", "" if number is None else f"collection {number}"),
    )


def _csv(rows: pd.DataFrame) -> bytes:
    return with_texts(rows).to_csv(index=False).encode()


def _parquet(rows: pd.DataFrame) -> bytes:
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(canonical(rows), buffer, compression="zstd")
    return buffer.getvalue()


def _json_lines(rows: pd.DataFrame) -> bytes:
    cells = with_texts(rows).astype(object)
    plain = cells.mask(cells.isna(), None)
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in plain.to_dict("records")).encode()
