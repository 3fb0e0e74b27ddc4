"""Materializes a plain view whose rows leave the database: exactly, without Feast's conversion.

Its source is in another database than the online store, or Feast's message of a map, a struct or
a nested list has to be made of it. Feast's own engine would take the rows through pandas, where
integers beside nulls become floats, NaN becomes null and a null in a list 0.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
from feast import FeatureView
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from psycopg import Connection, sql

from streamflow.engine import sql as engine_sql
from streamflow.engine.source import Source, instant
from streamflow.feast.engine import plan as engine_plan
from streamflow.feast.engine.compute import Write
from streamflow.feast.json_values import maker
from streamflow.feast.offline.connect import connect
from streamflow.feast.online.rows import FeastRow
from streamflow.feast.online.values import reader
from streamflow.feast.sources import own_names, relation
from streamflow.offline.select import Select, fetched
from streamflow.sources.columns import kinds_of

Make = Callable[[Any], Value]


def copy(
    config: RepoConfig,
    task: MaterializationTask,
    seen_at: datetime | None,
    lookback: timedelta,
    limit: datetime,
    write: Write,
) -> None:
    """Hands the newest row of each key of the task's view over, all in one call.

    Args:
        seen_at, lookback, limit: as in Source.

    Raises:
        ValueRefused, ConfigurationError: the view's features cannot have its source's values.
    """
    with connect(config.offline_store) as connection:
        source = engine_plan.source_of(connection, config, task, seen_at, lookback, limit=limit)
        _, batches = fetched(connection, Select(engine_sql.rows(source)))
        with closing(batches):  # else the connection waits for the rows that nobody takes
            write(row for batch in batches for row in rows_of(task.feature_view, source, batch))


def rows_of(view: FeatureView, source: Source, batch: pa.RecordBatch) -> Iterator[FeastRow]:
    """The rows of a batch (keys, times, features) as Feast hands them to an online store."""
    layout = source.layout
    columns = [one.to_pylist() for one in batch.columns]
    width = len(layout.join_keys)
    types = {one.name: one.dtype.to_value_type().name for one in view.entity_columns}
    keys = [
        [as_value(types.get(name, "STRING"), one) for one in column]
        for name, column in zip(layout.join_keys, columns, strict=False)
    ]
    features = [
        [Value() if one is None else make(one) for one in column]
        for make, column in zip(makers(view, source), columns[width + 2 :], strict=True)
    ]
    for at, (event, created) in enumerate(zip(*columns[width : width + 2], strict=True)):
        key = EntityKey(join_keys=layout.join_keys, entity_values=[one[at] for one in keys])
        values = {name: column[at] for name, column in zip(layout.features, features, strict=True)}
        yield key, values, event, created


def makers(view: FeatureView, source: Source) -> Iterator[Make]:
    """Makes Feast's Value of each feature out of what was fetched for it, not null."""
    types = {one.name: one.dtype for one in view.features}
    for name, value in zip(source.layout.features, source.features, strict=True):
        if value.is_message:
            yield maker(value.label, types[name])
        else:
            yield partial(as_value, value.value_type)


def as_value(value_type: str, found: Any) -> Value:
    """Feast's Value of a type, of what was fetched, not null."""
    value = Value()
    reader(value_type)(value, found)
    return value


def count_ahead(config: RepoConfig, view: FeatureView, limit: datetime) -> int:
    """The number of rows of a view's source that are too far ahead; 0 for one not in PostgreSQL."""
    source = view.batch_source
    if not isinstance(source, PostgreSQLSource) or not engine_plan.is_ours(config):
        return 0
    reverse = own_names(source)
    column = reverse.get(source.timestamp_field, source.timestamp_field)
    query = relation(source)
    with connect(config.offline_store) as connection:
        event = instant(column, kinds_of(connection, query).get(column, ""))
        return counted(connection, query, event, limit) if event else 0


def counted(connection: Connection[Any], query: str, event: sql.Composed, limit: datetime) -> int:
    """The number of rows of a query that are after an instant."""
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} AS s WHERE {} > {}").format(
            sql.SQL(query), event, sql.Literal(limit)
        )
    ).fetchone()
    return int(row[0]) if row else 0


def until(task: MaterializationTask, limit: datetime) -> MaterializationTask:
    """The task without rows that are too far ahead."""
    return replace(task, end_time=min(engine_plan.in_utc(task.end_time), limit))
