"""Where a feature service's log of served features goes: a table in PostgreSQL."""

from feast.data_source import DataSource
from feast.feature_logging import LoggingDestination
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.core.FeatureService_pb2 import LoggingConfig as LoggingConfigProto


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
