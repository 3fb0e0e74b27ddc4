"""The online store's connections: checked when they are lent, given back whatever happens."""

import selectors
from typing import Any

import psycopg
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from feast.repo_config import RepoConfig
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from feature_repo import settings


def blocking(config: RepoConfig) -> ConnectionPool:
    """An open pool for calls that block."""
    return ConnectionPool(**pool_options(config), check=require_open, open=True)


async def asynchronous(config: RepoConfig) -> AsyncConnectionPool:
    """An open pool for calls that do not."""
    pool = AsyncConnectionPool(**pool_options(config), check=require_open_async, open=False)
    await pool.open()
    return pool


def options(config: RepoConfig) -> dict[str, Any]:
    """Where the database is and how soon one that does not answer is an error."""
    return {
        "conninfo": _get_conninfo(config.online_store),
        **_get_conn_kwargs(config.online_store),
        "connect_timeout": settings.streamflow().connect_timeout_s,
        "keepalives_idle": 30,
        "tcp_user_timeout": 15_000,  # milliseconds: a server that vanished without a word
    }


def pool_options(config: RepoConfig) -> dict[str, Any]:
    """A pool that gives up after the timeout and lends one connection once."""
    found = options(config)
    timeout = found["connect_timeout"]
    return {
        "conninfo": found.pop("conninfo"),
        "kwargs": {**found, "autocommit": True},
        "min_size": config.online_store.min_conn,
        "max_size": config.online_store.max_conn,
        "timeout": timeout,
        "reconnect_timeout": timeout,  # else the pauses between attempts grow to minutes
    }


def require_open(connection: psycopg.Connection) -> None:
    """Returns when the server has not hung up, which costs no round trip to find out.

    Raises:
        OperationalError: it has; the pool then lends another connection.
    """
    look(connection.pgconn)


async def require_open_async(connection: psycopg.AsyncConnection) -> None:
    """As `require_open`."""
    look(connection.pgconn)


def look(pgconn: Any) -> None:
    """Reads what the server sent meanwhile: a good-bye, or nothing."""
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        if selector.select(0):
            pgconn.consume_input()
    if pgconn.status != psycopg.pq.ConnStatus.OK:
        raise psycopg.OperationalError("the server closed the connection")
