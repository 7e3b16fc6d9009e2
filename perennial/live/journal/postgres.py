"""The journal in PostgreSQL: one database for all systems; a commit is on the server's disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING
from zlib import crc32

from perennial.errors import JournalError
from perennial.live.journal.entry import Entry
from perennial.live.journal.tables import statements, tables

if TYPE_CHECKING:
    import sqlalchemy as sa

REMEDY = "start the database or mend its address; predictions go on without the journal"
ROWS_REMEDY = "leave these rows out"
SET_UP_LOCK = crc32(b"perennial journal")


class PostgresStore:
    """The journal of one system at a `postgresql+psycopg://` URL; see `Store`."""

    def __init__(self, system: str, url: str, max_wait_s: float) -> None:
        self.system = system
        self.place = _without_password(url)
        self._url = url
        self._max_wait_s = max_wait_s
        self._ready = False

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
        """Write entries in one statement; returns how many were new, once all are on disk."""
        columns = tuple(list(values) for values in zip(*entries, strict=True))
        try:
            with self._transaction() as connection:
                return connection.exec_driver_sql(self._insertion, (self.system, *columns)).rowcount
        except (ValueError, TypeError) as error:
            raise JournalError(self.place, str(error), ROWS_REMEDY, passing=False) from error

    @contextmanager
    def connection(self, write: bool = False) -> Iterator[sa.Connection]:
        """One transaction, committed at its end; with `write`, no other such transaction of the system beside it."""
        import sqlalchemy as sa

        with self._transaction() as connection:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            if write:
                lock = crc32(self.system.encode()) << 1
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
            yield connection

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
        """The bytes of the system's rows; deleted ones are left to the database's own vacuum."""
        import sqlalchemy as sa

        query = "SELECT coalesce(sum(pg_column_size(r.*)), 0) FROM {} r WHERE system = :system"
        with self.connection() as connection:
            return sum(
                int(connection.execute(sa.text(query.format(t.name)), {"system": self.system}).scalar_one())
                for t in tables()
            )

    def give_back(self) -> None:
        """Nothing: autovacuum does it."""

    def close(self) -> None:
        """Close all connections."""
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

    return sa.make_url(url).render_as_string(hide_password=True)


def _told(error: Exception) -> str:
    """The first line of what the database said; the statement and its values stay out of logs."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(error).__name__])[0]
