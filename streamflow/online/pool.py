"""The online store's connections: given back whatever happens, and replaced when they broke."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg_pool import ConnectionPool, PoolTimeout

from streamflow.errors import StoreUnavailable
from streamflow.postgres.connect import translated

T = TypeVar("T")
Settings = Callable[[], dict[str, Any]]
"""Gives what psycopg's ConnectionPool is made with; called when the pool is opened."""
ATTEMPTS = 5
"""Of a piece of work that lost its connection, or against another one in a deadlock."""


class Connections:
    """A pool that opens with the first piece of work, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ConnectionPool | None = None

    def run(self, settings: Settings, work: Callable[[psycopg.Connection], T]) -> T:
        """Runs `work` on a connection in autocommit mode, and gives its result.

        It is done again on a new connection when the server hung up, when a table's columns
        changed their types, and after a deadlock: `work` has to be of the kind that may be done
        twice.

        Raises:
            StoreUnavailable: PostgreSQL does not answer, or all connections stay in use.
            SchemaMissing: a table is not there.
        """
        with translated():
            for attempt in range(1, ATTEMPTS + 1):
                pool = self._opened(settings)
                try:
                    with pool.connection() as connection:
                        return work(connection)
                except PoolTimeout as error:
                    raise in_use(pool) from error
                except (psycopg.OperationalError, psycopg.NotSupportedError) as error:
                    if attempt == ATTEMPTS or not (worn_out(error) or is_deadlock(error)):
                        raise
                    if worn_out(error):
                        pool.drain()  # its sisters are as a rule, too
        raise AssertionError("unreachable")

    def _opened(self, settings: Settings) -> ConnectionPool:
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(**settings(), open=True)
            return self._pool

    def close(self) -> None:
        """Closes all connections; the next piece of work opens a pool anew."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()


def worn_out(error: psycopg.Error) -> bool:
    """True where a new connection may do what this one could not.

    It broke, before or during a statement; or it prepared a query before a column that this
    reads got another type, which PostgreSQL says as "not supported".
    """
    # The driver's own error, without a class for it, is of a connection that broke.
    return type(error) is psycopg.OperationalError or isinstance(
        error,
        psycopg.errors.AdminShutdown
        | psycopg.errors.CrashShutdown
        | psycopg.errors.FeatureNotSupported,
    )


def is_deadlock(error: psycopg.Error) -> bool:
    """True where PostgreSQL ended the work in favour of another's."""
    return isinstance(error, psycopg.errors.DeadlockDetected)


def in_use(pool: ConnectionPool) -> StoreUnavailable:
    """Says that the pool had no connection to lend."""
    return StoreUnavailable(
        f"PostgreSQL: no connection to the online store within {pool.timeout:g} s; "
        f"{pool.get_stats()['pool_size']} of at most {pool.max_size} are open or being opened"
    )


def configure(connection: psycopg.Connection) -> None:
    """Hands over every integer as bigint: a query is prepared once, not for each size of keys."""
    connection.adapters.register_dumper(int, Int8Dumper)  # inside lists, which go as text
    connection.adapters.register_dumper(int, Int8BinaryDumper)
