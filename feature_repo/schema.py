"""Creates and migrates the database: runs schema.sql when its text is not the applied one."""

import hashlib
from typing import Literal

import psycopg

from feature_repo.database import SCHEMA_SQL, first_line
from feature_repo.errors import NotAllowed, SchemaMissing

State = Literal["missing", "outdated", "current"]


def version() -> str:
    """The sha256 of schema.sql, which is the schema's version."""
    return hashlib.sha256(SCHEMA_SQL.read_bytes()).hexdigest()


def state(connection: psycopg.Connection) -> State:
    """How the database stands to schema.sql: never applied, of another version, or equal."""
    found = connection.execute("SELECT to_regclass('ops.schema_version')").fetchone()
    if found is None or found[0] is None:
        return "missing"
    row = connection.execute("SELECT sha256 FROM ops.schema_version").fetchone()
    return "current" if row is not None and row[0] == version() else "outdated"


def migrate(connection: psycopg.Connection) -> None:
    """Runs schema.sql in one transaction and records its version; again changes nothing."""
    with connection.transaction():
        connection.execute(SCHEMA_SQL.read_bytes())
        connection.execute(
            "INSERT INTO ops.schema_version (sha256) VALUES (%s)"
            " ON CONFLICT (only_row) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = now()",
            [version()],
        )


def require(connection: psycopg.Connection) -> None:
    """Returns when the database was applied.

    Raises:
        SchemaMissing: it was not; says what to run.
    """
    if state(connection) == "missing":
        raise SchemaMissing("the database is empty; run: streamflow apply")


def ensure(connection: psycopg.Connection) -> None:
    """Migrates the schema where it is missing or outdated, for an apply of Feast's own.

    Raises:
        NotAllowed: the role may not; names it and what it lacks.
    """
    if state(connection) not in ("missing", "outdated"):
        return
    try:
        with connection.transaction():
            migrate(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        role, database = connection.info.user, connection.info.dbname
        raise NotAllowed(
            f"role {role} may not create or migrate the schemas online and ops in database"
            f" {database} ({first_line(error)}): grant it CREATE on the database, or apply as the"
            " role that owns them"
        ) from error
