"""Four database roles, each with the rights that its commands need and no more.

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
from jobs.roles.logins import Entrance, make
from jobs.roles.names import Names, Passwords, entrances
from jobs.run import waiting
from streamflow.errors import StoreUnavailable, StreamflowError
from streamflow.postgres import migrate as schema
from streamflow.postgres.connect import connect, first_line, lock

ROLES_SQL = Path(__file__).with_name("roles.sql")
REGISTRY_TABLES = ("feature_views", "stream_feature_views")
"""Of Feast's registry, those on which a role has other rights than on the rest."""
LOCK_WAIT_MS = 2000
"""How long others may have to wait behind a change of a table that waits itself."""


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
    said: list[str] = []
    entered = entrances(names, given)
    waiting.until(lambda: said.extend(attempt(names, entered)), "the tables")
    return said


def attempt(names: Names, entered: dict[str, Entrance]) -> list[str]:
    """Does it, all or nothing."""
    # The lock of `apply`, which makes tables that would otherwise be missed.
    with (
        connect(autocommit=True) as connection,
        lock(connection, "apply"),
        explained(),
        connection.transaction(),
    ):
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        roles = {one.role: one.role for one in entered.values()}
        roles |= {one.login: one.role for one in entered.values()}
        require_rights(connection, [*roles])
        require_plain(connection, roles)
        made = {part: make(connection, one) for part, one in entered.items()}
        act_as(connection, names.owner, [one.login for one in entered.values()])
        schema.migrate(connection)
        create_registry_tables(connection)
        grant(connection, names)
        moved = hand_over(connection, names.owner)
    return [
        f"{made['owner']}; owns {', '.join(SCHEMAS)}, {moved} objects handed over",
        f"{made['writer']}; may ingest and materialize",
        f"{made['trainer']}; may build training sets",
        f"{made['reader']}; may read online features",
    ]


@contextmanager
def explained() -> Iterator[None]:
    """Turns what PostgreSQL has against a change into ours; the cause is kept."""
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
    """Lets the current role do what the owner may, and end connections of the logins.

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
    """Makes the tables of Feast's registry that need rights of their own, as Feast would.

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
    database = sql.Identifier(row[0])  # a pooler may have another name for it
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
    ORDER BY turn, CASE WHEN what = 'TABLE ops.catalog' THEN 1
        WHEN starts_with(what, 'TABLE online.') THEN 2 ELSE 0 END, what"""  # noqa: S608
"""What is not the owner's yet, as ALTER names it.

What the API reads comes last, so that its reads wait for nothing else, and in the order in which it
reads, so that neither waits for the other.
"""
