"""Creates, migrates and drops the typed online tables.

Readers are never locked out: every change is one of the catalog alone (no row is rewritten),
and a lock that is not free at once is given up and asked for again, so that no queue of
readers forms behind it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from feature_repo.database import lock_key
from feature_repo.errors import ConfigurationError, StoreUnavailable
from feature_repo.online_layout import SCHEMA, Column, Layout, tables

log = logging.getLogger(__name__)

LOCK_WAIT_MS = 200
"""How long a reader may have to wait behind a change that waits itself."""
ATTEMPTS = 100
MOST_COLUMNS = 1600
"""PostgreSQL's limit for a table; dropped columns count."""


@dataclass(frozen=True)
class Existing:
    """A table as the database has it."""

    keys: tuple[Column, ...]
    columns: dict[str, str]
    """PostgreSQL's type by column, the primary key's left out."""
    views: dict[str, str]
    """The view (with its version) that each column belongs to."""
    ever: int
    """Columns the table ever had, dropped ones included."""


def migrate(
    connection: psycopg.Connection,
    project: str,
    layouts: Sequence[Layout],
    keep: Collection[str],
    also: Callable[[], None] = lambda: None,
) -> None:
    """Makes the tables of `project` those of `layouts`, in one transaction.

    A column whose type changed, or that is new, is null until the next materialization.

    Args:
        connection: in autocommit mode.
        project: Feast's project; tables of others stay as they are.
        layouts: of all views that are stored.
        keep: names of views whose older versions (`view@v1`) stay.
        also: runs in the same transaction, after the change.

    Raises:
        ConfigurationError: an entity's views have more columns than a table can.
        StoreUnavailable: other statements held the tables' locks for too long.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with alone(connection):
                change(connection, project, tables(layouts), keep)
                also()
                return
        except psycopg.errors.LockNotAvailable as error:
            if attempt == ATTEMPTS:
                raise StoreUnavailable(
                    "the online tables are in use by long statements; nothing was changed"
                ) from error
            time.sleep(LOCK_WAIT_MS / 1000)


@contextmanager
def alone(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction in which nobody else changes tables; its locks are not waited for long."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("online tables")])
        connection.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        yield


def change(
    connection: psycopg.Connection,
    project: str,
    wanted: Mapping[str, Sequence[Layout]],
    keep: Collection[str],
) -> None:
    """Brings every table of `project` to what is wanted."""
    there = existing(connection, project)
    for table, layouts in wanted.items():
        require_room(table, layouts)
        found = there.get(table)
        if found is not None and found.keys != layouts[0].keys:
            log.info("online table made anew, its keys have other types", extra={"table": table})
            drop(connection, table)
            found = None
        if found is None:
            create(connection, project, table, layouts[0].keys)
            found = Existing(layouts[0].keys, {}, {}, 0)
        alter(connection, table, layouts, found, keep)
    for table in there.keys() - wanted.keys():
        if not any(base(view) in keep for view in there[table].views.values()):
            drop(connection, table)


def existing(connection: psycopg.Connection, project: str) -> dict[str, Existing]:
    """The online tables of `project` as they are."""
    rows = connection.execute(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               col_description(c.oid, a.attnum), c.relnatts
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'
          AND obj_description(c.oid, 'pg_class') = %s
        ORDER BY c.relname, a.attnum""",
        [SCHEMA, comment_of(project)],
    ).fetchall()
    found: dict[str, Existing] = {}
    for table, column, kind, is_key, view, ever in rows:
        before = found.get(table, Existing((), {}, {}, ever))
        if is_key:
            found[table] = Existing(
                (*before.keys, Column(column, kind)), before.columns, before.views, ever
            )
        else:
            found[table] = before
            before.columns[column], before.views[column] = kind, view or ""
    return found


