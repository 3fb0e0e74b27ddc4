"""Inspects, creates, renames and exchanges the databases of a restore."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import Connection, sql

from jobs.backup.manifest import is_data
from streamflow.errors import ConfigurationError, StreamflowError
from streamflow.postgres.connect import connect, first_line
from streamflow.postgres.options import has_sessions

ADMIN = "postgres"
"""The database to connect to while another one is renamed."""
RESTORED = re.compile(r"restored from (?P<backup>\S+)(?:, as asked by: (?P<request>.+))?")
"""The comment that a restored database has."""
SWITCH_S = 60
"""Seconds to try to rename databases whose clients keep reconnecting."""


@dataclass(frozen=True)
class State:
    """The state of a database before a restore."""

    exists: bool
    backup: str = ""
    """The backup it was restored from."""
    request: str = ""
    """The request of that restore."""
    data: str = ""
    """A table with rows that a restore would replace."""
    bare: bool = True
    """True if it has no table."""
    has_grants: bool = False
    """True if rights on the database itself were granted or revoked."""


@contextmanager
def connected(database: str, autocommit: bool = False) -> Iterator[Connection]:
    """Connects to another database of the same server; its errors become StreamflowError.

    Raises:
        ConfigurationError: there is a pooler, and no address of the server itself.
    """
    if not has_sessions():
        raise ConfigurationError(
            "databases are restored on the server itself: set STREAMFLOW_DIRECT_HOST"
        )
    before = os.environ.get("PGDATABASE")
    os.environ["PGDATABASE"] = database
    try:
        with connect(autocommit=autocommit, direct=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise StreamflowError(f"database {database}: {first_line(error)}") from error
    finally:
        if before is None:
            del os.environ["PGDATABASE"]
        else:
            os.environ["PGDATABASE"] = before


def require_server() -> None:
    """Connects once, to see that the server answers, whichever databases it has."""
    with connected(ADMIN):
        pass


def state(database: str, what: str) -> State:
    """Inspects a database; `what` it is (`streamflow`, `prefect`) decides which rows are data."""
    with connected(ADMIN) as connection:
        row = connection.execute(ABOUT, [database]).fetchone()
    if row is None:
        return State(exists=False)
    comment, has_grants = row[0] or "", row[1]
    with connected(database) as connection:
        tables = connection.execute(TABLES).fetchall()
        data = [
            f"{of}.{table}"
            for of, table in tables
            if is_data(what, of, table) and has_rows(connection, of, table)
        ]
    mark = RESTORED.fullmatch(comment)
    backup, request = (mark["backup"], mark["request"] or "") if mark else ("", "")
    return State(True, backup, request, data[0] if data else "", not tables, has_grants)


def has_rows(connection: Connection, of: str, table: str) -> bool:
    """True if a table has a row."""
    query = sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(of, table))
    return connection.execute(query).fetchone() is not None


def row_counts(database: str) -> dict[str, int]:
    """The number of rows of every table, `schema.table`."""
    found = {}
    with connected(database) as connection:
        for of, table in connection.execute(TABLES).fetchall():
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(of, table))
            ((found[f"{of}.{table}"],),) = connection.execute(query).fetchall()
    return found


def may_replace(database: str) -> bool:
    """True if the role of the PG* variables may create databases and rename this one."""
    with connected(ADMIN) as connection:
        return connection.execute(MAY_REPLACE, [database]).fetchone() == (True,)


def create(name: str, like: str) -> None:
    """Creates an empty database with encoding and locale of `like`; one of that name is dropped."""
    with connected(ADMIN, autocommit=True) as connection:
        row = connection.execute(LOCALE, [like]).fetchone()
        options = sql.SQL(row[0] if row else "")
        new = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(new))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 {}").format(new, options))


def switch(database: str, into: str, backup: str, request: str, keeps: bool) -> str | None:
    """Renames `into` to `database`, after ending the connections of both; marks it as RESTORED.

    Returns:
        The name that the former database has now; None where it was removed, or never was.
    """
    aside = f"{database[:38]}_before_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    mark = sql.SQL("COMMENT ON DATABASE {} IS {}").format(
        sql.Identifier(database), sql.Literal(f"restored from {backup}, as asked by: {request}")
    )
    with connected(ADMIN, autocommit=True) as connection:
        if into == database:
            if may_replace(database):  # only an owner may comment
                connection.execute(mark)
            return None
        give_up = time.monotonic() + SWITCH_S
        while True:
            try:
                with connection.transaction():
                    former = rename(connection, database, aside)
                    rename(connection, into, database)
                    connection.execute(mark)
                break
            except psycopg.errors.ObjectInUse:  # a client has reconnected in between
                if time.monotonic() > give_up:
                    raise
        if former and not keeps:
            old = sql.Identifier(aside)
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(old))
        return aside if former and keeps else None


def rename(connection: Connection, name: str, to: str) -> bool:
    """Renames a database after ending its connections; returns False if there is none."""
    if connection.execute(ABOUT, [name]).fetchone() is None:
        return False
    connection.execute(END, [name])
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))
    )
    return True


ABOUT = """
    SELECT shobj_description(oid, 'pg_database'), datacl IS NOT NULL
    FROM pg_database WHERE datname = %s"""
"""A database's comment, and true where rights on it differ from PostgreSQL's defaults."""

TABLES = """
    SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1, 2"""
"""The tables whose rows are counted, the same as when a dump is made."""

MAY_REPLACE = """
    SELECT (rolsuper OR rolcreatedb) AND coalesce(
        (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = %s), true)
    FROM pg_roles WHERE rolname = current_user"""
"""Creating a database takes a right of the role, renaming one takes ownership as well."""

LOCALE = """
    SELECT format('ENCODING %%L LC_COLLATE %%L LC_CTYPE %%L LOCALE_PROVIDER ',
                  pg_encoding_to_char(encoding), datcollate, datctype)
        || CASE datlocprovider WHEN 'b' THEN format('builtin BUILTIN_LOCALE %%L', datlocale)
           WHEN 'i' THEN format('icu ICU_LOCALE %%L', datlocale) ELSE 'libc' END
    FROM pg_database WHERE datname = %s"""
"""The encoding and locale of a database as options of CREATE DATABASE."""

END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
"""Ends all connections to a database."""
