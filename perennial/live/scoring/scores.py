"""Where scores go: which columns they have, and a table or columns that are made for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from perennial.config_score import Into, IntoColumns
from perennial.errors import SourceError
from perennial.live.answer import AnswerRule, Answers
from perennial.live.scoring.database import make_table, told
from perennial.live.scoring.stock import Stock, column_of, table_name
from perennial.live.scoring.writing import Place

VERSION, TIME, FLAG, DIGEST = "model_version", "scored_at", "score_flag", "score_digest"


def predicted_name(rule: AnswerRule) -> str:
    """The column of the predicted value: the target's name, with its unit.

    >>> [predicted_name(AnswerRule("regression", *of)) for of in (("price", "GBP"), ("load_mw", "MW"))]
    ['predicted_price_gbp', 'predicted_load_mw']
    """
    unit = re.sub(r"[^a-z0-9]+", "_", rule.unit.lower()).strip("_")
    bare = unit in ("", "1") or rule.target.lower().endswith(f"_{unit}")
    return f"predicted_{rule.target}" if bare else f"predicted_{rule.target}_{unit}"


def score_columns(rule: AnswerRule) -> dict[str, sa.types.TypeEngine[Any]]:
    """The columns of a score and their types: what is predicted, then version, time, flag, digest of the inputs."""
    name = predicted_name(rule)
    answer: dict[str, sa.types.TypeEngine[Any]] = (
        {name: sa.Text(), f"{name}_probability": sa.Double()}
        if rule.task == "classification"
        else {name: sa.Double(), f"{name}_low": sa.Double(), f"{name}_high": sa.Double()}
    )
    moment = sa.String(40).with_variant(sa.DateTime(timezone=True), "postgresql")
    return {**answer, VERSION: sa.String(40), TIME: moment, FLAG: sa.Text(), DIGEST: sa.String(40)}


def score_values(answers: Answers) -> list[list[Any]]:
    """The first columns of `score_columns`, None where there is no answer."""
    if answers.probabilities is not None:
        best = answers.probabilities.max(axis=1)
        return [[name or None for name in answers.prediction.tolist()], _nullable(best)]
    nothing = np.full(len(answers.prediction), np.nan)
    bounds = (nothing if bound is None else bound for bound in (answers.low, answers.high))
    return [_nullable(values) for values in (answers.prediction, *bounds)]


def make_scores(stock: Stock, into: Into, rule: AnswerRule) -> Place:
    """Where scores go, made where it is not there yet.

    Raises:
        SourceError: a table or columns of these names are there, and hold something else.
        DatabaseError: they cannot be made.
    """
    place, columns = place_of(stock, into, rule), score_columns(rule)
    if place.own:
        _make_table(stock, place, columns)
    else:
        _make_columns(stock, columns)
    return place


def find_scores(stock: Stock, into: Into, rule: AnswerRule) -> Place:
    """Where scores are; raises SourceError where no run has written any."""
    place = place_of(stock, into, rule)
    there = _columns_of(stock, place)
    if any(name not in there for name in place.columns):
        raise SourceError(
            stock.place,
            f"expected scores in {place.table.name}, found none",
            "run `python run.py score` first",
        )
    return place


def place_of(stock: Stock, into: Into, rule: AnswerRule) -> Place:
    """Where scores go by the config, whether or not it is there; raises SourceError for the stock table itself."""
    columns = score_columns(rule)
    if isinstance(into, IntoColumns):
        old = [column_of(stock.engine, n, stock.types, stock.key) for n in stock.types]
        new: list[sa.ColumnClause[Any]] = [sa.column(n) for n in columns if n not in stock.types]
        table = sa.table(stock.table.name, *old, *new, schema=stock.table.schema)
        return Place(table, stock.key, tuple(columns), own=False)
    schema, name = table_name(into.name or f"{stock.table.name}_scores")
    schema = schema or stock.table.schema
    if (schema, name) == (stock.table.schema, stock.table.name):
        raise SourceError(
            stock.place,
            f"expected scores in another table than {name}, found the same",
            "mend score.into.name",
        )
    key = [column_of(stock.engine, k, stock.types, stock.key) for k in stock.key]
    table = sa.table(name, *key, *(sa.column(n) for n in columns), schema=schema)
    return Place(table, stock.key, tuple(columns), own=True)


def _columns_of(stock: Stock, place: Place) -> set[str]:
    """The columns that the place has in the database; none where it is not there."""
    table = place.table
    with told(stock.engine, f"looking at {table.name}"):
        inspector = sa.inspect(stock.engine)
        if not inspector.has_table(table.name, table.schema):
            return set()
        return {c["name"] for c in inspector.get_columns(table.name, table.schema)}


def _make_table(stock: Stock, place: Place, columns: dict[str, sa.types.TypeEngine[Any]]) -> None:
    """Raises SourceError for a table that lacks a column."""
    name, schema = place.table.name, place.table.schema
    there = _columns_of(stock, place)
    if not there:
        keys = [
            sa.Column(k, _storable(stock.types[k]), primary_key=True, autoincrement=False) for k in stock.key
        ]
        own = (sa.Column(n, kind) for n, kind in columns.items())
        made = sa.Table(name, sa.MetaData(), *keys, *own, schema=schema)
        make_table(stock.engine, made)
        there = _columns_of(stock, place)
    if absent := [n for n in (*stock.key, *columns) if n not in there]:
        raise SourceError(
            stock.place,
            f"expected the table {name} to hold scores, found it without {', '.join(absent)}",
            "name another table under score.into.name",
        )


def _make_columns(stock: Stock, columns: dict[str, sa.types.TypeEngine[Any]]) -> None:
    """Adds all columns or, where they are there, none; raises SourceError where some of them are there.

    Another run may add them at the same time: of two one is refused, and finds what it wanted.
    """
    there = [name for name in columns if name in stock.types]
    if len(there) == len(columns):
        return
    if there:
        raise SourceError(
            stock.place,
            f"expected {stock.table.name} to have all columns of a score or none, found {', '.join(there)}",
            "rename these, or use score.into.kind=table",
        )
    with told(stock.engine, f"adding columns to {stock.table.name}"):
        try:
            with stock.engine.begin() as connection:
                _add_columns(connection, stock.table, columns)
        except sa.exc.DBAPIError:
            found = sa.inspect(stock.engine).get_columns(stock.table.name, stock.table.schema)
            if not {c["name"] for c in found}.issuperset(columns):
                raise


def _add_columns(
    connection: sa.Connection, table: sa.TableClause, columns: dict[str, sa.types.TypeEngine[Any]]
) -> None:
    dialect = connection.dialect
    prepare = dialect.identifier_preparer
    if dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # its driver would commit column by column
    for name, kind in columns.items():
        connection.exec_driver_sql(
            f"ALTER TABLE {prepare.format_table(table)} ADD COLUMN {prepare.quote(name)} {kind.compile(dialect)}"
        )


def _storable(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """The type of a key in a new table; SQLite's columns may have none, which BLOB stands for."""
    return sa.LargeBinary() if isinstance(kind, sa.types.NullType) else kind


def _nullable(values: npt.NDArray[np.float64]) -> list[Any]:
    listed = values.astype(object)
    listed[~np.isfinite(values)] = None
    return list(listed.tolist())


def joined(flags: Sequence[Sequence[str]]) -> list[str]:
    """Per row its sentences in one text, "" where there is nothing to say."""
    return ["; ".join(texts) for texts in flags]
