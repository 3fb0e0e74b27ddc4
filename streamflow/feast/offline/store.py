"""Feast's offline store on PostgreSQL: reads of history, and writes to it.

Point-in-time joins that are exact and never quadratic, rows in Arrow without a detour, in flat
memory where they are streamed. Feast's monitoring keeps the stock store's SQL.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.errors import InvalidEntityType
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    EntitySelectMode,
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
)
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig
from feast.type_map import pg_type_code_to_pg_type
from feast.utils import compute_non_entity_date_range
from psycopg import Connection
from pydantic import StrictStr

from streamflow.errors import SourceMismatch
from streamflow.feast.connection import ConnectionFromEnvironment
from streamflow.feast.offline.connect import connect
from streamflow.feast.offline.errors import as_feast
from streamflow.feast.offline.job import StreamflowRetrievalJob
from streamflow.feast.offline.request import (
    QueryMetadata,
    computed_names,
    frame_metadata,
    requested,
)
from streamflow.feast.offline.write import write_features, write_log
from streamflow.feast.registry import stock_apply as feast_apply
from streamflow.feast.sources import postgres_source, relation, source_table
from streamflow.offline.compose import text
from streamflow.offline.join.entities import ENTITY_QUERY, QueryEntities
from streamflow.offline.join.frame import FrameEntities
from streamflow.offline.join.history import History, rows_of_window
from streamflow.offline.pull import Pull
from streamflow.offline.select import Select
from streamflow.offline.spine.entities import SpineQuery, SpineRows
from streamflow.sources import columns as sources
from streamflow.sources.faults import faults
from streamflow.sources.written_sql import subquery


class StreamflowOfflineStoreConfig(ConnectionFromEnvironment, PostgreSQLOfflineStoreConfig):
    """The `offline_store` part of feature_store.yaml; PG* fill in what it leaves out."""

    type: StrictStr = "streamflow.feast.StreamflowOfflineStore"
    db_schema: StrictStr = "source"
    """The schemas of tables whose schema is not named, for training, materialization and
    checks alike; `public` comes after it. Several with commas between; upper and lower case as
    written; a name with a comma of its own in quotes. Empty: the schema called as the user."""
    entity_select_mode: EntitySelectMode = EntitySelectMode.temp_table
    """`embed_query` keeps entity rows given as SQL inside the query: for a role that may not
    create temporary tables, or a standby. It runs slower, as nothing is known of the rows."""
    work_mem: StrictStr = "64MB"
    """PostgreSQL's memory per sort and hash of a query; beyond it, they use the disk."""


