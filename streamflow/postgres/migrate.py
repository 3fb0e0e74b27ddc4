"""Brings the database to this version's schema, and says how the two stand to each other."""

from typing import Literal

import psycopg

from streamflow.errors import ConfigurationError, NotAllowed, SchemaMissing
from streamflow.postgres import migrations
from streamflow.postgres.connect import first_line
from streamflow.postgres.migrations import Migration

State = Literal["missing", "outdated", "current", "newer"]


def state(connection: psycopg.Connection) -> State:
    """The state of the database to this version: never applied, to be migrated, equal, or later.

    Raises:
        SchemaTooNew: it is of a later version, and this one cannot use it.
        ConfigurationError: a migration was applied with another text than this version has.
    """
    if not exists(connection, "ops.schema_version"):
        return "missing"
    require_usable(connection)
    if max(applied(connection), default=0) > migrations.newest():
        return "newer"
    return "outdated" if pending(connection) else "current"


def pending(connection: psycopg.Connection) -> list[Migration]:
    """The migrations that have to run, all of them where an earlier version put its text over them.

    Raises as `state` does.
    """
    found = applied(connection)
    for one in migrations.known():
        if found.get(one.number, one.sha256) != one.sha256:
            raise ConfigurationError(
                f"migration {one.number} ({one.name}) was applied with another text than this"
                " version has; what was applied never changes, a change is a migration of its own"
            )
    everything = is_overwritten(connection)
    return [one for one in migrations.known() if everything or one.number not in found]


def applied(connection: psycopg.Connection) -> dict[int, str]:
    """The hash of each migration that ran here, by its number."""
    if not exists(connection, "ops.migrations"):
        return {}
    return dict(connection.execute("SELECT number, sha256 FROM ops.migrations").fetchall())


def is_overwritten(connection: psycopg.Connection) -> bool:
    """True where a version from before the numbers ran its schema.sql after this one's migrations.

    It enters the hash of its text. That of 0001 stands there otherwise, so that the version which
    had that text leaves the schema alone.
    """
    if not exists(connection, "ops.schema_version"):
        return False
    row = connection.execute("SELECT sha256 FROM ops.schema_version").fetchone()
    return row != (migrations.known()[0].sha256,)


def exists(connection: psycopg.Connection, table: str) -> bool:
    """True where there is such a table."""
    return connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,)


def migrate(connection: psycopg.Connection, quick: bool = False) -> bool:
    """Runs the migrations that are missing, a transaction each; gives whether there were any.

    The next run goes on where one was killed. A later version's schema stays as it is.

    Args:
        quick: leave indexes out, as for a look that is undone afterwards.

    Raises as `state` does.
    """
    if state(connection) not in ("missing", "outdated"):
        return False
    for one in pending(connection):
        if quick and one.only_indexes:
            continue
        with connection.transaction():
            connection.execute(LIST)
            connection.execute(one.text)
            row = connection.execute(migrations.USABLE_FROM).fetchone()
            connection.execute(ENTER, [one.number, one.name, one.sha256, one.usable_from])
            if row is not None and one.usable_from > row[0]:
                for table in ("ops.catalog", "ops.further_catalogs"):
                    if exists(connection, table):
                        connection.execute(TELL.format(table))
    connection.execute(MARK, [migrations.known()[0].sha256])
    return True


LIST = """
    CREATE SCHEMA IF NOT EXISTS ops;
    CREATE TABLE IF NOT EXISTS ops.migrations (
        number      integer     NOT NULL PRIMARY KEY,
        name        text        NOT NULL,
        sha256      text        NOT NULL,
        usable_from integer     NOT NULL,
        applied_at  timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON COLUMN ops.migrations.usable_from IS
        'The newest migration that a version must have to use the schema after this one.'"""
"""The list of migrations that ran here; see streamflow/postgres/migrations."""

ENTER = """
    INSERT INTO ops.migrations (number, name, sha256, usable_from)
    VALUES (%s, %s, %s, %s)
    ON CONFLICT (number) DO UPDATE SET applied_at = now()"""
"""One migration."""

TELL = "UPDATE {} SET version = version + 1"
"""Makes an API that runs look again, which may be of a version that cannot use the new schema."""

MARK = """
    INSERT INTO ops.schema_version (sha256) VALUES (%s)
    ON CONFLICT (only_row) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = now()
    WHERE schema_version.sha256 <> EXCLUDED.sha256"""
"""The entry that versions from before the numbers look at."""


def require(connection: psycopg.Connection) -> None:
    """Returns when the database was applied, by a version whose schema this one can use.

    Raises:
        SchemaMissing: it was not; says what to run.
        SchemaTooNew: it was by a later version.
    """
    if not exists(connection, "ops.schema_version"):
        raise SchemaMissing("the database is empty; run: streamflow apply")
    require_usable(connection)


def require_usable(connection: psycopg.Connection) -> None:
    """Returns when this version can use the schema, also an empty or an older one.

    So it does where the current role may not read the list: then an earlier version granted the
    rights, and whoever may apply is told.

    Raises:
        SchemaTooNew: it cannot.
    """
    if connection.execute(migrations.IS_READABLE).fetchone() == (True,):
        row = connection.execute(migrations.USABLE_FROM).fetchone()
        migrations.require_usable(row[0] if row else 1)


def ensure(connection: psycopg.Connection) -> None:
    """Migrates the schema where it is missing or outdated, for an apply of Feast's own.

    Raises:
        NotAllowed: the role may not; names it and what it lacks.
        SchemaTooNew: the schema is of a later version, which this one cannot use.
    """
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
