"""From requests and files to the model's input, under the contract."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.errors import TableError, Violation, suggestion
from perennial.live.fields import EXPECTED, Field, as_array, shown
from perennial.table import Column, Contract, Matrix

Ranges = Mapping[str, tuple[float, float]]
SUGGESTED = 20
"""Unknown fields that get a suggestion each; the error message shows no more of them."""


@dataclass(frozen=True)
class ParsedRows:
    """n rows as the model takes them.

    Attributes:
        names: the features, in the order in which the model takes them.
        matrix: their values, shape (n_rows, n_features), as `Contract.matrix` makes them; NaN where missing.
        flags: per row the sentences about it, () where there is nothing to say.
        invalid: per row whether it cannot be answered, shape (n_rows,); always False in a request.
    """

    names: tuple[str, ...]
    matrix: Matrix
    flags: tuple[tuple[str, ...], ...]
    invalid: npt.NDArray[np.bool_]

    @cached_property
    def columns(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """Per feature its values as floats of shape (n_rows,), NaN where missing."""
        return {name: self.matrix[:, place] for place, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.matrix)


class RowReader:
    """Reads rows under one contract; made once, used for every request.

    `training` holds the least and greatest value per numeric feature that the model was trained on: a
    possible value outside it is answered, with a flag.
    """

    def __init__(self, contract: Contract, training: Ranges | None = None) -> None:
        self.contract = contract
        self.fields = tuple(Field(c, (training or {}).get(c.name)) for c in contract.features)
        self._places = {
            name: place
            for place, field in enumerate(self.fields)
            for name in (field.column.name, *field.column.aliases)
        }

    def request(self, rows: Any, max_rows: int = 1000) -> ParsedRows:
        """The rows of a request; see `parse_request`."""
        if not isinstance(rows, list):
            raise _refused("rows", f"expected a list of objects, found {shown(rows)}")
        if not rows:
            raise _refused("rows", "expected at least one row, found none")
        if len(rows) > max_rows:
            raise _refused(
                "rows", f"expected at most {max_rows:,} rows, found {len(rows):,}; send them in parts"
            )
        matrix = np.full((len(rows), len(self.fields)), np.nan)
        flags: list[tuple[str, ...]] = []
        violations: list[Violation] = []
        for index, row in enumerate(rows):
            values, notes = self._row(row, f"rows[{index}]", violations)
            matrix[index] = values
            flags.append(notes)
        if violations:
            raise TableError("request", violations)
        return self._parsed(matrix, flags, np.zeros(len(rows), dtype=bool))

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> ParsedRows:
        """The rows of a file; see `parse_columns`."""
        chosen = self._chosen(columns)
        arrays = [as_array(columns[name]) for name in chosen]
        lengths = {name: len(array) for name, array in zip(chosen, arrays, strict=True)}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
            raise _refused("columns", f"expected columns of one length, found {found}", "rows")
        n = len(arrays[0]) if arrays else 0
        matrix, invalid = np.full((n, len(self.fields)), np.nan), np.zeros(n, dtype=bool)
        noted: dict[int, list[str]] = {}
        for place, (field, array) in enumerate(zip(self.fields, arrays, strict=True)):
            matrix[:, place], notes = field.read(array)
            for rows, text, is_problem in notes:
                invalid[rows] |= is_problem
                for row in rows.tolist():
                    noted.setdefault(row, []).append(text)
        flags: list[tuple[str, ...]] = [()] * n
        for row, texts in noted.items():
            flags[row] = tuple(texts)
        return self._parsed(matrix, flags, invalid)

    def _row(self, row: Any, where: str, violations: list[Violation]) -> tuple[list[float], tuple[str, ...]]:
        values = [math.nan] * len(self.fields)
        if not isinstance(row, dict):
            violations.append(Violation(where, f"expected an object, found {shown(row)}"))
            return values, ()
        given: dict[int, str] = {}
        flags: list[tuple[int, str]] = []
        for name, value in row.items():
            place = self._places.get(name) if isinstance(name, str) else None
            if place is None:
                violations.append(self._unknown(name, where, len(violations)))
                continue
            if place in given:
                both = f"{given[place]!r} and {name!r}"
                violations.append(
                    Violation(f"{where}.{name}", f"expected one of {both}, found both; they are one field")
                )
                continue
            given[place] = name
            cell = self.fields[place].strict(value)
            if cell.problem:
                violations.append(Violation(f"{where}.{name}", cell.problem))
            elif cell.flag:
                flags.append((place, cell.flag))
            values[place] = cell.value
        if len(given) < len(self.fields):
            for place, field in enumerate(self.fields):
                if place not in given:
                    expected = EXPECTED[field.column.kind] + (" or null" if field.column.nullable else "")
                    violations.append(
                        Violation(f"{where}.{field.column.name}", f"expected {expected}, found no such field")
                    )
        return values, tuple(flag for _, flag in sorted(flags))

    def _unknown(self, name: Any, where: str, already: int) -> Violation:
        if not isinstance(name, str):
            return Violation(where, f"expected field names as text, found {shown(name)}")
        short = (name if len(name) <= 60 else f"{name[:57]}...").encode("utf-8", "backslashreplace").decode()
        owner = self.contract.names.get(name)
        if owner is not None:
            role = self.contract[owner].role
            reason = "it is what is predicted" if role == "target" else f"it is the {role}, and no feature"
            return Violation(f"{where}.{short}", f"expected features only; {reason}: leave it out")
        hint = suggestion(short, self._places) if already < SUGGESTED else ""
        return Violation(f"{where}.{short}", f"expected a known field, found an unknown one{hint}")

    def _chosen(self, columns: Mapping[str, Sequence[Any]]) -> list[str]:
        """The given name of every feature, in matrix order."""
        chosen, violations = [], []
        for field in self.fields:
            names = [n for n in (field.column.name, *field.column.aliases) if n in columns]
            if len(names) == 1:
                chosen.append(names[0])
                continue
            aliases = "".join(f" or {alias!r}" for alias in field.column.aliases)
            found = f"both {' and '.join(map(repr, names))}" if names else "none"
            hint = "" if names else suggestion(field.column.name, [c for c in columns if isinstance(c, str)])
            wanted = f"expected one column {field.column.name!r}{aliases}, found {found}"
            violations.append(Violation(field.column.name, wanted + hint))
        if violations:
            raise TableError("rows", violations)
        return chosen

    def _parsed(
        self, matrix: Matrix, flags: Sequence[tuple[str, ...]], invalid: npt.NDArray[np.bool_]
    ) -> ParsedRows:
        return ParsedRows(tuple(field.column.name for field in self.fields), matrix, tuple(flags), invalid)


def parse_request(
    contract: Contract, rows: Any, max_rows: int = 1000, training: Ranges | None = None
) -> ParsedRows:
    """The rows of a request (a list of JSON objects) as floats.

    A field may go by its name or an alias. A number outside its possible range and a category that was not
    seen in training become missing, and the row carries a flag. A possible number outside `training`
    (feature -> least and greatest value trained on) stays as it is, with a flag.

    Raises:
        TableError: with every violation, each naming `rows[i].field`: missing and unknown fields, wrong types
            (a bool is no number, and "12" is none either), NaN and infinity, null where it is not allowed; no
            rows, or too many.
    """
    return RowReader(contract, training).request(rows, max_rows)


def parse_columns(
    contract: Contract, columns: Mapping[str, Sequence[Any]], training: Ranges | None = None
) -> ParsedRows:
    """The rows of a file, given as columns, as floats.

    As `parse_request`, with three differences: a value that cannot be read makes its row invalid (with a
    flag) instead of refusing all; columns that are no feature are ignored; numbers and true or false may be
    text, since CSV has no types.

    Raises:
        TableError: listing all features that have no column, or two; columns of unequal length.
    """
    return RowReader(contract, training).columns(columns)


def request_schema(contract: Contract) -> dict[str, Any]:
    """The JSON schema (OpenAPI 3.1) of one row: it accepts what `parse_request` accepts, and nothing else.

    Ranges and known categories stand in the descriptions and under `x-range` and `x-categories`, since other
    values are answered too (as missing ones, with a flag).
    """
    properties = {n: _schema(c) for c in contract.features for n in (c.name, *c.aliases)}
    choices = [
        {"oneOf": [{"required": [name]} for name in (c.name, *c.aliases)]}
        for c in contract.features
        if c.aliases
    ]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [c.name for c in contract.features if not c.aliases],
        "properties": properties,
        **({"allOf": choices} if choices else {}),
    }


def _schema(column: Column) -> dict[str, Any]:
    kind = "string" if column.kind == "category" else column.kind
    text = column.description[:1].upper() + column.description[1:].rstrip(".") + "."
    extra: dict[str, Any] = {}
    if column.is_numeric:
        extra["x-unit"] = column.unit
        if column.minimum is not None or column.maximum is not None:
            extra["x-range"] = [column.minimum, column.maximum]
            text += f" Possible: {column.range_text()}; anything else is treated as missing, with a flag."
    if column.categories:
        extra["x-categories"] = list(column.categories)
        text += " A value that was not seen in training is treated as missing, with a flag."
    return {"type": [kind, "null"] if column.nullable else kind, "description": text, **extra}


def _refused(where: str, problem: str, subject: str = "request") -> TableError:
    return TableError(subject, [Violation(where, problem)])
