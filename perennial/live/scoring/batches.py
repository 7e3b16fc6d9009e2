"""Batches of a stock table in the order of its key, each beside the scores that its rows have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from perennial.errors import DatabaseError
from perennial.live.scoring.database import told
from perennial.live.scoring.scores import DIGEST, VERSION
from perennial.live.scoring.stock import Key, Stock, after, as_values
from perennial.live.scoring.writing import Place


@dataclass(frozen=True)
class Batch:
    """Rows of a stock table.

    Attributes:
        keys: the values of the key's columns, per row.
        columns: per feature its values, as the contract's reader takes them.
        scored: per row the model version and the digest of the inputs of its score, None where it has none.
    """

    keys: list[Key]
    columns: dict[str, Any]
    scored: list[tuple[str | None, str | None]]

    def __len__(self) -> int:
        return len(self.keys)


def batches(stock: Stock, scores: Place, size: int) -> Iterator[Batch]:
    """All rows under the stock's condition, `size` at a time; nothing stays open between two batches.

    Each starts behind the last key of the one before, so that a batch costs the same wherever it lies, and rows that
    come or go meanwhile shift nothing.

    Raises:
        DatabaseError: the database fails, or the order of its keys goes in circles.
    """
    last: Key | None = None
    n_key, names = len(stock.key), list(stock.features)
    while True:
        with told(stock.engine, f"reading {stock.table.name}"), stock.engine.connect() as connection:
            rows = connection.execute(_query(stock, scores, last, size)).fetchall()
        if not rows:
            return
        columns = list(zip(*rows, strict=True))
        keys = list(zip(*columns[:n_key], strict=True))
        if keys[-1] == last:
            raise DatabaseError(
                stock.place,
                f"the key {last} of {stock.table.name} comes behind itself",
                "mend that row's key",
            )
        last = keys[-1]
        values = columns[n_key : n_key + len(names)]
        yield Batch(
            keys,
            {name: as_values(column) for name, column in zip(names, values, strict=True)},
            list(zip(*columns[-2:], strict=True)),
        )


def _query(stock: Stock, scores: Place, last: Key | None, size: int) -> sa.Select[Any]:
    dialect, table = stock.engine.dialect.name, stock.table if scores.own else scores.table
    keys = [table.c[k] for k in stock.key]
    marks = [] if scores.own else [scores.table.c[VERSION], scores.table.c[DIGEST]]
    values = [table.c[column].label(f"f{i}") for i, column in enumerate(stock.features.values())]
    behind = [] if last is None else [after(table, stock.key, last, dialect)]
    rows = sa.select(*keys, *values, *marks).where(stock.condition, *behind).order_by(*keys).limit(size)
    if not scores.own:
        return rows
    part, own = rows.subquery("batch"), scores.table.alias("scores")
    met = [own.c[k] == part.c[k] for k in stock.key]
    met += [] if last is None else [after(own, stock.key, last, dialect)]
    joined = part.outerjoin(own, sa.and_(*met))
    ordered = [part.c[k] for k in stock.key]
    return sa.select(*part.c, own.c[VERSION], own.c[DIGEST]).select_from(joined).order_by(*ordered)
