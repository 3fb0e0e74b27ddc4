"""Feast's online store on typed PostgreSQL tables: one wide row per entity.

Named in feature_store.yaml, so that Feast's SDK and the stock `feast` command use it. What
reads without Feast uses the same tables by the catalog (catalog.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus, GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from pydantic import Field, StrictStr

from feature_repo import compile as compiler
from feature_repo import online_pool, online_tables, online_write, settings
from feature_repo.catalog import Catalog, TtlPolicy
from feature_repo.feast_connection import ConnectionFromEnvironment
from feature_repo.online_layout import Layout, layout_of
from feature_repo.online_read import Row, TableRead, ViewRead, fill, keys_of, parameters, plan
from feature_repo.online_values import key_of, key_types
from feature_repo.store import closing_store

T = TypeVar("T")
ATTEMPTS = 5
"""Of a write that lost against another one in a deadlock."""
MOST_PLANS = 256
"""Requests of different shapes whose queries are kept."""


class StreamflowOnlineStoreConfig(ConnectionFromEnvironment):
    """The `online_store` part of feature_store.yaml; the connection comes from PG*."""

    type: StrictStr = "feature_repo.online_store.StreamflowOnlineStore"
    min_conn: int = 0
    max_conn: int = Field(default_factory=lambda: settings.streamflow().pool_size)
    ttl_policy: TtlPolicy = "serve"
    """What a read does with a row older than its view's ttl: serve it as stock Feast does,
    null its values (status OUTSIDE_MAX_AGE), or refuse the request. A view's tag `ttl_policy`
    comes first."""
    force: bool = False
    """Whether a write replaces newer values as well; for a deliberate step back in time."""


class StreamflowOnlineStore(OnlineStore):
    """Typed online tables. One object serves any number of threads.

    Stock Feast keeps a row per feature, as protobuf; one connection for ever, or a pool that
    loses one with every error; and the last write, also of older data.
    """

    rows_written: dict[str, int]
    """Rows that this object wrote, new or changed, by feature view."""

    def __init__(self) -> None:
        self.rows_written = {}
        self._pool: ConnectionPool | None = None
        self._async_pool: AsyncConnectionPool | None = None
        self._plans: dict[tuple[Any, ...], tuple[list[TableRead], list[Any]]] = {}

    # Reading.

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both ways have an async form."""
        return SupportedAsyncMethods(read=True, write=True)

    def _is_versioned_read_supported(self) -> bool:
        return True

    def _read_features_per_fv(
        self,
        config: RepoConfig,
        grouped_refs: list[tuple[FeatureView, list[str]]],
        join_key_values: dict[str, list[Value]],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        for table in self._plan(config, grouped_refs):
            keys = keys_of(join_key_values, table.asked_as)
            rows = self._read(config, table, keys)
            fill(online_features_response, table, keys, rows, full_feature_names)
        if include_feature_view_version_metadata:
            add_versions(online_features_response, grouped_refs)

    async def _read_features_per_fv_async(
        self,
        config: RepoConfig,
        grouped_refs: list[tuple[FeatureView, list[str]]],
        join_key_values: dict[str, list[Value]],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: GetOnlineFeaturesResponse,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        tables = self._plan(config, grouped_refs)
        keys = [keys_of(join_key_values, table.asked_as) for table in tables]
        answers = await asyncio.gather(
            *(self._read_async(config, *one) for one in zip(tables, keys, strict=True))
        )
        for table, asked, rows in zip(tables, keys, answers, strict=True):
            fill(online_features_response, table, asked, rows, full_feature_names)
        if include_feature_view_version_metadata:
            add_versions(online_features_response, grouped_refs)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The newest row of each key: its event time (UTC) and values; (None, None) for none."""
        asked, keys, names = self._one_view(config, table, entity_keys, requested_features)
        return as_feast_rows(asked, keys, self._read(config, asked, keys), names)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """As `online_read`, without blocking."""
        asked, keys, names = self._one_view(config, table, entity_keys, requested_features)
        return as_feast_rows(asked, keys, await self._read_async(config, asked, keys), names)

    def _one_view(
        self,
        config: RepoConfig,
        view: FeatureView,
        entity_keys: list[EntityKey],
        requested: list[str] | None,
    ) -> tuple[TableRead, list[Row], tuple[str, ...]]:
        layout = self._layout(config, view, entity_keys[:1])
        names = tuple(name for name in layout.features if not requested or name in requested)
        read = ViewRead(view, layout, names, *self._ttl(config, view))
        keys = [key_of(one, layout.join_keys) for one in entity_keys]
        return plan([read])[0], keys, names

    def _plan(
        self, config: RepoConfig, grouped_refs: Sequence[tuple[FeatureView, list[str]]]
    ) -> list[TableRead]:
        # Feast hands over the same view objects until its registry's cache is renewed; the
        # plan holds on to them, so that an id is not given to another one.
        key = tuple((id(view), *sorted(features)) for view, features in grouped_refs)
        if key not in self._plans:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            reads = []
            for view, requested in grouped_refs:
                layout = self._layout(config, view, [])
                features = tuple(name for name in layout.features if name in requested)
                reads.append(ViewRead(view, layout, features, *self._ttl(config, view)))
            self._plans[key] = (plan(reads), [view for view, _ in grouped_refs])
        return self._plans[key][0]

    def _layout(
        self, config: RepoConfig, view: FeatureView, samples: Sequence[EntityKey]
    ) -> Layout:
        versioned = config.registry.enable_online_feature_view_versioning
        keys = key_types(samples[0]) if samples else None
        return layout_of(config.project, view, versioned, keys)

    @staticmethod
    def _ttl(config: RepoConfig, view: FeatureView) -> tuple[timedelta, TtlPolicy]:
        policy = view.tags.get("ttl_policy", config.online_store.ttl_policy)
        return getattr(view, "ttl", None) or timedelta(0), policy

    def _read(self, config: RepoConfig, table: TableRead, keys: Sequence[Row]) -> list[Row]:
        with self._connections(config).connection() as connection:
            found = connection.execute(table.query, parameters(keys), binary=True)
            return found.fetchall()

    async def _read_async(
        self, config: RepoConfig, table: TableRead, keys: Sequence[Row]
    ) -> list[Row]:
        pool = await self._async_connections(config)
        async with pool.connection() as connection:
            found = await connection.execute(table.query, parameters(keys), binary=True)
            return await found.fetchall()

    # Writing.

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[online_write.FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Merges `data`; of a key's rows the newest (event time, created time) wins.

        Features that a row does not name stay as they are. All of it or nothing is written.

        Raises:
            ValueError: naming the row, the feature and what is wrong with its value.
        """
        if data:
            layout = self._layout(config, table, [data[0][0]])
            types = {one.name: one.dtype.to_value_type().name for one in table.features}
            rows = online_write.rows_of(layout, types, data)
            count = self._write(config, layout, rows)
            self.rows_written[table.name] = self.rows_written.get(table.name, 0) + count
        if progress:
            progress(len(data))

    def _write(self, config: RepoConfig, layout: Layout, rows: list[online_write.Row]) -> int:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with (
                    self._connections(config).connection() as connection,
                    connection.transaction(),
                ):
                    return online_write.write(connection, layout, rows, config.online_store.force)
            except psycopg.errors.DeadlockDetected:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[online_write.FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """As `online_write_batch`, in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    # Tables.

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Makes tables and catalog what the registry says, in one transaction.

        Feast calls it after it wrote the registry, which therefore decides, not the arguments.
        """
        from feast import FeatureStore

        with closing_store(FeatureStore(config=config)) as store:
            views = compiler.stored_views(store)
            layouts = list(compiler.layouts_of(store, views).values())
            keep = {view.name for view in views}
            found = compiler.compiled(store, config.online_store.ttl_policy)
        self._change_tables(config, layouts, keep, found)

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Drops the tables of this project and empties its catalog; others' stay."""
        self._change_tables(config, [], set(), Catalog(0, config.project))

    def _change_tables(
        self, config: RepoConfig, layouts: list[Layout], keep: set[str], found: Catalog
    ) -> None:
        with psycopg.connect(**online_pool.options(config), autocommit=True) as connection:
            online_tables.migrate(
                connection,
                config.project,
                layouts,
                keep,
                also=lambda: compiler.write(connection, found),
            )

    # Connections.

    def _connections(self, config: RepoConfig) -> ConnectionPool:
        if self._pool is None:
            self._pool = online_pool.blocking(config)
        return self._pool

    async def _async_connections(self, config: RepoConfig) -> AsyncConnectionPool:
        if self._async_pool is None:
            self._async_pool = await online_pool.asynchronous(config)
        return self._async_pool

    async def initialize(self, config: RepoConfig) -> None:
        """Opens the pool of async reads."""
        await self._async_connections(config)

    async def close(self) -> None:
        """Closes all connections."""
        if self._async_pool is not None:
            await self._async_pool.close()
            self._async_pool = None
        self.release()

    def release(self) -> None:
        """Closes the connections of the reads and writes that block."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def as_feast_rows(
    asked: TableRead,
    keys: Sequence[Row],
    rows: Sequence[Row],
    names: Sequence[str],
) -> list[tuple[datetime | None, dict[str, Value] | None]]:
    """The rows of one view as Feast's `online_read` gives them."""
    response = GetOnlineFeaturesResponse()
    fill(response, asked, keys, rows, full_names=False)
    width = len(asked.reads[0].layout.keys)
    times = {row[:width]: row[width] for row in rows}
    found: list[tuple[datetime | None, dict[str, Value] | None]] = []
    for number, key in enumerate(keys):
        columns = zip(names, response.results, strict=True)
        values = {
            name: column.values[number]
            for name, column in columns
            if column.statuses[number] != FieldStatus.NOT_FOUND
        }
        found.append((times.get(key), values if times.get(key) else None))
    return found


def add_versions(
    response: GetOnlineFeaturesResponse, grouped_refs: Sequence[tuple[FeatureView, list[str]]]
) -> None:
    """Says which version of each view was read."""
    for view, _ in grouped_refs:
        metadata = response.metadata.feature_view_metadata.add()
        metadata.name = view.projection.name_alias or view.projection.name
        metadata.version = getattr(view, "current_version_number", 0) or 0