class StreamflowOfflineStore(PostgreSQLOfflineStore):
    """PostgreSQL as Feast's offline store.

    Dates and naive timestamps are UTC everywhere. Of rows with the same entity and time the one
    created last counts, null being oldest, and among equal ones their values decide (row_order.py).
    Jobs run when their rows are asked for.
    """

    @staticmethod
    @as_feast()
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | SpineRows | SpineQuery | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **window: datetime | None,
    ) -> StreamflowRetrievalJob:
        """The newest features at each entity row's time: exactly the entity rows, in their order.

        Args:
            entity_df: a frame or a query with the join keys and a time, `event_timestamp` or the
                only column that holds times; its other columns are given back unchanged. A join
                key may be of another type than the source's, where nothing is lost (KeyMismatch
                when the job runs). None for each time and entity that has a row in the window.
                A spine of streamflow.training has its time named already.
            window: `start_date` and `end_date`, where there are no entity rows.

        Raises:
            InvalidEntityType: `entity_df` is none of these.
            NameCollision: a column of the frame is called as a feature; of a query, when the job
                runs.
            QueryRefused: the query is not a single one that reads rows.
            EntityTimestampInferenceException, FeastEntityDFMissingColumnsError: the rows have no
                time, or lack a join key; for a query when the job runs.
        """
        views = requested(
            feature_refs,
            feature_views,
            registry,
            project,
            full_feature_names,
            filter_by_created_timestamp,
        )
        keys = list(dict.fromkeys(key for view in views for key in view.join_keys))
        entities: FrameEntities | QueryEntities | SpineRows
        metadata: RetrievalMetadata
        if entity_df is None:
            start, end = compute_non_entity_date_range(
                feature_views, window.get("start_date"), window.get("end_date")
            )
            views, entities = rows_of_window(views, start, end)
            metadata = RetrievalMetadata(feature_refs, keys, start, end)
        elif isinstance(entity_df, SpineRows | SpineQuery):
            entities, metadata = entity_df, RetrievalMetadata(feature_refs, keys, None, None)
        elif isinstance(entity_df, pd.DataFrame):
            entities = FrameEntities(entity_df, keys)
            metadata = frame_metadata(feature_refs, entities)
        elif isinstance(entity_df, str):
            entities = QueryEntities(text(subquery(entity_df, ENTITY_QUERY)))
            connected = partial(connect, config.offline_store, None, ENTITY_QUERY)
            metadata = QueryMetadata(feature_refs, entities, connected)
        else:
            raise InvalidEntityType(type(entity_df))
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        computed = computed_names(on_demand, full_feature_names)
        history = History(views, entities, False, full_feature_names, computed)
        if isinstance(entities, FrameEntities):
            history.require_distinct(entities.names)
        embedding = replace(history, embed=True)
        mode = config.offline_store.entity_select_mode
        return StreamflowRetrievalJob(
            config,
            embedding if mode == EntitySelectMode.embed_query else history,
            embedding,
            full_feature_names,
            on_demand,
            metadata,
            f"feature view{'s' * (len(views) > 1)} {', '.join(view.name for view in views)}",
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
        types: Mapping[str, str] | None = None,
    ) -> StreamflowRetrievalJob:
        """The newest row of each entity with start_date <= time <= end_date.

        Args:
            types: Feast's value type of a column's feature by name, which our engine knows.
        """
        pull = Pull(
            name=data_source.name,
            source=relation(postgres_source(data_source)),
            keys=join_key_columns,
            features=feature_name_columns,
            timestamp=timestamp_field,
            created=created_timestamp_column or "",
            start=start_date,
            end=end_date,
            names=data_source.field_mapping or {},
            types=types or {},
            dummy=True,
        )
        return pulling(config, pull, Pull.latest)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> StreamflowRetrievalJob:
        """All rows with start_date <= time <= end_date, None being no limit.

        Materialization says what the created column is, if only that there is none, and needs
        the key of views without entities; saved datasets and logs do neither.
        """
        pull = Pull(
            name=data_source.name,
            source=relation(postgres_source(data_source)),
            keys=join_key_columns,
            features=feature_name_columns,
            timestamp=timestamp_field,
            created=created_timestamp_column or "",
            start=start_date,
            end=end_date,
            names=data_source.field_mapping or {},
            types={},
            dummy=created_timestamp_column is not None,
        )
        return pulling(config, pull, Pull.all)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Appends rows to the table that the view reads; see `offline_write.write_features`."""
        write_features(config, feature_view, table, progress)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,
        logging_config: LoggingConfig,
        registry: BaseRegistry,
    ) -> None:
        """Appends a log to a PostgreSQLLoggingDestination; see `offline_write.write_log`."""
        write_log(config, data, source, logging_config, registry)

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Returns when the source can be read and has the columns that it names.

        Raises:
            SourceMismatch: its table is not there, its query is none, or it lacks columns.
        """
        source = postgres_source(data_source)
        with connect(config.offline_store) as connection:
            if found := faults(connection, [], [source_table(source)]):
                raise SourceMismatch(found)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Each column of the source and PostgreSQL's name of its type.

        Raises:
            SourceMismatch: its table is not there, or its query is none.
        """
        source = postgres_source(data_source)
        with connect(config.offline_store) as connection:
            found = sources.columns_of_source(connection, source.name, relation(source))
        return [(one.name, pg_type_code_to_pg_type(one.oid)) for one in found]


def pulling(
    config: RepoConfig, pull: Pull, rows: Callable[[Pull, Connection[Any]], Select]
) -> StreamflowRetrievalJob:
    """A job for some rows of a source that has the columns."""
    return StreamflowRetrievalJob(
        config,
        lambda connection: rows(pull.required(connection), connection),
        subject=f"data source {pull.name}",
    )


feast_apply.watch()  # Feast imports this module to read feature_store.yaml
