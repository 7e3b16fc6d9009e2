"""Writing many rows at once: all of them or none, and never a row twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

BATCH = "perennial_batch"


@dataclass(frozen=True)
class Place:
    """Where rows are written.

    Attributes:
        table: the table, with the columns of key and values at least.
        key: the columns that tell its rows apart.
        columns: the columns of the values, in the order in which they are written.
        own: whether rows may be added; else only values of rows that are there are written.
    """

    table: sa.TableClause
    key: tuple[str, ...]
    columns: tuple[str, ...]
    own: bool


def write(connection: sa.Connection, place: Place, rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows of key and values in place of what their keys had; must run in a transaction of its own."""
    if not rows:
        return
    dialect = connection.dialect
    if (dialect.name, dialect.driver) == ("postgresql", "psycopg"):
        _copy(connection, place, rows)
    elif not place.own:
        _execute(connection, _update(place), rows, place)
    elif dialect.name in ("sqlite", "postgresql"):
        _execute(connection, _upsert(place, dialect.name), rows, place)
    else:
        replace(connection, place, rows)


def replace(connection: sa.Connection, place: Place, rows: Sequence[tuple[Any, ...]]) -> None:
    """What `write` does in a database without a statement that inserts or updates: delete, and insert."""
    gone = sa.delete(place.table).where(*(place.table.c[k] == sa.bindparam(f"b_{k}") for k in place.key))
    connection.execute(gone, [{f"b_{k}": v for k, v in zip(place.key, row, strict=False)} for row in rows])
    _execute(connection, sa.insert(place.table).values(_bound(place)), rows, place)


def _execute(
    connection: sa.Connection, statement: sa.Executable, rows: Sequence[tuple[Any, ...]], place: Place
) -> None:
    """Many rows at once; where the driver takes tuples it gets them, without a dictionary per row in between."""
    names = [f"b_{name}" for name in (*place.key, *place.columns)]
    compiled = statement.compile(dialect=connection.dialect)  # type: ignore[attr-defined]
    if compiled.positional and not compiled._bind_processors:
        order = [names.index(name) for name in compiled.positiontup]
        connection.exec_driver_sql(str(compiled), [tuple(row[i] for i in order) for row in rows])
    else:
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def _bound(place: Place) -> dict[str, sa.BindParameter[Any]]:
    return {n: sa.bindparam(f"b_{n}", type_=place.table.c[n].type) for n in (*place.key, *place.columns)}


def _update(place: Place) -> sa.Update:
    bound, table = _bound(place), place.table
    return (
        sa.update(table)
        .where(*(table.c[k] == bound[k] for k in place.key))
        .values({n: bound[n] for n in place.columns})
    )


def _upsert(place: Place, dialect: str) -> sa.Insert:
    from sqlalchemy.dialects import postgresql, sqlite

    module: Any = sqlite if dialect == "sqlite" else postgresql
    insert = module.insert(place.table).values(_bound(place))
    found: sa.Insert = insert.on_conflict_do_update(
        index_elements=place.key, set_={n: insert.excluded[n] for n in place.columns}
    )
    return found


def _copy(connection: sa.Connection, place: Place, rows: Sequence[tuple[Any, ...]]) -> None:
    """PostgreSQL's COPY into a table of this transaction, and one statement from there."""
    from sqlalchemy.dialects import postgresql

    names = (*place.key, *place.columns)
    empty = sa.select(*(place.table.c[n] for n in names)).where(sa.false())
    text = str(empty.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {BATCH} ON COMMIT DROP AS {text}")
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {BATCH} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    batch = sa.table(BATCH, *(sa.column(n) for n in names))
    if not place.own:
        matching = (place.table.c[k] == batch.c[k] for k in place.key)
        connection.execute(
            sa.update(place.table).where(*matching).values({n: batch.c[n] for n in place.columns})
        )
        return
    insert = postgresql.insert(place.table).from_select(names, sa.select(*batch.c))
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=place.key, set_={n: insert.excluded[n] for n in place.columns}
        )
    )
