"""The one module that opens connections to PostgreSQL."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from feature_repo import settings
from feature_repo.errors import NotAllowed, SchemaMissing, StoreUnavailable
from feature_repo.refusals import refused

SCHEMA_SQL = Path(__file__).with_name("schema.sql")


@contextmanager
def connect(autocommit: bool = False) -> Iterator[psycopg.Connection]:
    """A connection to the database of the PG* variables, in UTC, committed at the end.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong.
        StoreUnavailable: the server does not answer, refuses the login, or goes away.
        SchemaMissing: a schema, table or column is not there.
    """
    where = settings.postgres()
    with translated(where):
        connection = psycopg.connect(
            host=where.host,
            port=where.port,
            user=where.user,
            password=where.password or None,
            dbname=where.database,
            sslmode=where.sslmode,
            connect_timeout=settings.streamflow().connect_timeout_s,
            autocommit=autocommit,
            keepalives_idle=30,
            # A killed process's statement ends soon, also one that waits for a lock.
            options=f"{os.environ.get('PGOPTIONS', '')} -c client_connection_check_interval=5s",
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
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"PostgreSQL{place(where)}: {first_line(error)}") from error
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
    """Which server and database, for a message."""
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
def lock(
    connection: psycopg.Connection, name: str, wait: bool = True
) -> Iterator[Literal["free", "waited", "busy"]]:
    """Holds the advisory lock `name` on `connection`; it goes with a killed process.

    Yields how it was got: it was free, or after a wait as long as it took. With `wait` False
    it may also be busy, and is then not held.
    """
    key = [lock_key(name)]
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", key).fetchone()
    if row is not None and row[0]:
        got: Literal["free", "waited"] = "free"
    elif wait:
        connection.execute("SELECT pg_advisory_lock(%s)", key)
        got = "waited"
    else:
        yield "busy"
        return
    try:
        yield got
    finally:
        unlock(connection, name)


def unlock(connection: psycopg.Connection, name: str) -> None:
    """Gives the advisory lock `name` back, also after a failed statement."""
    if connection.closed or connection.broken:
        return
    if connection.info.transaction_status == TransactionStatus.INERROR:
        connection.rollback()
    connection.execute("SELECT pg_advisory_unlock(%s)", [lock_key(name)])


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
