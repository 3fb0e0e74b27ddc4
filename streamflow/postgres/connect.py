"""The one module that opens connections to PostgreSQL."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from streamflow import settings
from streamflow.errors import (
    ConfigurationError,
    NotAllowed,
    SchemaMissing,
    StoreUnavailable,
)
from streamflow.postgres import locks
from streamflow.postgres import options as connection_options
from streamflow.postgres.refusals import refused


@contextmanager
def connect(autocommit: bool = False, direct: bool = False) -> Iterator[psycopg.Connection]:
    """A connection to the database of the PG* variables, in UTC, committed at the end.

    Args:
        autocommit: each statement is a transaction of its own.
        direct: to the server itself where the PG* variables name a pooler, see settings.py.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong.
        StoreUnavailable: the server does not answer, refuses the login, or goes away.
        SchemaMissing: a schema, table or column is not there.
    """
    where = settings.postgres()
    with translated(where):
        connection = psycopg.connect(
            **connection_options.address(where, direct),
            **connection_options.for_psycopg(connection_options.CHECKED, direct=direct),
            autocommit=autocommit,
        )
        with connection:
            yield connection


@contextmanager
def translated(where: settings.PostgresSettings | None = None) -> Iterator[None]:
    """Turns the driver's errors into ours; the cause is kept."""
    try:
        yield
    except psycopg.DataError as error:
        if found := refused(error):
            raise found from error
        raise
    except (psycopg.OperationalError, psycopg.errors.DuplicatePreparedStatement) as error:
        said = f"PostgreSQL{place(where)}: {first_line(error)}"
        if connection_options.is_of_a_pooler(str(error)):
            raise ConfigurationError(f"{said}; {connection_options.NAME_THE_POOLER}") from error
        raise StoreUnavailable(said) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise read_only(error, where) from error
    except psycopg.errors.InsufficientPrivilege as error:
        role = f"role {where.user}: " if where else ""
        raise NotAllowed(f"{role}{first_line(error)}") from error
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InvalidSchemaName,
    ) as error:
        raise SchemaMissing(
            f"the database is not as this version needs it ({first_line(error)}); "
            "run: streamflow apply"
        ) from error


def place(where: settings.PostgresSettings | None) -> str:
    """The server and the database, for a message."""
    return f" at {where.host}:{where.port}/{where.database}" if where else ""


def read_only(
    error: BaseException, where: settings.PostgresSettings | None = None
) -> StoreUnavailable:
    """Says that the server takes no writes: a standby, or one that was set to read-only."""
    return StoreUnavailable(f"PostgreSQL{place(where)} is read-only: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def lock_key(name: str) -> int:
    """The advisory lock key of `name`, the same in every process and version."""
    return zlib.crc32(f"streamflow:{name}".encode())


@contextmanager
def lock(connection: psycopg.Connection, name: str, wait: bool = True) -> Iterator[locks.Got]:
    """Holds the advisory lock `name` for the work on `connection`; it goes with a killed process.

    Yields how it was got: it was free, or after a wait as long as it took. With `wait` False
    it may also be busy, and is then not held.

    Raises:
        psycopg.OperationalError: a connection of its own that held it was lost, so that others
            may have worked at the same time.
    """
    with locks.keeping(connection) as keeper:
        got = keeper.take(lock_key(name), wait=wait)
        if got == "busy":
            yield got
            return
        try:
            yield got
            keeper.confirm()
        finally:
            keeper.release(lock_key(name))


def create_database(name: str) -> bool:
    """Creates the database `name` on the server of the PG* variables; False if it was there."""
    with connect(autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return False  # another command was faster
    return True
