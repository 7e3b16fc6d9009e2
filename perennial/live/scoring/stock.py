"""The rows to score: a table of somebody's own database, read in the order of its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from perennial.config_score import Score
from perennial.errors import SourceError, TableError, Violation, suggestion
from perennial.live.scoring.database import first_line, shown, told
from perennial.table import Column, Contract

Key: TypeAlias = tuple[Any, ...]
NUMBERS = frozenset((int, float, Decimal, type(None)))
TUPLES = ("sqlite", "postgresql", "mysql", "mariadb")
"""Databases that compare (a, b) > (1, 2)."""


@dataclass(frozen=True)
class Stock:
    """A table whose rows are scored.

    Attributes:
        table: the key's columns with their types, the features' and all others as the driver gives them.
        key: the columns that tell rows apart, in their order.
        features: per feature of the contract the column that holds it.
        where: which rows are scored; "" for all.
        types: the declared type of every column.
    """

    engine: sa.Engine
    table: sa.TableClause
    key: tuple[str, ...]
    features: Mapping[str, str]
    where: str
    types: Mapping[str, sa.types.TypeEngine[Any]]

    @property
    def place(self) -> str:
        """The database without secrets, for messages."""
        return shown(self.engine.url)

    @property
    def name(self) -> str:
        """The table's name, with its schema where the config names one."""
        return f"{self.table.schema}.{self.table.name}" if self.table.schema else self.table.name

    @property
    def condition(self) -> sa.ColumnElement[bool]:
        """Which rows are scored."""
        return sa.literal_column(f"({self.where})", sa.Boolean) if self.where else sa.true()

    def count(self) -> int:
        """How many rows there are to score; raises SourceError where the condition is none."""
        query = sa.select(sa.func.count()).select_from(self.table).where(self.condition)
        try:
            with self.engine.connect() as connection:
                return int(connection.execute(query).scalar_one())
        except sa.exc.SQLAlchemyError as error:
            raise SourceError(
                self.place,
                f"table {self.table.name} cannot be read ({first_line(error)})",
                "mend score.where",
            ) from error


def open_stock(engine: sa.Engine, score: Score, contract: Contract) -> Stock:
    """The table of the config, with every feature of the contract found in it and a key that tells rows apart.

    Raises:
        SourceError: there is no such table, or its key has gaps or repeats.
        TableError: naming all columns that are missing, unknown or named twice.
    """
    schema, name = table_name(score.table)
    with told(engine, "looking at its tables"):
        inspector = sa.inspect(engine)
        if not (inspector.has_table(name, schema) or name in inspector.get_view_names(schema)):
            there = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
            hint = suggestion(name, there)
            raise SourceError(
                shown(engine.url), f"expected a table {score.table}, found none{hint}", "mend score.table"
            )
        types = {c["name"]: c["type"] for c in inspector.get_columns(name, schema)}
        unique = _unique(inspector, name, schema)
    missing = [k for k in score.key if k not in types]
    problems = [Violation("score.key", _absent(k, types)) for k in missing]
    features = {} if missing else _features(score.columns, contract, types, problems)
    if problems:
        raise TableError(f"table {score.table}", problems)
    table = sa.table(name, *(column_of(engine, c, types, score.key) for c in types), schema=schema)
    stock = Stock(engine, table, score.key, features, score.where, types)
    _check_key(stock, any(columns and columns <= set(score.key) for columns in unique))
    return stock


def table_name(text: str) -> tuple[str | None, str]:
    """Schema (None for the usual one) and name of `schema.table`."""
    schema, _, name = text.rpartition(".")
    return schema or None, name


def column_of(
    engine: sa.Engine, name: str, types: Mapping[str, sa.types.TypeEngine[Any]], key: Sequence[str]
) -> sa.ColumnClause[Any]:
    """A column of a statement. Keys are compared under their type; SQLite has a type per value, and keeps it."""
    typed = name in key and engine.dialect.name != "sqlite"
    return sa.column(name, types[name]) if typed else sa.column(name)


