"""Opens connections to PostgreSQL, to a server or through a pooler."""

import asyncio
import contextlib
import logging
import operator
import os
import socket
from collections.abc import Sequence
from typing import Any

import asyncpg

from api.postgres.session import BEGIN_WRITING, Rows, Session, store_unavailable
from streamflow import settings as shared
from streamflow.errors import ConfigurationError, StoreUnavailable
from streamflow.postgres import options as connection_options
from streamflow.postgres.options import Setting

log = logging.getLogger(__name__)

Elsewhere = tuple[str, int]
"""Host and port."""


class PooledSession(Session):
    """A connection through a pooler that gives it a server for one transaction at a time.

    A query is a transaction that begins with its settings: four round trips and a parsing where a
    session needs one round trip. Nothing has a name on the server, since the next statement may
    meet another one.
    """

    def __init__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", settings: Sequence[Setting]
    ) -> None:
        super().__init__(connection)
        own = connection_options.set_local(settings)
        self._begin = f"BEGIN READ ONLY; {own}"
        self._begin_writing = f"{BEGIN_WRITING}; {own}"

    async def _fetched(self, query: str, arguments: Sequence[Any]) -> Rows:
        return await self._in_transaction(self._begin, query, arguments)


async def connect(
    timeout_s: float,
    statement_timeout_s: float,
    direct: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Session:
    """A connection to the database of the PG* variables, in UTC; only Session.write writes.

    Args:
        timeout_s: seconds that connecting may take.
        statement_timeout_s: seconds that a query may take.
        direct: to the server itself where the PG* variables name a pooler.
        elsewhere: another host and port than those of the PG* variables, where no pooler is named.

    Raises:
        ConfigurationError: a PG* variable is missing or wrong.
        StoreUnavailable: the server does not answer, or refuses the login.
    """
    where = shared.postgres()
    if not where.password:  # else asyncpg takes the empty one and does not look into PGPASSFILE
        os.environ.pop("PGPASSWORD", None)
    settings_of_session = [
        ("statement_timeout", str(max(1, round(statement_timeout_s * 1000)))),
        # A plan of its own for each array of keys would cost more than the read.
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
    ]
    try:
        async with asyncio.timeout(timeout_s):
            arguments = connect_arguments(where, direct) | other_server(elsewhere)
            connection = await asyncpg.connect(**arguments)
            try:
                keep_alive(connection)
                is_named = elsewhere is None and connection_options.is_pooled(direct)
                is_pooled = is_named or await is_relayed(connection)
                return await session_of(connection, settings_of_session, is_pooled)
            except BaseException:
                connection.terminate()
                raise
    except asyncpg.exceptions.ClientConfigurationError as error:
        raise ConfigurationError(f"PostgreSQL: {error}") from error
    except TimeoutError as error:
        raise StoreUnavailable(f"PostgreSQL: no connection in {timeout_s:g} s") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise store_unavailable(error) from error


def connect_arguments(where: shared.PostgresSettings, direct: bool) -> dict[str, Any]:
    """The arguments of asyncpg.connect; all else it takes from the PG* variables, as libpq does.

    It takes PGHOST with several names, PGSSLMODE and its files, PGPASSFILE, PGTARGETSESSIONATTRS.
    """
    startup = {"application_name": os.environ["PGAPPNAME"], "TimeZone": "UTC"}
    common: dict[str, Any] = {
        "host": os.environ.get("PGHOSTADDR") or None,
        "password": where.password or None,
        "server_settings": startup,
        "statement_cache_size": 0,  # a Session has its own; without a name where it is pooled
    }
    if connection_options.is_pooled(direct):
        connection_options.require_no_options()
    elif options := os.environ.get("PGOPTIONS"):
        startup["options"] = options
    return common | connection_options.beside(direct)


def other_server(elsewhere: Elsewhere | None) -> dict[str, Any]:
    """The arguments that name another server, whatever PG* variables say which one is wanted."""
    if elsewhere is None:
        return {}
    host, port = elsewhere
    return {"host": host, "port": port, "target_session_attrs": "any"}


async def is_relayed(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """True if statements reach another server process than the login did.

    No setting names a pooler then, but there is one, and it is treated as one in transaction mode.
    """
    pid = connection.get_server_pid()
    try:
        # In one message without rows: anything more takes two steps, perhaps on two servers.
        await connection.execute(f"SELECT 1 / (pg_backend_pid() = {pid})::int -- fails at a pooler")
    except asyncpg.DivisionByZeroError:
        log.warning("there is a pooler", extra={"advice": connection_options.NAME_THE_POOLER})
        return True
    return False


async def session_of(
    connection: "asyncpg.Connection[asyncpg.Record]", settings: Sequence[Setting], is_pooled: bool
) -> Session:
    """A new connection as a Session with these settings, which poolers refuse in the login."""
    if is_pooled:
        await connection.execute("BEGIN")  # asyncpg asks for the type in two steps
        await read_instants_as_numbers(connection)
        await connection.execute("COMMIT")
        return PooledSession(connection, settings)
    own = [("default_transaction_read_only", "on"), *settings]
    await connection.execute(connection_options.set_session(own))
    await read_instants_as_numbers(connection)
    return Session(connection)


async def read_instants_as_numbers(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Have timestamps read as numbers, see answer/instants.py."""
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        encoder=lambda instant: (instant,),
        decoder=operator.itemgetter(0),
        format="tuple",
    )


def keep_alive(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Have the kernel notice a server that vanished from the network."""
    sock = connection._transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    for option in connection_options.socket_options():
        with contextlib.suppress(OSError):
            sock.setsockopt(*option)
