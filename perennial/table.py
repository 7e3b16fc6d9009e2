"""The data contract: which columns a table has, what they mean and which values are possible.

Checks, request validation, the model's input matrix and the documentation are all made from it. This module
needs numpy alone, so that a device can read a contract; pandas appears in types only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from perennial.opaque import Opaque

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["number", "integer", "category", "boolean", "time", "text"]
Role = Literal["feature", "target", "id", "time", "known_at", "baseline"]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes:
        name: what it is called in tables, requests and reports.
        kind: the type of its values; `category` is text from a closed list.
        description: what a value means, in one sentence.
        role: what it is for; only `feature` columns reach the model. A `baseline` column holds the forecast of a
            naive model that needs a history: a number in the target's unit, or the last class's probability.
        unit: the unit of a number ("GBP", "miles"); "1" for a plain number, "" where there is none.
        minimum: the least possible value, inclusive; None for no bound.
        maximum: the greatest possible value, inclusive; None for no bound.
        categories: the known values of a category, sorted; empty until fitted to training rows.
        nullable: whether a value may be missing.
        impossible: what becomes of a value outside the range: `reject` the row, or `blank` the value.
        aliases: other names that the same column has in source files and requests.
        privacy: what the journal keeps of a value: all of it, nothing (`mask`), or a keyed hash (`hash`).
    """

    name: str
    kind: Kind
    description: str
    role: Role = "feature"
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    nullable: bool = False
    impossible: Literal["reject", "blank"] = "reject"
    aliases: tuple[str, ...] = ()
    privacy: Literal["", "mask", "hash"] = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"column {self.name}: expected a kind among {get_args(Kind)}, found {self.kind!r}"
            )
        if self.privacy not in ("", "mask", "hash"):
            raise ValueError(
                f"column {self.name}: expected a privacy of mask, hash or none, found {self.privacy!r}"
            )

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers (booleans are not)."""
        return self.kind in ("number", "integer")

    def range_text(self) -> str:
        """The range in words, for messages and documents.

        >>> Column("age", "number", "age", unit="years", minimum=0).range_text()
        'at least 0 years'
        """
        unit = f" {self.unit}" if self.unit not in ("", "1") else ""
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}{unit}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}{unit}"
        return f"at most {self.maximum:g}{unit}" if self.maximum is not None else f"any number{unit}"


@dataclass(frozen=True)
class Contract:
    """The columns of a system's table, in the order in which features reach the model."""

    system: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [n for c in self.columns for n in (c.name, *c.aliases)]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"contract {self.system}: expected each name once, found twice: {', '.join(twice)}"
            )

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that reach the model, in matrix order."""
        return tuple(c for c in self.columns if c.role == "feature")

    @property
    def target(self) -> Column:
        """The column to predict; raises LookupError where the contract has none."""
        return self.of_role("target")

    def of_role(self, role: Role) -> Column:
        """The first column with this role; raises LookupError where there is none."""
        for column in self.columns:
            if column.role == role:
                return column
        raise LookupError(f"contract {self.system}: expected a column with the role {role}, found none")

    def __getitem__(self, name: str) -> Column:
        """The column called `name`, or known under that alias; raises KeyError."""
        for column in self.columns:
            if name == column.name or name in column.aliases:
                return column
        raise KeyError(name)

    @property
    def names(self) -> dict[str, str]:
        """Every name under which a column may arrive, mapped to the column's own name."""
        return {n: c.name for c in self.columns for n in (c.name, *c.aliases)}

    def updated(self, change: Callable[[Column], Column]) -> Contract:
        """A contract with `change` applied to every column."""
        return replace(self, columns=tuple(change(c) for c in self.columns))

    def fitted(self, frame: pd.DataFrame) -> Contract:
        """A contract whose open categories are the values seen in `frame`, sorted."""

        def fit(column: Column) -> Column:
            if column.kind != "category" or column.categories or column.name not in frame:
                return column
            return replace(column, categories=tuple(sorted({str(v) for v in frame[column.name].dropna()})))

        return self.updated(fit)

    def matrix(self, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any] | pd.Series[Any]]) -> Matrix:
        """The model's input of shape (n_rows, n_features).

        Numbers stay as they are, booleans become 0 and 1, a category becomes its index in `categories`.
        Missing values and categories that were never seen become NaN.
        """
        encoded = [encode(column, columns[column.name]) for column in self.features]
        return np.column_stack(encoded) if encoded else np.empty((0, 0))

    def as_dict(self) -> dict[str, Any]:
        """The contract as plain JSON values; `contract_from` reads it back.

        A column without `privacy` does not say so, which keeps the fingerprints of contracts that never knew it.
        """
        told = [{k: v for k, v in asdict(c).items() if k != "privacy" or v} for c in self.columns]
        return {"system": self.system, "columns": told}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the contract's content, in hex."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def contract_from(data: Mapping[str, Any]) -> Contract:
    """The contract that `Contract.as_dict` wrote; raises TypeError or ValueError on anything else."""
    columns = [
        Column(**{**c, "categories": tuple(c["categories"]), "aliases": tuple(c["aliases"])})
        for c in data["columns"]
    ]
    return Contract(system=str(data["system"]), columns=tuple(columns))


def encode(column: Column, values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """One column as floats of shape (n_rows,); NaN where a value is missing or a category unknown.

    >>> encode(Column("fuel", "category", "fuel", categories=("Diesel", "Petrol")), ["Petrol", "Steam", None])
    array([ 1., nan, nan])
    """
    if column.kind == "category":
        codes = {name: float(code) for code, name in enumerate(column.categories)}
        return np.array(
            [codes.get(v, np.nan) if isinstance(v, str) else np.nan for v in values], dtype=np.float64
        )
    if isinstance(values, np.ndarray) and values.dtype.kind in "iufb":
        return values.astype(np.float64)
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


@dataclass(frozen=True)
class Table(Opaque):
    """Model-ready rows under a contract.

    `frame` has one column per contract column (target included) and a plain RangeIndex. Rows with the same
    `id` are twins, and never straddle a split.
    """

    frame: pd.DataFrame
    contract: Contract

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def X(self) -> Matrix:  # noqa: N802
        """The feature matrix, shape (n_rows, n_features)."""
        return self.contract.matrix({c.name: self.frame[c.name] for c in self.contract.features})

    @property
    def y(self) -> npt.NDArray[Any]:
        """The target, shape (n_rows,): floats for a regression, strings for a classification."""
        column = self.contract.target
        values = self.frame[column.name].to_numpy()
        return values.astype(np.float64) if column.is_numeric else values.astype(str)

    @property
    def ids(self) -> npt.NDArray[Any]:
        """The row ids, shape (n_rows,)."""
        return self.frame[self.contract.of_role("id").name].to_numpy()

    def rows(self, chosen: npt.NDArray[Any]) -> Table:
        """The rows at the given positions or under the given mask, in their order, with a new index."""
        return replace(self, frame=self.frame.iloc[np.asarray(chosen)].reset_index(drop=True))
