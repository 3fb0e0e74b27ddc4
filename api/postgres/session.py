"""Connections to PostgreSQL in use, and the driver's errors as ours."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from streamflow.errors import SchemaMissing, StoreUnavailable
from streamflow.postgres import options as connection_options

MOST_STATEMENTS = 64
"""Prepared statements that one connection keeps; the least recently used goes first."""
NAMES, NUMBERS = f"streamflow_{secrets.token_hex(8)}", count()
"""Of prepared statements. The driver's own are the same in every process: behind a pooler that
nobody noticed, one process's statement would run as another's, which is another query."""
STATEMENT_OUTDATED = (asyncpg.FeatureNotSupportedError, asyncpg.exceptions.OutdatedSchemaCacheError)
"""The result of a prepared statement has other columns since a table was changed."""
SCHEMA_CHANGED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedFunctionError,  # a key's type is another one: no operator text = bigint
)
"""A table, column, schema or key is not there as the statement names it."""
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what an idle connection says that was told to end just now
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    OSError,
)
"""The connection cannot be used any more."""
REPLAY_CONFLICT = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""A standby had to end the statement so that it could go on replaying. No other read meets these,
since there is one statement at a time."""

BEGIN_WRITING = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
    " SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = '200ms'"
)

Rows = list[asyncpg.Record]


class Overdue(Exception):
    """The database did not answer until the deadline of a statement."""


def deadline(seconds: float) -> float:
    """The moment in so many seconds, by the clock of the running event loop."""
    return asyncio.get_running_loop().time() + seconds


class Session:
    """One connection with its prepared statements; one statement at a time."""

    _begin_writing = BEGIN_WRITING

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.connection = connection
        self._statements: OrderedDict[str, PreparedStatement[asyncpg.Record]] = OrderedDict()
        self._overdue = False

    @property
    def is_closed(self) -> bool:
        """True if the connection is known to be gone."""
        return bool(self.connection.is_closed())

    def close(self) -> None:
        """Drop the connection at once; a statement that waits on it fails."""
        self.connection.terminate()

    def forget(self, query: str) -> None:
        """Prepare `query` anew the next time."""
        self._statements.pop(query, None)

    async def fetch(self, query: str, arguments: Sequence[Any], ends: float) -> Rows:
        """The rows of `query`; a connection that does not answer in time is closed.

        Args:
            ends: until when, by the clock of the event loop.

        Raises:
            Overdue: it took longer.
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: as the driver has them.
        """
        with self._ending(ends):
            try:
                return await self._fetched(query, arguments)
            except STATEMENT_OUTDATED:
                self.forget(query)
                return await self._fetched(query, arguments)

    async def _fetched(self, query: str, arguments: Sequence[Any]) -> Rows:
        statement = self._statements.get(query)
        if statement is None:
            statement = await self._prepared(query)
        else:
            self._statements.move_to_end(query)
        rows: Rows = await statement.fetch(*arguments)
        return rows

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call `callback` as soon as the connection is known to be gone."""
        self.connection.add_termination_listener(lambda _: callback())

    async def listen(self, channel: str, callback: Callable[[str], None], ends: float) -> None:
        """Call `callback` with every payload that is notified on `channel` from now on.

        They come in the order of the commits that sent them. Raises as `fetch` does.
        """
        with self._ending(ends):
            await self.connection.add_listener(channel, lambda *event: callback(event[-1]))

    async def write(self, query: str, arguments: Sequence[Any], ends: float) -> Rows:
        """The rows of `query`, which writes what may be lost in a crash, as no other query does.

        Neither a lock nor a standby that is away is waited for. Raises as `fetch` does.
        """
        with self._ending(ends):
            return await self._in_transaction(self._begin_writing, query, arguments)

    async def _in_transaction(self, begin: str, query: str, arguments: Sequence[Any]) -> Rows:
        await self.connection.execute(begin)
        try:
            rows: Rows = await self.connection.fetch(query, *arguments)
        except asyncpg.PostgresError:
            await self.connection.execute("ROLLBACK")
            raise
        except BaseException:
            self.close()
            raise
        await self.connection.execute("COMMIT")
        return rows

    @contextmanager
    def _ending(self, ends: float) -> Iterator[None]:
        """Close the connection if what is done meanwhile takes until `ends`; raises Overdue."""
        timer = asyncio.get_running_loop().call_at(ends, self._give_up)
        try:
            yield
        except CONNECTION_LOST:
            if self._overdue:
                raise Overdue from None
            raise
        finally:
            timer.cancel()

    async def _prepared(self, query: str) -> "PreparedStatement[asyncpg.Record]":
        name = f"{NAMES}_{next(NUMBERS)}"
        statement = self._statements[query] = await self.connection.prepare(query, name=name)
        if len(self._statements) > MOST_STATEMENTS:
            self._statements.popitem(last=False)  # closed on the server when it is collected
        return statement

    def _give_up(self) -> None:
        self._overdue = True
        self.close()


def store_unavailable(error: Exception) -> StoreUnavailable:
    """A driver's error as StoreUnavailable, for the log."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if connection_options.is_of_a_pooler(lines[0]):
        lines[0] += f"; {connection_options.NAME_THE_POOLER}"
    return StoreUnavailable(f"PostgreSQL: {lines[0]}")


def schema_missing(error: Exception) -> SchemaMissing:
    """A driver's error about a table, column or schema as SchemaMissing, for the log."""
    return SchemaMissing(f"the database is not as this version needs it ({error})")
