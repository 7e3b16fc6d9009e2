"""Golden rows: unseen rows with their answers, which a loaded model must repeat before it may serve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.errors import BundleError, NotEnoughDataError, TableError
from perennial.live.answer import AnswerRule
from perennial.live.predict import answer_parsed, as_json_rows
from perennial.live.rows import RowReader
from perennial.table import Column, Table

if TYPE_CHECKING:
    from perennial.live.models import Model
    from perennial.live.predict import Predictor


def golden_rows(
    holdout: Table, reader: RowReader, fitted: Model, rule: AnswerRule, count: int, seed: int
) -> dict[str, Any]:
    """Up to `count` hold-out rows in request form as `rows`, and what the fitted model says as `answers`.

    Rows that a request could not hold (null where the contract forbids it) are passed over; raises
    NotEnoughDataError where none is left.
    """
    order = np.random.default_rng(seed).permutation(len(holdout))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(order), count):
        for row in request_rows(holdout.rows(order[start : start + count])):
            if len(rows) < count and _acceptable(reader, row):
                rows.append(row)
        if len(rows) == count:
            break
    if not rows:
        raise NotEnoughDataError(
            "golden rows", 0, 1, "mend the hold-out rows: none of them fits the contract"
        )
    answered = answer_parsed(reader.request(rows, len(rows)), fitted, rule, "")
    return {"rows": rows, "answers": [_without_version(r) for r in as_json_rows(answered)]}


def request_rows(table: Table) -> list[dict[str, Any]]:
    """The features of a table as a request would hold them, a JSON object per row."""
    features = table.contract.features
    columns = [[_json(c, v) for v in table.frame[c.name].tolist()] for c in features]
    return [
        dict(zip([c.name for c in features], values, strict=True)) for values in zip(*columns, strict=True)
    ]


def replay(predictor: Predictor, golden: Mapping[str, Any]) -> None:
    """Return if the predictor repeats the golden answers within their tolerance; else raise BundleError.

    Numbers may differ by `tolerance`, relative or absolute, whichever allows more; classes and flags may not
    differ at all.
    """
    rows, tolerance = golden["rows"], golden["tolerance"]
    found = as_json_rows(predictor.answer_rows(rows, len(rows)))
    wrong = [
        index
        for index, (a, b) in enumerate(zip(found, golden["answers"], strict=True))
        if not _agree(_without_version(a), b, tolerance)
    ]
    if wrong:
        first = wrong[0]
        raise BundleError(
            predictor.bundle.path,
            f"{len(wrong)} of {len(rows)} golden rows are answered differently here (row {first}: "
            f"expected {_short(golden['answers'][first])}, found {_short(found[first])})",
            "install the versions that manifest.json names, or build the bundle again",
        )


def _agree(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_agree(a[k], b[k], tolerance) for k in a)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    return bool(a == b)


def _acceptable(reader: RowReader, row: dict[str, Any]) -> bool:
    try:
        reader.request([row], 1)
    except TableError:
        return False
    return True


def _json(column: Column, value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType":
        return None
    if column.kind == "boolean":
        return bool(value)
    if column.kind == "category":
        return str(value)
    return int(value) if column.kind == "integer" and float(value).is_integer() else float(value)


def _without_version(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "model_version"}


def _short(row: Mapping[str, Any]) -> str:
    shown = {key: value for key, value in row.items() if key in ("prediction", "flag") and value != ""}
    return ", ".join(f"{key} {value!r}" for key, value in shown.items())
