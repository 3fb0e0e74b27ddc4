"""Rows that Feast's SDK writes into PostgreSQL: pushed features, and logs of served ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingDestination, LoggingSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.protos.feast.core.FeatureService_pb2 import LoggingConfig as LoggingConfigProto
from feast.repo_config import RepoConfig

from streamflow.feast.offline.connect import connect
from streamflow.feast.sources import own_names, postgres_source
from streamflow.offline.write import Target, append, append_log


class PostgreSQLLoggingDestination(LoggingDestination):
    """A table, with its schema if need be; created with the first log that is written."""

    _proto_kind = "streamflow_postgres"

    def __init__(self, *, table_name: str) -> None:
        self.table_name = table_name

    @classmethod
    def from_proto(cls, config_proto: LoggingConfigProto) -> "PostgreSQLLoggingDestination":
        """The destination that the registry has."""
        return cls(table_name=config_proto.custom_destination.config["table_name"])

    def to_proto(self) -> LoggingConfigProto:
        """The destination as the registry keeps it."""
        return LoggingConfigProto(
            custom_destination=LoggingConfigProto.CustomDestination(
                kind=self._proto_kind, config={"table_name": self.table_name}
            )
        )

    def to_data_source(self) -> DataSource:
        """The table as a source to read the log from."""
        return PostgreSQLSource(table=self.table_name)


def write_features(
    config: RepoConfig,
    view: FeatureView,
    table: pa.Table,
    progress: Callable[[int], Any] | None,
) -> None:
    """Appends rows to the table that the view reads, in one transaction.

    Args:
        table: as in streamflow.offline.write.append, which refuses what does not fit.
        progress: called with the number of rows when they are in.

    Raises:
        ValueError: the view reads a query, or the rows are refused.
    """
    source = postgres_source(view.batch_source)
    if not source._postgres_options._table:
        raise ValueError(f"{source.name} reads a query, and only a table can be written to")
    own = own_names(source)
    times = (source.timestamp_field, source.created_timestamp_column)
    target = Target(
        view.name,
        source._postgres_options._table,
        own,
        {own.get(one.name, one.name): one.dtype.to_value_type().name for one in view.features},
        [own.get(name, name) for name in times if name],
    )
    with connect(config.offline_store) as connection:
        count = append(connection, target, table)
    if progress:
        progress(count)


def write_log(
    config: RepoConfig,
    data: pa.Table | Path,
    source: LoggingSource,
    logging: LoggingConfig,
    registry: BaseRegistry,
) -> None:
    """Appends a log of served features to its table, in one transaction.

    Args:
        data: the log, or a folder of Parquet files with it.

    Raises:
        ValueError: the destination is not PostgreSQL's, or a name is too long for it.
    """
    destination = logging.destination
    if not isinstance(destination, PostgreSQLLoggingDestination):
        raise ValueError(f"{type(destination).__name__} is no table in PostgreSQL")
    expected = source.get_schema(registry)
    with connect(config.offline_store) as connection:
        append_log(connection, destination.table_name, expected, data)
