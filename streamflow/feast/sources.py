"""Feast's PostgreSQL data sources in plain terms: what stands behind FROM, and the column names."""

from feast.data_source import DataSource
from feast.errors import FeastOfflineStoreUnsupportedDataSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)

from streamflow.sources.table import SourceTable


def postgres_source(source: DataSource | None) -> PostgreSQLSource:
    """The source as PostgreSQL's, else FeastOfflineStoreUnsupportedDataSource."""
    if not isinstance(source, PostgreSQLSource):
        name = type(source).__name__
        raise FeastOfflineStoreUnsupportedDataSource("StreamflowOfflineStore", name)
    return source


def source_table(source: PostgreSQLSource) -> SourceTable:
    """The source in plain terms."""
    return SourceTable(
        name=source.name,
        table=source._postgres_options._table or "",
        query=source._postgres_options._query or "",
        timestamp_field=source.timestamp_field or "",
        created_field=source.created_timestamp_column or "",
        own_names=own_names(source),
    )


def relation(source: PostgreSQLSource) -> str:
    """The SQL that stands behind FROM: the source's table, or its query in parentheses.

    Raises:
        QueryRefused: its query is not one that reads.
    """
    return source_table(source).relation


def own_names(source: DataSource) -> dict[str, str]:
    """The source's columns by the names that its field mapping gives them."""
    return {mapped: column for column, mapped in (source.field_mapping or {}).items()}
