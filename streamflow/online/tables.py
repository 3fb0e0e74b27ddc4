"""Creates, migrates and drops the typed online tables.

Readers are never locked out: every change is one of the catalog alone (no row is rewritten),
and a lock that is not free at once is given up and asked for again, so that no queue of
readers forms behind it.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from streamflow.catalog.layout import SCHEMA, Column, Layout, tables
from streamflow.errors import ConfigurationError, StoreUnavailable
from streamflow.postgres.connect import lock_key
from streamflow.postgres.counted_writes import count_writes

log = logging.getLogger(__name__)

ATTEMPTS = 100
LOCK_WAIT_MS = 200
"""The time that a reader may wait behind a change that waits itself, and the pause after it."""
LONG_WAIT_MS = 1_100
"""The same, of every tenth attempt: PostgreSQL ends an autovacuum that is in the way after 1 s."""
MOST_COLUMNS = 1600
"""PostgreSQL's limit for a table; dropped columns count."""
REBUILT = "~rebuilt"
"""The name of a table while it is copied; no other has it."""


@dataclass
class Existing:
    """A table as the database has it."""

    ever: int
    """Columns the table ever had, dropped ones included."""
    columns: dict[str, str] = field(default_factory=dict)
    """PostgreSQL's type by column, the primary key's left out."""