def create(
    connection: psycopg.Connection, project: str, table: str, keys: Sequence[Column]
) -> None:
    """An empty table with its primary key and the trigger that tells readers of writes."""
    name = sql.Identifier(SCHEMA, table)
    columns = [sql.SQL("{} {} NOT NULL").format(sql.Identifier(k.name), kind(k)) for k in keys]
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} ({}, PRIMARY KEY ({}))"
            # A month rewrites every row: vacuum soon, and not after a fifth of a million.
            " WITH (autovacuum_vacuum_scale_factor = 0.05)"
        ).format(
            name,
            sql.SQL(", ").join(columns),
            sql.SQL(", ").join(sql.Identifier(k.name) for k in keys),
        )
    )
    connection.execute(
        sql.SQL("COMMENT ON TABLE {} IS {}").format(name, sql.Literal(comment_of(project)))
    )
    connection.execute(
        sql.SQL(
            "CREATE TRIGGER notify_online AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.notify_online()"
        ).format(name)
    )


def alter(
    connection: psycopg.Connection,
    table: str,
    layouts: Sequence[Layout],
    found: Existing,
    keep: Collection[str],
) -> None:
    """Adds what is missing, drops what is not wanted, both for a column of another type."""
    wanted = {column.name: (layout.view, column) for layout in layouts for column in layout.columns}
    live = {layout.view for layout in layouts}
    gone = [
        column
        for column, type_ in found.columns.items()
        if (column in wanted and wanted[column][1].type != type_)
        or (
            column not in wanted
            and (found.views[column] in live or base(found.views[column]) not in keep)
        )
    ]
    new = [one for one in wanted.values() if found.columns.get(one[1].name) != one[1].type]
    if found.ever + len(new) > MOST_COLUMNS:
        rebuild(connection, table)
    if gone or new:
        parts = [sql.SQL("DROP COLUMN {}").format(sql.Identifier(column)) for column in gone]
        parts += [
            sql.SQL("ADD COLUMN {} {}").format(sql.Identifier(column.name), kind(column))
            for _, column in new
        ]
        name = sql.Identifier(SCHEMA, table)
        connection.execute(sql.SQL("ALTER TABLE {} {}").format(name, sql.SQL(", ").join(parts)))
        for view, column in new:
            connection.execute(
                sql.SQL("COMMENT ON COLUMN {} IS {}").format(
                    sql.Identifier(SCHEMA, table, column.name), sql.Literal(view)
                )
            )


def rebuild(connection: psycopg.Connection, table: str) -> None:
    """Copies a table that had too many columns in its life; the one change that takes time."""
    old, new = sql.Identifier(SCHEMA, table), sql.Identifier(SCHEMA, f"{table[:40]}~rebuilt")
    project = sql.SQL("SELECT obj_description({}::regclass, 'pg_class')").format(
        sql.Literal(old.as_string(connection))
    )
    row = connection.execute(project).fetchone()
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(new, old))
    connection.execute(sql.SQL("INSERT INTO {} TABLE {}").format(new, old))
    connection.execute(sql.SQL("DROP TABLE {}").format(old))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(new, sql.Identifier(table)))
    connection.execute(
        sql.SQL("COMMENT ON TABLE {} IS {}").format(old, sql.Literal(row[0] if row else ""))
    )
    connection.execute(
        sql.SQL(
            "CREATE TRIGGER notify_online AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ops.notify_online()"
        ).format(old)
    )


def drop(connection: psycopg.Connection, table: str) -> None:
    """Drops a table with its rows."""
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, table)))


def require_room(table: str, layouts: Sequence[Layout]) -> None:
    """Returns when a table can have all columns of `layouts`."""
    count = len(layouts[0].keys) + sum(len(layout.columns) for layout in layouts)
    if count > MOST_COLUMNS:
        raise ConfigurationError(
            f"the views of {table} have {count} columns, a table can have {MOST_COLUMNS}: "
            "give some of the views an entity of their own"
        )


def comment_of(project: str) -> str:
    """The comment by which a table is known as the project's."""
    return f"Online values of Feast project {project}"


def base(view: str) -> str:
    """The name of a view without its version."""
    return view.partition("@v")[0]


def kind(column: Column) -> sql.SQL:
    """A column's type as SQL; it comes from online_layout.SCALARS, never from outside."""
    return sql.SQL(column.type)
