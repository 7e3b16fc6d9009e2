"""Reading one feature's values under its column of the contract."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.table import Column

Floats = npt.NDArray[np.float64]
Note = tuple[npt.NDArray[np.intp], str, bool]
"""Rows of a file, a sentence about them, and whether they cannot be answered because of it."""

EXPECTED = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "text",
}
YES_NO = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


@dataclass(frozen=True)
class Cell:
    """What became of a value: the float that the model gets, and a flag or a problem ("" for none)."""

    value: float
    flag: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Field:
    """A feature column, and the range of values that the model was trained on (None where unknown)."""

    column: Column
    training: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.column.kind not in EXPECTED:
            raise ValueError(
                f"feature {self.column.name}: expected one of {', '.join(EXPECTED)}, found {self.column.kind}"
            )

    @cached_property
    def codes(self) -> dict[str, float]:
        """The code of every category, under its exact name and under its name without outer blanks."""
        known = self.column.categories
        return {name.strip(): float(c) for c, name in enumerate(known)} | {
            name: float(c) for c, name in enumerate(known)
        }

    @cached_property
    def folded_codes(self) -> dict[str, float]:
        """The code of every category under its name in lower case, where no two names share that."""
        folded = [name.strip().casefold() for name in self.column.categories]
        return {name: float(c) for c, name in enumerate(folded) if folded.count(name) == 1}

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """The possible range, then the training range; infinite where there is no bound."""
        low = -math.inf if self.column.minimum is None else self.column.minimum
        high = math.inf if self.column.maximum is None else self.column.maximum
        return (low, high, *(self.training or (-math.inf, math.inf)))

    def strict(self, value: Any) -> Cell:
        """A value of a request: JSON types are taken at their word."""
        kind = self.column.kind
        if value is None:
            if self.column.nullable:
                return Cell(math.nan)
            return self._problem("null")
        if kind == "category":
            return self._category(value) if isinstance(value, str) else self._problem(shown(value))
        if kind == "boolean":
            return Cell(float(value)) if isinstance(value, bool) else self._problem(shown(value))
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return self._problem(shown(value))
        return self._number(value)

    def lenient(self, value: Any) -> Cell:
        """A value of a file: formats like CSV have no types, so that numbers and truth may come as text.

        Blank text and nan are missing, and a category may have been read as a whole number.
        """
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return self.strict(None)
        if type(value).__name__ in ("NAType", "NaTType"):  # pandas' own, which is not imported here
            return self.strict(None)
        kind = self.column.kind
        if isinstance(value, str) and not value.strip():
            return self.strict(None)
        if kind == "category" and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._category(f"{value:.0f}" if float(value).is_integer() else str(value))
        if kind == "boolean" and isinstance(value, (str, int, float)):
            truth = YES_NO.get(shown_number(value) if not isinstance(value, str) else value.strip().lower())
            return self._problem(shown(value)) if truth is None else Cell(truth)
        if kind in ("number", "integer") and isinstance(value, str):
            number = as_number(value)
            if number is None:
                return self._problem(shown(value))
            return self.strict(None) if math.isnan(number) else self._number(number)
        return self.strict(value)

    def read(self, values: npt.NDArray[Any]) -> tuple[Floats, list[Note]]:
        """A whole column of a file, and what there is to say about its rows."""
        if self.column.is_numeric and values.dtype.kind in "iuf":
            return self._numbers(values.astype(np.float64))
        cells: dict[Any, Cell] = {}
        noted: dict[Any, list[int]] = {}
        out = np.empty(len(values))
        for row, value in enumerate(values.tolist()):
            key = (type(value), value) if isinstance(value, (str, int, float)) else id(value)
            cell = cells.get(key)
            if cell is None:
                cell = cells[key] = self.lenient(value)
            out[row] = cell.value
            if cell.flag or cell.problem:
                noted.setdefault(key, []).append(row)
        return out, [self._note(np.array(rows), cells[key]) for key, rows in noted.items()]

    def _numbers(self, values: Floats) -> tuple[Floats, list[Note]]:
        out = values.copy()
        low, high, trained_low, trained_high = self.bounds
        notes: list[Note] = []
        with np.errstate(invalid="ignore"):
            bad = np.isinf(values)
            if self.column.kind == "integer":
                bad |= np.isfinite(values) & (values != np.floor(values))
            outside = ~bad & ((values < low) | (values > high))
            beyond = ~bad & ~outside & ((values < trained_low) | (values > trained_high))
        if not self.column.nullable:
            missing = np.flatnonzero(np.isnan(values))
            if len(missing):
                notes.append(self._note(missing, self._problem("null")))
        for mask in (bad, outside, beyond):
            rows = np.flatnonzero(mask)
            distinct, inverse, counts = np.unique(values[rows], return_inverse=True, return_counts=True)
            groups = np.split(rows[np.argsort(inverse, kind="stable")], np.cumsum(counts)[:-1])
            for value, group in zip(distinct.tolist(), groups, strict=False):  # no row still makes one group
                notes.append(self._note(group, self._number(value)))
        out[bad | outside] = np.nan
        return out, notes

    def _note(self, rows: npt.NDArray[np.intp], cell: Cell) -> Note:
        text = f"{self.column.name}: {cell.problem}" if cell.problem else cell.flag
        return rows, text, bool(cell.problem)

    def _number(self, value: int | float) -> Cell:
        try:
            number = float(value)
        except OverflowError:
            return self._problem(shown(value))
        if not math.isfinite(number):
            return self._problem("NaN" if math.isnan(number) else "infinity")
        if self.column.kind == "integer" and not number.is_integer():
            return self._problem(shown_number(value))
        low, high, trained_low, trained_high = self.bounds
        if low <= number <= high:
            if trained_low <= number <= trained_high:
                return Cell(number)
            return Cell(
                number,
                f"{self.column.name} {shown_number(value)} is outside the training range "
                f"{shown_number(trained_low)} to {shown_number(trained_high)}",
            )
        return Cell(
            math.nan,
            f"{self.column.name} {shown_number(value)} is outside {self._range()}: treated as missing",
        )

    def _range(self) -> str:
        """The possible range in words; at least one end of it is there."""
        low, high = self.column.minimum, self.column.maximum
        if low is not None and high is not None:
            return f"{shown_number(low)} to {shown_number(high)}"
        if low is not None:
            return f"what is possible (at least {shown_number(low)})"
        return f"what is possible (at most {shown_number(high or 0.0)})"

    def _category(self, text: str) -> Cell:
        code = self.codes.get(text)
        if code is None:
            code = self.codes.get(text.strip())
        if code is None:
            code = self.folded_codes.get(text.strip().casefold())
        if code is None:
            return Cell(math.nan, f"{self.column.name} {shown(text)} was not seen in training")
        return Cell(code)

    def _problem(self, found: str) -> Cell:
        null = " or null" if self.column.nullable else ""
        return Cell(math.nan, problem=f"expected {EXPECTED[self.column.kind]}{null}, found {found}")


def as_number(text: str) -> float | None:
    """The number that a text spells in full (as Python or CSV writers do); None for anything else."""
    if "_" in text or len(text) > 400:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def shown_number(value: float) -> str:
    """A number in a sentence: whole ones without a decimal point, others with six digits."""
    if isinstance(value, int) or (math.isfinite(value) and float(value).is_integer()):
        return str(int(value)) if abs(value) < 1e15 else f"{float(value):.6g}"
    return f"{value:.6g}"


def shown(value: Any) -> str:
    """Any value in a sentence, cut to a readable length."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return shown_number(value) if value.bit_length() < 1000 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return shown_number(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:37]}...")
    if isinstance(value, dict):
        return "an object"
    return f"a {type(value).__name__}"


def as_array(values: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A column of a file as a one-dimensional array; missing values of pandas become None."""
    missing = np.asarray(values.isna()) if hasattr(values, "isna") else None
    array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if array.ndim != 1 or (array.dtype.kind not in "iufbO" and not isinstance(values, np.ndarray)):
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
    if missing is not None and array.dtype.kind not in "iufb":
        array = array.astype(object)
        array[missing] = None
    return array