def migrate(
    connection: psycopg.Connection,
    project: str,
    wanted: Callable[[], Iterable[Layout]],
) -> None:
    """Makes the tables of `project` those of the layouts `wanted`, in one transaction.

    A column whose type changed, or that is new, is null until the next materialization.

    Args:
        connection: in autocommit mode.
        project: Feast's project; tables of others stay as they are.
        wanted: gives the layouts of all views that are stored, all others' values go. It is
            called inside the transaction while nobody else migrates, anew for each attempt.

    Raises:
        ConfigurationError: an entity's views have more columns than a table can.
        StoreUnavailable: other statements held the tables' locks for too long.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with alone(connection):
                layouts = tables(wanted())
                wait_ms = LOCK_WAIT_MS if attempt % 10 else LONG_WAIT_MS
                connection.execute(f"SET LOCAL lock_timeout = {wait_ms}")
                change(connection, project, layouts)
                return
        except psycopg.errors.LockNotAvailable as error:
            log.info("online tables in use, trying again", extra={"attempt": attempt})
            if attempt == ATTEMPTS:
                raise StoreUnavailable(
                    f"an online table is in use by {holder(connection)}; tables and catalog "
                    "stay as they were: apply again when it has ended"
                ) from error
        time.sleep(LOCK_WAIT_MS / 1000)


@contextmanager
def alone(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction in which nobody else changes tables."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("online tables")])
        yield


def holder(connection: psycopg.Connection) -> str:
    """The session that has used the online tables for longest, for a message."""
    found = connection.execute(
        """
        SELECT a.pid, a.application_name, date_trunc('second', now() - a.xact_start)
        FROM pg_locks l
        JOIN pg_class c ON c.oid = l.relation AND c.relnamespace = %s::regnamespace
        JOIN pg_stat_activity a USING (pid)
        WHERE a.pid <> pg_backend_pid() AND a.datname = current_database()
        ORDER BY a.xact_start LIMIT 1""",
        [SCHEMA],
    ).fetchone()
    if found is None:
        return "long statements"
    pid, name, age = found  # without the right to see them, name and age are null
    return f"process {pid} ({name or 'without a name'}, for {age or 'an unknown time'})"


def change(
    connection: psycopg.Connection, project: str, wanted: Mapping[str, Sequence[Layout]]
) -> None:
    """Brings every table of `project` to what is wanted."""
    there = existing(connection, project)
    for table, layouts in wanted.items():
        columns = [column for layout in layouts for column in layout.columns]
        keys = layouts[0].keys
        require_room(table, len(keys) + len(columns))
        if table in there:
            alter(connection, project, table, keys, columns, there[table])
        else:
            create(connection, project, table, keys, columns)
        count_writes(connection, SCHEMA, table)
    for table in sorted(there.keys() - wanted.keys()):
        drop(connection, table)


def existing(connection: psycopg.Connection, project: str) -> dict[str, Existing]:
    """The online tables of `project` as they are."""
    rows = connection.execute(
        """
        SELECT c.relname, c.relnatts, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'
          AND obj_description(c.oid, 'pg_class') = %s
        ORDER BY c.relname, a.attnum""",
        [SCHEMA, comment_of(project)],
    ).fetchall()
    found: dict[str, Existing] = {}
    for table, ever, column, kind, is_key in rows:
        one = found.setdefault(table, Existing(ever))
        if not is_key:
            one.columns[column] = kind
    return found


def create(
    connection: psycopg.Connection,
    project: str,
    table: str,
    keys: Sequence[Column],
    columns: Sequence[Column],
) -> None:
    """An empty table with its primary key and the trigger that tells readers of writes."""
    name = sql.Identifier(SCHEMA, table)
    parts = [sql.SQL("{} NOT NULL").format(definition(key)) for key in keys]
    parts += [definition(column) for column in columns]
    parts.append(sql.SQL("PRIMARY KEY ({})").format(names(keys)))
    connection.execute(
        # A month rewrites every row: vacuum soon, and not after a fifth of a million.
        sql.SQL("CREATE TABLE {} ({}) WITH (autovacuum_vacuum_scale_factor = 0.05)").format(
            name, sql.SQL(", ").join(parts)
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
    project: str,
    table: str,
    keys: Sequence[Column],
    columns: Sequence[Column],
    found: Existing,
) -> None:
    """Adds what is missing, drops what is not wanted, both for a column of another type."""
    new = [one for one in columns if found.columns.get(one.name) != one.type]
    kept = [one for one in columns if found.columns.get(one.name) == one.type]
    gone = found.columns.keys() - {one.name for one in kept}
    if found.ever + len(new) > MOST_COLUMNS:
        rebuild(connection, project, table, keys, kept, new)
    elif gone or new:
        parts = [sql.SQL("DROP COLUMN {}").format(sql.Identifier(one)) for one in sorted(gone)]
        parts += [sql.SQL("ADD COLUMN {}").format(definition(one)) for one in new]
        connection.execute(
            sql.SQL("ALTER TABLE {} {}").format(
                sql.Identifier(SCHEMA, table), sql.SQL(", ").join(parts)
            )
        )


def rebuild(
    connection: psycopg.Connection,
    project: str,
    table: str,
    keys: Sequence[Column],
    kept: Sequence[Column],
    new: Sequence[Column],
) -> None:
    """Copies a table that had too many columns in its life; the one change that takes time.

    Writers wait meanwhile, readers do not.
    """
    old = sql.Identifier(SCHEMA, table)
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(old))
    create(connection, project, REBUILT, keys, [*kept, *new])
    copied = names([*keys, *kept])
    connection.execute(
        sql.SQL("INSERT INTO {} ({columns}) SELECT {columns} FROM {}").format(
            sql.Identifier(SCHEMA, REBUILT), old, columns=copied
        )
    )
    drop(connection, table)
    connection.execute(
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(
            sql.Identifier(SCHEMA, REBUILT), sql.Identifier(table)
        )
    )
    log.info("online table copied, it had used up its columns", extra={"table": table})


def drop(connection: psycopg.Connection, table: str) -> None:
    """Drops a table with its rows."""
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(SCHEMA, table)))


def require_room(table: str, count: int) -> None:
    """Returns when a table can have `count` columns."""
    if count > MOST_COLUMNS:
        raise ConfigurationError(
            f"the views of {table} have {count} columns, a table can have {MOST_COLUMNS}: "
            "give some of the views an entity of their own"
        )


def comment_of(project: str) -> str:
    """The comment by which a table is known as the project's."""
    return f"Online values of Feast project {project}"


def names(columns: Collection[Column]) -> sql.Composed:
    """The columns' names with commas between them."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


def definition(column: Column) -> sql.Composed:
    """A column with its type, which comes from online_layout.SCALARS, never from outside."""
    return sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type))
