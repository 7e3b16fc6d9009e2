"""The journal in PostgreSQL: one database for all systems; a commit is on the server's disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zlib import crc32

from perennial.errors import InputError, JournalError
from perennial.live.journal.entry import Entry
from perennial.live.journal.tables import statements, tables

if TYPE_CHECKING:
    import sqlalchemy as sa

REMEDY = "start the database or mend its address; predictions go on without the journal"
ROWS_REMEDY = "leave these rows out"
SIZED_ROWS = 100_000
SET_UP_LOCK = crc32(b"perennial journal")


class PostgresStore:
    """The journal of one system at a `postgresql+psycopg://` URL; see `Store`."""

    def __init__(self, system: str, url: str, max_wait_s: float) -> None:
        self.system = system
        self.place = _without_password(url)
        self._url = url
        self._max_wait_s = max_wait_s
        self._ready = False
        self._leading: sa.Connection | None = None
        self._leads = False

    @cached_property
    def _engine(self) -> sa.Engine:
        import sqlalchemy as sa

        wait_ms = max(1, int(self._max_wait_s * 1000))
        own = sa.make_url(self._url).query.get("options", "")
        return sa.create_engine(
            self._url,
            pool_size=2,
            max_overflow=2,
            pool_timeout=self._max_wait_s,
            connect_args={
                "connect_timeout": max(2, round(self._max_wait_s)),
                "tcp_user_timeout": wait_ms,
                "options": f"{own} -c synchronous_commit=on -c lock_timeout={wait_ms} "
                f"-c statement_timeout={wait_ms}",
            },
        )

    @cached_property
    def _insertion(self) -> str:
        """The rows come as one array per column: one round trip, however many there are."""
        table = tables().predictions
        types = [table.c[name].type.compile(self._engine.dialect) for name in Entry._fields]
        names = ", ".join(("system", *Entry._fields))
        arrays = ", ".join(f"%s::{one}[]" for one in types)
        return (
            f"INSERT INTO {table.name} ({names}) SELECT %s, r.* "  # noqa: S608 (names of our own)
            f"FROM unnest({arrays}) r ON CONFLICT DO NOTHING"
        )

    def insert(self, entries: Sequence[Entry]) -> int:
        """Write entries in one statement; returns how many were new, once all are on disk.

        A connection that was cut since it was last used is no trouble of the database's: another one is made, once.
        """
        columns = tuple(list(values) for values in zip(*entries, strict=True))
        try:
            return self._insert(columns)
        except JournalError as error:
            if not getattr(error.__cause__, "connection_invalidated", False):
                raise
            return self._insert(columns)

    def _insert(self, columns: tuple[list[Any], ...]) -> int:
        try:
            with self._transaction() as connection:
                return connection.exec_driver_sql(self._insertion, (self.system, *columns)).rowcount
        except (ValueError, TypeError) as error:
            raise JournalError(self.place, str(error), ROWS_REMEDY, passing=False) from error

    @contextmanager
    def connection(self, write: bool = False, in_turn: bool = False) -> Iterator[sa.Connection]:
        """One transaction, committed at its end; with `write`, no other such transaction of the system beside it.

        Rows of others hold up no insertion, so that there is no turn to wait for.
        """
        import sqlalchemy as sa

        with self._transaction() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            if write:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self._lock)))
            yield connection

    @property
    def _lock(self) -> int:
        """The advisory lock of who writes truth or deletes; that of who leads is the next number."""
        return crc32(self.system.encode()) << 1

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        import sqlalchemy as sa

        try:
            self._set_up()
            with self._engine.begin() as connection:
                yield connection
        except (sa.exc.DataError, sa.exc.IntegrityError) as error:
            raise JournalError(self.place, _told(error), ROWS_REMEDY, passing=False) from error
        except sa.exc.SQLAlchemyError as error:
            self._ready = False
            raise JournalError(self.place, _told(error), REMEDY) from error

    def size_bytes(self) -> int:
        """About the bytes of the system's rows; deleted ones are left to the database's own vacuum.

        Of a large table it measures some 100,000 rows on pages drawn at random, and counts all.
        """
        with self.connection() as connection:
            return sum(self._size_of(connection, table) for table in tables())

    def _size_of(self, connection: sa.Connection, table: sa.Table) -> int:
        import sqlalchemy as sa

        own = table.c.system == self.system
        rows = int(connection.execute(sa.select(sa.func.count()).where(own)).scalar_one())
        share = 100.0 if rows <= SIZED_ROWS else 100.0 * SIZED_ROWS / rows
        mean = (
            f"SELECT avg(pg_column_size(r.*)) FROM {table.name} r "  # noqa: S608 (names of our own)
            f"TABLESAMPLE SYSTEM ({share:.6f}) WHERE system = :system"
        )
        found = connection.execute(sa.text(mean), {"system": self.system}).scalar_one()
        return int(rows * (found or 0))

    def give_back(self) -> None:
        """Nothing: autovacuum does it."""

    def lead(self) -> bool:
        """Whether this store's session has the advisory lock of those who look after the system's journal."""
        import sqlalchemy as sa

        try:
            if self._leading is None:
                self._leading = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if self._leads:
                self._leading.execute(sa.select(1))
            else:
                asked = sa.select(sa.func.pg_try_advisory_lock(self._lock + 1))
                self._leads = bool(self._leading.execute(asked).scalar_one())
        except sa.exc.SQLAlchemyError as error:
            self._let_go()
            raise JournalError(self.place, _told(error), REMEDY) from error
        if not self._leads:
            self._let_go()
        return self._leads

    def _let_go(self) -> None:
        """End the session that leads: a pooled one would keep its lock."""
        if self._leading is not None:
            self._leading.invalidate()
            self._leading.close()
        self._leading, self._leads = None, False

    def close(self) -> None:
        """Close all connections."""
        self._let_go()
        if "_engine" in self.__dict__:
            self._engine.dispose()
            del self._engine
        self._ready = False

    def _set_up(self) -> None:
        """Make tables that are missing, once per connection to a living database."""
        import sqlalchemy as sa

        if self._ready:
            return
        with self._engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SET_UP_LOCK)))
            for statement in statements(self._engine.dialect):
                connection.exec_driver_sql(statement)
        self._ready = True


def _without_password(url: str) -> str:
    import sqlalchemy as sa

    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):
        # What it says may hold a part of the password.
        raise InputError(
            "expected a journal at postgresql://USER:PASSWORD@HOST:PORT/DATABASE, found an address that cannot be "
            "read; write @, / and : in a password as %40, %2F and %3A"
        ) from None


def _told(error: Exception) -> str:
    """The first line of what the database said; the statement and its values stay out of logs."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(error).__name__])[0]
