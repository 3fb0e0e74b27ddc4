"""Opens the one connection of an offline job, in UTC, and closes it again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel, sql

from feature_repo import settings
from feature_repo.database import translated
from feature_repo.source_types import TEXT_FORMS

if TYPE_CHECKING:
    from feature_repo.offline_store import StreamflowOfflineStoreConfig


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
        connection = psycopg.connect(
            host=config.host,
            port=config.port,
            user=config.user,
            password=config.password or None,
            dbname=config.database,
            sslmode=config.sslmode,
            sslkey=config.sslkey_path,
            sslcert=config.sslcert_path,
            sslrootcert=config.sslrootcert_path,
            client_encoding="utf8",
            application_name=os.environ.get("PGAPPNAME", "streamflow"),
            connect_timeout=settings.streamflow().connect_timeout_s,
            keepalives_idle=config.keepalives_idle or 30,
            # A killed process's query ends soon, instead of sorting on for nobody.
            options=f"{os.environ.get('PGOPTIONS', '')} -c client_connection_check_interval=5s",
        )
        with connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.execute(settings_of(config, timeout))
            yield connection


def settings_of(config: "StreamflowOfflineStoreConfig", timeout: int | None) -> sql.Composed:
    """The session's settings, for this transaction only."""
    schemas = [one.strip() for one in (config.db_schema or config.user).split(",")]
    chosen = {
        "TimeZone": sql.Literal("UTC"),
        "search_path": sql.SQL(", ").join(map(sql.Identifier, [*schemas, "public"])),
        "work_mem": sql.Literal(config.work_mem),
        "jit": sql.SQL("off"),  # compiling takes longer than it saves
        **{name: sql.Literal(value) for name, value in TEXT_FORMS.items()},
    }
    if timeout:
        chosen["statement_timeout"] = sql.Literal(f"{timeout}s")
    return sql.SQL("; ").join(
        sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), value)
        for name, value in chosen.items()
    )