def after(table: sa.FromClause, key: Sequence[str], last: Key, dialect: str) -> sa.ColumnElement[bool]:
    """Rows whose key comes behind `last`."""
    columns = [table.c[name] for name in key]
    if len(key) == 1:
        return sa.and_(columns[0] > last[0])
    if dialect in TUPLES:
        typed = [sa.bindparam(None, value, type_=c.type) for c, value in zip(columns, last, strict=True)]
        return sa.and_(sa.tuple_(*columns) > sa.tuple_(*typed))
    levels = [
        sa.and_(*(columns[i] == last[i] for i in range(depth)), columns[depth] > last[depth])
        for depth in range(len(key))
    ]
    return sa.and_(columns[0] >= last[0], sa.or_(*levels))


def as_values(values: Sequence[Any]) -> npt.NDArray[Any]:
    """A column as the contract's reader takes it: floats where all are numbers, else the values themselves."""
    kinds = set(map(type, values))
    if kinds <= NUMBERS:
        return np.array(values, dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = [float(v) if isinstance(v, Decimal) else v for v in values] if Decimal in kinds else values
    return array


def _features(
    renamed: Mapping[str, str], contract: Contract, types: Mapping[str, Any], problems: list[Violation]
) -> dict[str, str]:
    """Per feature the column that holds it: the one that the config names, else one of its name or alias."""
    by_name = {n: f.name for f in contract.features for n in (f.name, *f.aliases)}
    named: dict[str, list[str]] = {}
    for column, feature in renamed.items():
        if column not in types:
            problems.append(Violation(f"score.columns.{column}", _absent(column, types)))
        elif feature not in by_name:
            hint = suggestion(feature, by_name)
            problems.append(
                Violation(
                    f"score.columns.{column}", f"expected a feature of the model, found {feature!r}{hint}"
                )
            )
        else:
            named.setdefault(by_name[feature], []).append(column)
    found = {}
    for wanted in contract.features:
        columns = named.get(wanted.name) or [n for n in (wanted.name, *wanted.aliases) if n in types]
        if len(columns) == 1:
            found[wanted.name] = columns[0]
        elif not problems or columns:
            problems.append(_no_single(wanted, columns, types))
    return found


def _no_single(feature: Column, columns: Sequence[str], types: Mapping[str, Any]) -> Violation:
    if columns:
        both = " and ".join(map(repr, columns))
        return Violation(feature.name, f"expected one column, found {both}; name one under score.columns")
    return Violation(feature.name, f"{_absent(feature.name, types)}; map one to it under score.columns")


def _absent(column: str, types: Mapping[str, Any]) -> str:
    return f"expected a column {column!r}, found none{suggestion(column, types)}"


def _unique(inspector: sa.Inspector, name: str, schema: str | None) -> list[set[str]]:
    primary = set(inspector.get_pk_constraint(name, schema)["constrained_columns"])
    return [primary, *(set(u["column_names"]) for u in inspector.get_unique_constraints(name, schema))]


def _check_key(stock: Stock, unique: bool) -> None:
    """Raises SourceError for a key that is missing in a row, or shared by rows."""
    columns, named = [stock.table.c[k] for k in stock.key], ", ".join(stock.key)
    empty = sa.select(sa.func.count()).where(stock.condition, sa.or_(*(c.is_(None) for c in columns)))
    stock.count()  # first, since it tells a wrong condition from a wrong key
    with told(stock.engine, f"checking the key of {stock.table.name}"), stock.engine.connect() as connection:
        without = connection.execute(empty.select_from(stock.table)).scalar_one()
        twice = sa.select(*columns).where(stock.condition).group_by(*columns).having(sa.func.count() > 1)
        repeated = None if unique else connection.execute(twice.limit(1)).first()
    remedy = "mend the rows, or name other columns under score.key"
    expected = f"expected {named} to tell the rows of {stock.table.name} apart"
    if without:
        raise SourceError(stock.place, f"{expected}, found {without:,} rows without it", remedy)
    if repeated is not None:
        shared = ", ".join(map(repr, repeated))
        raise SourceError(stock.place, f"{expected}, found several rows with {shared}", remedy)
