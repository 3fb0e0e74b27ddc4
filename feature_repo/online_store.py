"""Where Feast keeps the newest values: its stock PostgreSQL online store, made to last."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from feast import FeatureView
from feast.infra.online_stores.postgres_online_store.postgres import (
    PostgreSQLOnlineStore,
    PostgreSQLOnlineStoreConfig,
)
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from psycopg import Connection
from psycopg_pool import ConnectionPool
from pydantic import Field, StrictStr

from feature_repo import settings
from feature_repo.feast_connection import ConnectionFromEnvironment

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class StreamflowOnlineStoreConfig(ConnectionFromEnvironment, PostgreSQLOnlineStoreConfig):
    """The stock store's settings, its connection taken from PG*."""

    type: StrictStr = "feature_repo.online_store.StreamflowOnlineStore"
    db_schema: StrictStr = "online"
    min_conn: int = 0
    max_conn: int = Field(default_factory=lambda: settings.streamflow().pool_size)


class StreamflowOnlineStore(PostgreSQLOnlineStore):
    """The stock store with a pool that survives a database restart and never leaks.

    Stock Feast keeps one connection for ever, or a pool that loses one with every error.
    """

    rows_written: dict[str, int]
    """Rows that this process wrote, by feature view."""
    _conn_pool: ConnectionPool | None = None

    def __init__(self) -> None:
        self.rows_written = {}

    @contextmanager
    def _get_conn(self, config: RepoConfig, autocommit: bool = False) -> Iterator[Connection[Any]]:
        if self._conn_pool is None:
            self._conn_pool = open_pool(config.online_store)
        with self._conn_pool.connection() as connection:
            connection.autocommit = autocommit
            yield connection

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Upserts `data`, one row per entity, and counts it in `rows_written`."""
        super().online_write_batch(config, table, data, progress)
        self.rows_written[table.name] = self.rows_written.get(table.name, 0) + len(data)


def open_pool(config: StreamflowOnlineStoreConfig) -> ConnectionPool:
    """A pool that tests a connection before it lends it and gives up after the timeout."""
    timeout = settings.streamflow().connect_timeout_s
    return ConnectionPool(
        _get_conninfo(config),
        kwargs={
            **_get_conn_kwargs(config),
            "connect_timeout": timeout,
            "keepalives_idle": 30,
            "tcp_user_timeout": 15_000,  # milliseconds: a server that vanished without a word
        },
        min_size=config.min_conn,
        max_size=config.max_conn,
        timeout=timeout,
        reconnect_timeout=timeout,  # else the pauses between attempts grow to minutes
        check=ConnectionPool.check_connection,
        open=True,
    )
