"""Somebody's own database: opening it by a reference, and what it says when something is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from perennial.errors import DatabaseError, InputError, SourceError

POSTGRES = ("postgres", "postgresql")
LOCK_WAIT_S = 30


def open_database(reference: str, environment: Mapping[str, str] = os.environ) -> sa.Engine:
    """The database behind `env:NAME`, `sqlite:///FILE` or the path of an SQLite file; it has answered once.

    Raises:
        InputError: the variable is not set, or what it holds is no URL.
        SourceError: the database or its driver is not there, or does not let us in.
    """
    url = _url(reference, environment)
    _check_file(url)
    place = shown(url)
    options = {"timeout": LOCK_WAIT_S} if url.get_backend_name() == "sqlite" else {}
    try:
        engine = sa.create_engine(url, connect_args=options)
    except sa.exc.NoSuchModuleError as error:
        raise SourceError(
            place, f"expected a database that SQLAlchemy knows, found {url.drivername}", "mend the URL"
        ) from error
    except ModuleNotFoundError as error:
        raise SourceError(
            place, f"expected its driver, found no package {error.name}", "install it, or name another driver"
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _read_any_text)
    try:
        sa.inspect(engine).get_table_names()
        return engine
    except sa.exc.SQLAlchemyError as error:
        raise SourceError(
            place, f"expected an answer, found: {first_line(error)}", "start it, or mend the URL"
        ) from error


def shown(url: sa.URL) -> str:
    """A URL without its password and its options, for messages."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def told(engine: sa.Engine, what: str, remedy: str = "run the same command again to go on") -> Iterator[None]:
    """A block in which whatever the database raises becomes a DatabaseError: one line, without rows or secrets."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        raise DatabaseError(shown(engine.url), f"{what} failed ({first_line(error)})", remedy) from error


def make_table(engine: sa.Engine, table: sa.Table) -> None:
    """Makes a table where it is not there; raises DatabaseError where it cannot be made.

    Of two who make it at once PostgreSQL refuses one, in spite of IF NOT EXISTS; then it is there.
    """
    with told(engine, f"making the table {table.name}"):
        if sa.inspect(engine).has_table(table.name, table.schema):
            return
        try:
            with engine.begin() as connection:
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
        except sa.exc.DBAPIError:
            if not sa.inspect(engine).has_table(table.name, table.schema):
                raise


def first_line(error: BaseException) -> str:
    """The first line of what the driver said; the statement and its values stay out of it."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]


def _url(reference: str, environment: Mapping[str, str]) -> sa.URL:
    text = reference
    if reference.startswith("env:"):
        name = reference.removeprefix("env:")
        text = environment.get(name, "")
        if not text:
            raise InputError(
                f"expected the environment variable {name} to hold the URL of the database, found none; set it"
            )
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InputError(
            f"expected a URL such as postgresql://user:password@host/database behind {reference}, found none"
        ) from error
    return url.set(drivername="postgresql+psycopg") if url.drivername in POSTGRES else url


def _check_file(url: sa.URL) -> None:
    """SQLite makes a file that is missing; nobody's rows are in such a file."""
    if url.get_backend_name() != "sqlite" or (url.database or "").startswith("file:"):
        return
    if not url.database or not Path(url.database).is_file():
        raise SourceError(
            shown(url),
            "expected an SQLite file, found none",
            "mend score.url; it counts from the folder you are in",
        )


def _read_any_text(connection: object, record: object) -> None:
    """Bytes that are no UTF-8 cost one odd letter, and not the run."""
    connection.text_factory = lambda data: str(data, "utf-8", "replace")  # type: ignore[attr-defined]
