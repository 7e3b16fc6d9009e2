"""The quick way from a request's body to rows: a decoder that is made from the contract once.

It reads what `bento.asked` and `perennial.live.rows` would accept, into the same numbers and flags, in a fraction of
the time. Whatever it does not like it leaves to them: they say what is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from bento.asked import ENVELOPE
from perennial.live.fields import Field
from perennial.live.rows import ParsedRows, RowReader

Values = tuple[Any, ...]
TYPES: dict[str, Any] = {"number": float, "integer": float, "boolean": bool, "category": str}
ODD = re.compile(r'["\\\x00-\x1f]|[\ud800-\udfff]')
"""In a feature's name what msgspec does not take for one."""


class Decoded(msgspec.Struct, frozen=True):
    """A request: per row the values of the contract's features in their order, numbers as floats, and its ids."""

    rows: list[Values]
    prediction_id: str | None = None
    prediction_ids: list[str] | None = None


class Decoder:
    """Reads bodies under one contract; may be shared between threads."""

    def __init__(self, reader: RowReader) -> None:
        self._fields = reader.fields
        self.features = tuple(field.column.name for field in self._fields)
        self._names = [(field.column.name, *field.column.aliases) for field in self._fields]
        self._can = not any(ODD.search(name) for names in self._names for name in names)
        row = _row_type(self._fields if self._can else ())
        self._request = msgspec.json.Decoder(_request_type(row))
        self._bare_rows = msgspec.json.Decoder(list[row])
        # A feature called like a part of a request would make a row look like one.
        taken = not ENVELOPE.isdisjoint(row.__struct_encode_fields__)
        self._bare_row = None if taken else msgspec.json.Decoder(row)
        self._spellings = _spellings(self._fields)
        self._categories = [
            (place, field.codes)
            for place, field in enumerate(self._fields)
            if field.column.kind == "category"
        ]
        whole = [place for place, field in enumerate(self._fields) if field.column.kind == "integer"]
        self._whole = np.array(whole, dtype=np.intp) if whole else None
        self._low, self._high = np.array([_silent_range(field) for field in self._fields]).T

    def decode(self, body: bytes) -> Decoded | None:
        """The request in a body; None unless every row of it has the contract's fields with values of their types."""
        if not self._can:
            return None
        try:
            rows, ids = self._rows_and_ids(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        # A colon follows every key: where there are no more of them than keys were read, none stands twice.
        if body.count(b":") != len(rows) * len(self._fields) + len(ids):
            return None
        values = [astuple(row) for row in rows]
        if self._spellings is not None:
            values = [_folded(row, self._spellings) for row in values]
            if None in values:
                return None
        return Decoded(values, ids.get("prediction_id"), ids.get("prediction_ids"))

    def _rows_and_ids(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        if body[:1] == b"[":
            return self._bare_rows.decode(body), {}
        try:
            found = self._request.decode(body)
        except msgspec.ValidationError:
            if self._bare_row is None:
                raise
            return [self._bare_row.decode(body)], {}
        given = {"rows": None, "prediction_id": found.prediction_id, "prediction_ids": found.prediction_ids}
        return found.rows, {name: value for name, value in given.items() if value is not UNSET}

    def parsed(self, values: Sequence[Values]) -> ParsedRows | None:
        """The rows as floats, with the flags of `RowReader.request`; None where a value is refused."""
        matrix = np.array(self._coded(values), dtype=np.float64)
        silent = (matrix >= self._low) & (matrix <= self._high)
        if self._whole is not None:
            numbers = matrix[:, self._whole]
            silent[:, self._whole] &= numbers == np.floor(numbers)
        flags: list[tuple[str, ...]] = [()] * len(values)
        if not silent.all():
            for row, place in np.argwhere(~silent).tolist():
                cell = self._fields[place].strict(values[row][place])
                if cell.problem:
                    return None
                matrix[row, place] = cell.value
                if cell.flag:
                    flags[row] += (cell.flag,)
        return ParsedRows(self.features, matrix, tuple(flags), np.zeros(len(values), dtype=bool))

    def ordered(self, rows: Sequence[Mapping[str, Any]]) -> list[Values]:
        """The values of accepted rows as `decode` gives them, whichever of its names a feature came under."""
        ordered = []
        for row in rows:
            values = [next(row[name] for name in names if name in row) for names in self._names]
            ordered.append(tuple(float(v) if type(v) is int else v for v in values))
        return ordered

    def _coded(self, values: Sequence[Values]) -> Sequence[Sequence[Any]]:
        """The values with codes for known categories, NaN for all other text."""
        if not self._categories:
            return values
        rows = [list(row) for row in values]
        for place, codes in self._categories:
            for row in rows:
                row[place] = codes.get(row[place], math.nan)
        return rows


def _row_type(fields: Sequence[Field]) -> Any:
    """A type for one row: a feature with aliases has a slot per name, one of which is filled."""
    slots: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    called: dict[str, str] = {}
    for field in fields:
        column = field.column
        kind = TYPES[column.kind] | None if column.nullable else TYPES[column.kind]
        for name in (column.name, *column.aliases):
            slot = f"slot_{len(slots)}"
            called[slot] = name
            slots.append((slot, kind | UnsetType, UNSET) if column.aliases else (slot, kind))
    return msgspec.defstruct("Row", slots, rename=called, forbid_unknown_fields=True, kw_only=True, gc=False)


def _request_type(row: Any) -> Any:
    return msgspec.defstruct(
        "Request",
        [
            ("rows", list[row]),
            ("prediction_id", str | None | UnsetType, UNSET),
            ("prediction_ids", list[str] | None | UnsetType, UNSET),
        ],
        forbid_unknown_fields=True,
    )


def _spellings(fields: Sequence[Field]) -> list[tuple[int, int]] | None:
    """Per feature its slots in a row, as start and end; None where every feature has one name."""
    counts = [1 + len(field.column.aliases) for field in fields]
    if sum(counts) == len(counts):
        return None
    ends = np.cumsum(counts).tolist()
    return [(end - count, end) for end, count in zip(ends, counts, strict=True)]


def _folded(row: Values, spellings: Sequence[tuple[int, int]]) -> Values | None:
    """One value per feature; None where a feature came under no name, or under two."""
    folded = []
    for start, end in spellings:
        value = row[start]
        for other in row[start + 1 : end]:
            if other is not UNSET:
                if value is not UNSET:
                    return None
                value = other
        if value is UNSET:
            return None
        folded.append(value)
    return tuple(folded)


def _silent_range(field: Field) -> tuple[float, float]:
    """The least and greatest value that there is nothing to say about."""
    low, high, trained_low, trained_high = field.bounds
    return max(low, trained_low), min(high, trained_high)
