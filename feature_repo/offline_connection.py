"""Opens the one connection of an offline job, in UTC, and closes it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel, sql

from feature_repo import connection_options
from feature_repo.database import translated
from feature_repo.feast_connection import arguments

if TYPE_CHECKING:
    from feature_repo.offline_store import StreamflowOfflineStoreConfig

LOCAL = (connection_options.UTC, connection_options.CHECKED)


@contextmanager
def connect(
    config: "StreamflowOfflineStoreConfig", timeout: int | None = None
) -> Iterator[psycopg.Connection[Any]]:
    """A connection in one transaction that sees one state of the data; committed at the end.

    The session's zone is UTC whatever the role, the database or PGTZ say, so that dates and
    naive timestamps mean UTC in every query.

    Args:
        timeout: seconds until PostgreSQL gives a statement up; None for no limit.

    Raises:
        StoreUnavailable: the server does not answer, goes away, or the time is up.
        SchemaMissing: a schema, table or column is not there.
    """
    with translated():
        connection = psycopg.connect(**arguments(config, connection_options.CHECKED))
        with connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.execute(settings_of(config, timeout))
            yield connection


def settings_of(config: "StreamflowOfflineStoreConfig", timeout: int | None) -> sql.Composed:
    """The session's settings, for this transaction only."""
    schemas = [one.strip() for one in (config.db_schema or config.user).split(",")]
    chosen: dict[str, sql.Composable] = {
        **{name: sql.Literal(value) for name, value in LOCAL},
        "search_path": sql.SQL(", ").join(map(sql.Identifier, [*schemas, "public"])),
        "work_mem": sql.Literal(config.work_mem),
        "jit": sql.SQL("off"),  # compiling takes longer than it saves
    }
    if timeout:
        chosen["statement_timeout"] = sql.Literal(f"{timeout}s")
    return sql.SQL("; ").join(
        sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value)
        for name, value in chosen.items()
    )
