"""Five database roles, each with the rights that its commands need and no more.

roles.sql says which rights. Idempotent, in one transaction: a second run sets the
passwords anew and takes away what was granted besides; a killed one leaves what was there.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from jobs.roles.allowed import OBJECTS, SCHEMAS, require_plain, require_rights
from jobs.roles.logins import Login, make
from jobs.roles.names import Names, Passwords, logins_of
from jobs.run import waiting
from streamflow.errors import StoreUnavailable, StreamflowError
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect, first_line, lock

ROLES_SQL = Path(__file__).with_name("roles.sql")
REGISTRY_TABLES = ("feature_views", "stream_feature_views")
"""The tables of Feast's registry on which a role has other rights than on the rest."""
LOCK_WAIT_MS = 2000
"""The longest time that others wait behind a change of a table which waits for a lock itself."""


class InUse(StoreUnavailable):
    """A table is in use by a long statement; nothing was changed."""


def set_up(names: Names, given: Passwords) -> list[str]:
    """Creates or updates the roles, hands the schemas over to the owner, and grants the rights.

    The schemas are created or migrated first, so that there is something to grant rights on.
    Connections that are open stay open, with the rights of now. A table that is in use is waited
    for STREAMFLOW_WAIT_S seconds, without holding anything.

    Returns:
        What was done, a line for each role.

    Raises:
        ConfigurationError: a role of that name has more rights than it may have.
        StreamflowError: the role of the PG* variables may not do this; says what it lacks. Or
            a table was in use for too long. Nothing was changed.
    """
    lines: list[str] = []
    logins = logins_of(names, given)
    waiting.until(lambda: lines.extend(attempt(names, logins)), "the tables")
    return lines


def attempt(names: Names, logins: dict[str, Login]) -> list[str]:
    """Sets up roles and rights in one transaction, or changes nothing."""
    # The lock of `apply`, whose new tables would otherwise be missed.
    with (
        connect(autocommit=True) as connection,
        lock(connection, "apply"),
        refusals_explained(),
        connection.transaction(),
    ):
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        roles = {login.role: login.role for login in logins.values()}
        roles |= {login.name: login.role for login in logins.values()}
        require_rights(connection, [*roles])
        require_plain(connection, roles)
        made = {part: make(connection, login) for part, login in logins.items()}
        act_as(connection, names.owner, [login.name for login in logins.values()])
        schema.migrate(connection)
        create_registry_tables(connection)
        grant(connection, names)
        moved = hand_over(connection, names.owner)
    return [
        f"{made['owner']}; owns {', '.join(SCHEMAS)}, {moved} objects handed over",
        f"{made['writer']}; may ingest and materialize",
        f"{made['trainer']}; may build training sets",
        f"{made['reader']}; may read online features and note who asks",
        f"{made['viewer']}; may read everything and write nothing",
    ]


@contextmanager
def refusals_explained() -> Iterator[None]:
    """Raises StreamflowError in place of PostgreSQL's refusals, with their cause."""
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise InUse(
            "a table is in use by a long statement; nothing was changed, try again"
        ) from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise StreamflowError(f"nothing was changed: {first_line(error)}") from error


def act_as(connection: Connection, owner: str, logins: Iterable[str]) -> None:
    """Grants the current role the owner's rights and the right to end connections of the logins.

    A superuser may anyway. A restore ends connections before it puts a database in place.
    """
    if connection.execute("SHOW is_superuser").fetchone() == ("on",):
        return
    for name in dict.fromkeys((owner, *logins)):
        connection.execute(
            sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET {}").format(
                sql.Identifier(name), sql.SQL("TRUE" if name == owner else "FALSE")
            )
        )


def create_registry_tables(connection: Connection) -> None:
    """Creates the registry tables that need rights of their own, with Feast's own definitions.

    It makes the others itself when `apply` first runs, which is known by their being there.
    """
    missing = [
        name
        for name in REGISTRY_TABLES
        if connection.execute("SELECT to_regclass(%s)", [f"registry.{name}"]).fetchone() == (None,)
    ]
    if not missing:
        return
    from feast.infra.registry.sql import metadata
    from sqlalchemy import create_mock_engine

    def run(statement: Any, *_: Any, **__: Any) -> None:
        connection.execute(str(statement.compile(dialect=engine.dialect)))

    engine = create_mock_engine("postgresql+psycopg://", run)
    connection.execute("SET LOCAL search_path = registry")
    metadata.create_all(engine, [metadata.tables[name] for name in missing], checkfirst=False)


def grant(connection: Connection, names: Names) -> None:
    """Runs roles.sql with these names."""
    row = connection.execute("SELECT current_database()").fetchone()
    assert row is not None  # noqa: S101  # a SELECT without FROM gives one row
    database = sql.Identifier(row[0])  # a pooler may call it by another name
    roles = {part: sql.Identifier(name) for part, name in asdict(names).items()}
    connection.execute(sql.SQL(ROLES_SQL.read_text()).format(database=database, **roles))


def hand_over(connection: Connection, owner: str) -> int:
    """Makes `owner` the owner of the schemas and all that is in them; gives how many were not."""
    found = connection.execute(NOT_OWNED, {"schemas": SCHEMAS, "owner": owner}).fetchall()
    for (what,) in found:
        connection.execute(
            sql.SQL("ALTER {} OWNER TO {}").format(sql.SQL(what), sql.Identifier(owner))
        )
    return len(found)


NOT_OWNED = f"""
    SELECT what FROM ({OBJECTS}) AS objects
    WHERE owner <> (SELECT oid FROM pg_roles WHERE rolname = %(owner)s)
    ORDER BY turn, CASE WHEN what IN ('TABLE ops.catalog', 'TABLE ops.further_catalogs') THEN 1
        WHEN starts_with(what, 'TABLE online.') THEN 2 ELSE 0 END, what"""  # noqa: S608
"""The objects that are not the owner's yet, in the words of ALTER.

What the API reads comes last, so that its reads wait for nothing else, and in the order in which it
reads, so that neither waits for the other.
"""
