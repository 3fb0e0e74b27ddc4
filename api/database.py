"""The one module that opens connections to PostgreSQL, and what their errors mean."""

import asyncio
import contextlib
import logging
import operator
import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from feature_repo import settings
from feature_repo.errors import ConfigurationError, SchemaMissing, StoreUnavailable

log = logging.getLogger(__name__)

MOST_STATEMENTS = 64
"""Prepared statements that one connection keeps; the least recently used goes first."""
ANOTHER_PLAN = (asyncpg.FeatureNotSupportedError, asyncpg.exceptions.OutdatedSchemaCacheError)
"""A prepared statement's result is another one since a table was changed."""
ANOTHER_SCHEMA = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedFunctionError,  # a key's type is another one: no operator text = bigint
)
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what an idle connection says that was told to end just now
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    OSError,
)

Rows = list[asyncpg.Record]


class Overdue(Exception):
    """No answer until the time that was given."""


class Session:
    """One connection with its prepared statements; one statement at a time."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.connection = connection
        self._statements: OrderedDict[str, PreparedStatement[asyncpg.Record]] = OrderedDict()
        self._overdue = False

    @property
    def is_closed(self) -> bool:
        """Whether the connection is known to be gone."""
        return bool(self.connection.is_closed())

    def close(self) -> None:
        """Ends the connection without a word, which also ends a statement that waits."""
        self.connection.terminate()

    def forget(self, query: str) -> None:
        """Prepares `query` anew the next time."""
        self._statements.pop(query, None)

    async def fetch(self, query: str, arguments: Sequence[Any], ends: float) -> Rows:
        """The rows of `query`; a connection that does not answer in time is closed.

        Args:
            ends: by the loop's clock.

        Raises:
            Overdue: it took longer.
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError: as the driver has them.
        """
        timer = asyncio.get_running_loop().call_at(ends, self._give_up)
        try:
            try:
                return await self._fetched(query, arguments)
            except ANOTHER_PLAN:
                self.forget(query)
                return await self._fetched(query, arguments)
        except LOST:
            if self._overdue:
                raise Overdue from None
            raise
        finally:
            timer.cancel()

    async def _fetched(self, query: str, arguments: Sequence[Any]) -> Rows:
        statement = self._statements.get(query)
        if statement is None:
            statement = await self._prepared(query)
        else:
            self._statements.move_to_end(query)
        found: Rows = await statement.fetch(*arguments)
        return found

    def when_closed(self, told: Callable[[], None]) -> None:
        """Calls `told` as soon as the connection is known to be gone."""
        self.connection.add_termination_listener(lambda _: told())

    async def listen(self, channel: str, heard: Callable[[str], None], ends: float) -> None:
        """Calls `heard` with every payload that is notified on `channel` from now on.

        Raises as `fetch` does.
        """
        timer = asyncio.get_running_loop().call_at(ends, self._give_up)
        try:
            await self.connection.add_listener(channel, lambda *found: heard(found[-1]))
        except LOST:
            if self._overdue:
                raise Overdue from None
            raise
        finally:
            timer.cancel()

    async def _prepared(self, query: str) -> "PreparedStatement[asyncpg.Record]":
        statement = self._statements[query] = await self.connection.prepare(query)
        if len(self._statements) > MOST_STATEMENTS:
            self._statements.popitem(last=False)  # closed on the server when it is collected
        return statement

    def _give_up(self) -> None:
        self._overdue = True
        self.close()


async def connect(timeout_s: float, statement_timeout_s: float) -> Session:
    """A connection to the database of the PG* variables, in UTC, that cannot write.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong.
        StoreUnavailable: the server does not answer, or refuses the login.
    """
    where = settings.postgres()
    if not where.password:  # else asyncpg takes the empty one and does not look into PGPASSFILE
        os.environ.pop("PGPASSWORD", None)
    try:
        async with asyncio.timeout(timeout_s):
            # asyncpg reads the other PG* variables itself, as libpq does: PGHOST with several
            # names, PGSSLMODE and its files, PGPASSFILE, PGTARGETSESSIONATTRS.
            connection = await asyncpg.connect(
                host=os.environ.get("PGHOSTADDR") or None,
                password=where.password or None,
                server_settings={
                    "application_name": os.environ["PGAPPNAME"],
                    "TimeZone": "UTC",
                    **({"options": options} if (options := os.environ.get("PGOPTIONS")) else {}),
                },
            )
            try:
                await prepare(connection, statement_timeout_s)
            except BaseException:
                connection.terminate()
                raise
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigurationError(f"PostgreSQL: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable(f"PostgreSQL: no connection in {timeout_s:g} s") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise unavailable(error) from error
    return Session(connection)


async def prepare(
    connection: "asyncpg.Connection[asyncpg.Record]", statement_timeout_s: float
) -> None:
    """Settings of the session, sent after the login since poolers refuse unknown ones in it."""
    await connection.execute(
        "SET default_transaction_read_only = on;"
        f"SET statement_timeout = {max(1, round(statement_timeout_s * 1000))};"
        # A plan of its own for each array of keys would cost more than the read.
        "SET plan_cache_mode = force_generic_plan; SET jit = off"
    )
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda instant: (instant,),
        decoder=operator.itemgetter(0),  # see instants.py
        format="tuple",
    )
    keep_alive(connection)


def keep_alive(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Lets the kernel notice a server that vanished from a network without a word."""
    found = connection._transport.get_extra_info("socket")
    if found is None or found.family == socket.AF_UNIX:
        return
    with contextlib.suppress(OSError, AttributeError):  # Linux has these
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)  # milliseconds


def unavailable(error: Exception) -> StoreUnavailable:
    """A driver's error as ours, for the log."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return StoreUnavailable(f"PostgreSQL: {lines[0]}")


def missing(error: Exception) -> SchemaMissing:
    """A driver's error about a table, column or schema as ours, for the log."""
    return SchemaMissing(f"the database is not as this version needs it ({error})")
