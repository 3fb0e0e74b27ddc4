"""The one module of the explorer that opens connections: few, and for reading alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from explorer.settings import ExplorerSettings
from streamflow import settings
from streamflow.errors import StoreUnavailable, StreamflowError
from streamflow.postgres import options
from streamflow.postgres.connect import translated

Connection = psycopg.Connection[Any]
Row = dict[str, Any]
Query = LiteralString | sql.Composed
APPLICATION = "streamflow-explorer"
IDLE_S = 120
"""Seconds after which a connection that no page needed is closed."""


class TookTooLong(StreamflowError):
    """PostgreSQL ended a query of a page, since it took longer than a page may take."""


class Database:
    """Lends connections on which nothing can be written."""

    def __init__(self, chosen: ExplorerSettings) -> None:
        self._session = (
            ("statement_timeout", f"{chosen.statement_timeout_s}s"),
            ("jit", "off"),  # compiling takes longer than it saves
            options.UTC,
            options.CHECKED,
        )
        self._pool = ConnectionPool(
            kwargs=self._arguments,
            min_size=0,
            max_size=chosen.pool_size,
            timeout=chosen.wait_s,
            # An attempt that failed is not repeated in the background: the next page makes one.
            reconnect_timeout=0,
            max_idle=IDLE_S,
            check=ConnectionPool.check_connection,
            configure=only_reading,
            open=False,
            name=APPLICATION,
        )

    def _arguments(self) -> dict[str, Any]:
        """The arguments of psycopg.connect, by the variables as they are now."""
        return {
            **options.address(settings.postgres()),
            **options.for_psycopg(*self._session),
            "application_name": APPLICATION,
        }

    def open(self) -> None:
        """Starts lending; the database need not be there yet."""
        self._pool.open()

    def close(self) -> None:
        """Closes all connections."""
        self._pool.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in one transaction, which sees one state of the data and writes nothing.

        Raises:
            StoreUnavailable: PostgreSQL does not answer, or all connections stay in use.
            SchemaMissing: a table is not there: the database was never applied.
            NotAllowed: the role may not read something.
            TookTooLong: PostgreSQL ended a query.
        """
        try:
            with translated(), self._lent() as connection:
                if options.is_pooled():
                    connection.execute(options.choose(self._session))
                yield connection
        except StoreUnavailable as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise TookTooLong(
                    "PostgreSQL ended a query that took longer than"
                    " STREAMFLOW_EXPLORER_STATEMENT_TIMEOUT_S allows"
                ) from error
            raise

    @contextmanager
    def _lent(self) -> Iterator[Connection]:
        try:
            with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            # The pool does not say why it has none: an attempt of one's own does.
            psycopg.connect(**self._arguments()).close()
            raise StoreUnavailable(
                f"all {self._pool.max_size} connections of the explorer are in use"
            ) from error


def only_reading(connection: Connection) -> None:
    """Makes each transaction of a connection one that reads, also behind a pooler."""
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ


def rows(
    connection: Connection, query: Query, parameters: Mapping[str, Any] | None = None
) -> list[Row]:
    """The rows of a query, each by the names of its columns."""
    return connection.cursor(row_factory=dict_row).execute(query, parameters).fetchall()


def row(
    connection: Connection, query: Query, parameters: Mapping[str, Any] | None = None
) -> Row | None:
    """The first row of a query; None where it has none."""
    return connection.cursor(row_factory=dict_row).execute(query, parameters).fetchone()


def storable(text: str) -> str:
    """A text as PostgreSQL can compare it, which has none with a NUL: that one equals no other."""
    return text.replace("\0", "\ufffd")
