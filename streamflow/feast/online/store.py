"""Feast's online store on typed PostgreSQL tables: one wide row per entity.

Named in feature_store.yaml, so that Feast's SDK and the stock `feast` command use it. What
reads without Feast uses the same tables by the catalog (catalog.py).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from pydantic import Field, StrictStr

from streamflow import settings
from streamflow.catalog.model import TtlPolicy
from streamflow.feast.connection import ConnectionFromEnvironment
from streamflow.feast.online import apply as online_apply
from streamflow.feast.online import rows as feast_rows
from streamflow.feast.online.answer import FeastRow, add_versions, as_feast_rows, fill
from streamflow.feast.online.connect import pool_options
from streamflow.feast.online.keys import keys_in, keys_of
from streamflow.feast.online.plan import FeastPlan, Plans, read_of
from streamflow.feast.registry import stock_apply as feast_apply
from streamflow.feast.registry.layouts import layout_in
from streamflow.online import pool as online_pool
from streamflow.online import rows as online_rows
from streamflow.online import write as online_write
from streamflow.online.plan import TableRead, plan_of
from streamflow.online.read import Row, rows
from streamflow.online.unwritten_rows import Became

log = logging.getLogger(__name__)


class StreamflowOnlineStoreConfig(ConnectionFromEnvironment):
    """The `online_store` part of feature_store.yaml; the connection comes from PG*."""

    type: StrictStr = "streamflow.feast.StreamflowOnlineStore"
    db_schema: StrictStr = "public"
    """Accepted since stock Feast's store has it, and without effect: the online tables are in
    the schema `online`, and sources are looked for where the offline store's `db_schema` says."""
    min_conn: int = 0
    max_conn: int = Field(default_factory=lambda: settings.streamflow().pool_size)
    ttl_policy: TtlPolicy = "serve"
    """The treatment of a row older than its view's ttl: serve it as stock Feast does,
    null its values (status OUTSIDE_MAX_AGE), or refuse the request. A view's tag `ttl_policy`
    comes first."""
    force: bool = False
    """True where a write replaces newer values as well; for a deliberate step back in time."""


class StreamflowOnlineStore(OnlineStore):
    """Typed online tables. One object serves any number of threads and event loops.

    Stock Feast keeps a row per feature, as protobuf; one connection for ever, or a pool that
    loses one with every error; and the last write, also of older data.
    """

    rows_given: dict[str, int]
    """Rows that this object was given to write, by feature view."""
    rows_written: dict[str, int]
    """Of those given, how many it wrote, new or changed."""
    rows_older: dict[str, int]
    """Of those given, how many a newer row of the same key kept back, stored or given as well."""

    def __init__(self) -> None:
        self.rows_given, self.rows_written, self.rows_older = Counter(), Counter(), Counter()
        self._held: set[str] = set()
        self._connections = online_pool.Connections()
        self._plans = Plans()

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
        plan, keys = self._asked(config, grouped_refs, join_key_values)
        found = [self._read(config, table, keys) for table in plan.tables]
        fill(online_features_response, plan, keys, found, full_feature_names)
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
        plan, keys = self._asked(config, grouped_refs, join_key_values)
        # In threads: nearly as fast as the driver's own async form, and tied to no event loop.
        found = await asyncio.gather(
            *(asyncio.to_thread(self._read, config, table, keys) for table in plan.tables)
        )
        fill(online_features_response, plan, keys, found, full_feature_names)
        if include_feature_view_version_metadata:
            add_versions(online_features_response, grouped_refs)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[FeastRow]:
        """The newest row of each key: its event time (UTC) and values; (None, None) for none."""
        plan = plan_of([read_of(config, table, requested_features)])
        placed = plan.views[0]
        keys = keys_in(entity_keys, placed.read.layout)
        found = self._read(config, plan.tables[0], {placed.read.asked_as: keys})
        return as_feast_rows(placed, keys, found)

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[FeastRow]:
        """Reads as `online_read`, in a thread."""
        return await asyncio.to_thread(
            self.online_read, config, table, entity_keys, requested_features
        )

    def _asked(
        self,
        config: RepoConfig,
        grouped_refs: Sequence[tuple[FeatureView, list[str]]],
        join_key_values: Mapping[str, Sequence[Value]],
    ) -> tuple[FeastPlan, dict[tuple[str, ...], list[Row]]]:
        plan = self._plans.plan_for(config, grouped_refs)
        ways = {placed.read.asked_as for placed in plan.views}
        return plan, {way: keys_of(join_key_values, way) for way in ways}

    def _read(
        self, config: RepoConfig, table: TableRead, keys: Mapping[tuple[str, ...], Sequence[Row]]
    ) -> dict[Row, Row]:
        ways = {read.asked_as for read in table.reads}
        asked = chain.from_iterable(keys[way] for way in ways)
        return self._connections.run(
            partial(pool_options, config), partial(rows, table=table, keys=list(asked))
        )

    # Writing.

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[feast_rows.FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Merges `data`; of a key's rows the newest (event time, created time) wins.

        Of rows with the same times the one wins that a training set would have (row_order.py), in
        whatever order they come: a correction needs a later created time. Features that a row
        does not name stay as they are. All of it or nothing is written. Rows that a newer one
        keeps back are counted in `rows_older`.

        Raises:
            ValueError: naming the view, the row, and what is wrong with its time or with the
                value of a feature.
        """
        if data:
            layout = layout_in(config, table)
            types = {one.name: one.dtype.to_value_type().name for one in table.features}
            rounds = feast_rows.rows_of(layout, types, data)
            replace: online_write.Replace = "any" if config.online_store.force else "older"
            write = partial(online_write.write, layout=layout, rounds=rounds, replace=replace)
            self._count(
                table.name,
                len(data),
                rounds,
                self._connections.run(partial(pool_options, config), write),
            )
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[feast_rows.FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Writes as `online_write_batch`, in a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def counts(self, view: str) -> tuple[int, int, int]:
        """Rows given, written and kept back of a feature view since this object was made."""
        return self.rows_given[view], self.rows_written[view], self.rows_older[view]

    def _count(
        self,
        view: str,
        given: int,
        rounds: Sequence[Sequence[online_rows.Row]],
        became: Became,
    ) -> None:
        self.rows_given[view] += given
        self.rows_written[view] += became.written
        self.rows_older[view] += became.older + given - sum(map(len, rounds))
        if became.held and view not in self._held:
            self._held.add(view)
            log.warning(
                "rows are kept back by stored ones that are dated too far ahead",
                extra={"view": view, "rows": became.held, "mend": "see docs/operations.md"},
            )

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
        """Makes tables and catalog what the registry says; see apply.py.

        Feast calls it after it wrote the registry, which therefore decides, not the arguments.
        """
        online_apply.apply(config)

    def teardown(
        self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]
    ) -> None:
        """Drops the tables of this project and empties its catalog, if it is the only one."""
        with feast_apply.refusing():
            online_apply.teardown(config)

    # Connections.

    async def initialize(self, config: RepoConfig) -> None:
        """Does nothing: connections are opened when they are needed."""

    async def close(self) -> None:
        """Closes all connections."""
        await asyncio.to_thread(self.release)

    def release(self) -> None:
        """Closes all connections, as `close` does."""
        self._connections.close()


feast_apply.watch()  # Feast imports this module to read feature_store.yaml
