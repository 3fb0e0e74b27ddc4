"""Writes features and logs of features into PostgreSQL, each call in one transaction."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
from feast import FeatureView
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from psycopg import Connection, sql

from streamflow.feast.offline.connect import connect
from streamflow.feast.offline.history import postgres_source
from streamflow.feast.offline.logging import PostgreSQLLoggingDestination
from streamflow.offline.arrow import BATCH_ROWS
from streamflow.offline.copy import columns_for, copy_in
from streamflow.offline.fit import declared, named, require_fit, require_times
from streamflow.offline.sql import text
from streamflow.postgres.connect import lock_key


def write_features(
    config: RepoConfig,
    view: FeatureView,
    table: pa.Table,
    progress: Callable[[int], Any] | None,
) -> None:
    """Appends rows to the table that the view reads; all of them or none.

    Args:
        table: exactly the columns of the database's table in their order, by their own names or
            by those that the source's field mapping gives them.
        progress: called with the number of rows when they are in.

    Raises:
        ValueError: other columns; or the view reads a query; or, naming row and column, a value
            that the table cannot hold as it is, or a time that is too far ahead.
    """
    source = postgres_source(view.batch_source)
    target = source._postgres_options._table
    if not target:
        raise ValueError(f"{source.name} reads a query, and only a table can be written to")
    own = {mapped: column for column, mapped in source.field_mapping.items()}
    with connect(config.offline_store) as connection:
        expected = columns_of(connection, target)
        names = [one if one in expected else own.get(one, one) for one in table.column_names]
        if names != list(expected):
            raise ValueError(f"{target}: {difference(names, list(expected))}")
        types = {own.get(one.name, one.name): one.dtype for one in view.features}
        rows = declared(table.rename_columns(names), types, view.name)
        with named(view.name):
            count = copy_in(connection, text(target), names, rows.to_batches(BATCH_ROWS))
        features = {name: kind for name, kind in expected.items() if name in types}
        require_fit(connection, rows, features, view.name)
        times = (source.timestamp_field, source.created_timestamp_column)
        require_times(connection, rows, (own.get(n, n) for n in times if n), view.name)
    if progress:
        progress(count)


def columns_of(connection: Connection[Any], table: str) -> dict[str, str]:
    """The columns of a table in its order, each with its type and the length of that."""
    found = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(text(table)))
    return {one.name: one.type_display for one in found.description or ()}


def difference(names: list[str], expected: list[str]) -> str:
    """How columns differ from those that there should be."""
    said = []
    if missing := [one for one in expected if one not in names]:
        said.append(f"missing columns: {', '.join(missing)}")
    if extra := [one for one in names if one not in expected]:
        said.append(f"unknown columns: {', '.join(extra)}")
    return "; ".join(said) or f"the columns have to be in the order {', '.join(expected)}"


def write_log(
    config: RepoConfig,
    data: pa.Table | Path,
    source: LoggingSource,
    logging: LoggingConfig,
    registry: BaseRegistry,
) -> None:
    """Appends a log of served features to its table, which is created or widened to hold it.

    Args:
        data: the log, or a folder of Parquet files with it, which is read in batches.

    Raises:
        ValueError: the destination is not PostgreSQL's, or a name is too long for it.
    """
    destination = logging.destination
    if not isinstance(destination, PostgreSQLLoggingDestination):
        raise ValueError(f"{type(destination).__name__} is no table in PostgreSQL")
    expected = source.get_schema(registry)
    fields, batches = read(data)
    target = text(destination.table_name)
    with connect(config.offline_store) as connection:
        # CREATE TABLE twice at the same time is an error of one of them.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key(destination.table_name)])
        columns = columns_for(expected)
        query = "SELECT to_regclass(%s) IS NULL"  # for some CREATE is refused in any case
        if connection.execute(query, [destination.table_name]).fetchone() == (True,):
            made = sql.SQL(", ").join(columns)
            connection.execute(sql.SQL("CREATE TABLE {} ({})").format(target, made))
        there = columns_of(connection, destination.table_name)
        for name, column in zip(expected.names, columns, strict=True):
            if name not in there:
                connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(target, column))
        copy_in(connection, target, fields.names, batches)


def read(data: pa.Table | Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """A table's or a Parquet folder's schema and batches."""
    if isinstance(data, Path):
        files = pyarrow.dataset.dataset(data, format="parquet")
        return files.schema, files.to_batches(batch_size=BATCH_ROWS)
    return data.schema, iter(data.to_batches(BATCH_ROWS))
