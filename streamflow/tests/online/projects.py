"""Feast projects on the test database, with our online store and with stock Feast's."""

import asyncio
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import python_values_to_proto_values
from feast.types import Int64, String
from psycopg import sql

from streamflow.feast.online.store import StreamflowOnlineStore
from streamflow.feast.registry.open import closing_store

STOCK = "stock"
"""The schema of stock Feast's tables."""
T0 = datetime(2024, 1, 31, tzinfo=UTC)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)

Row = tuple[dict[str, Any], dict[str, Any], datetime, datetime | None]
"""Join keys, values by feature, event time, created time."""


def config_of(project: str = "shop", *, versioned: bool = False, **online: Any) -> RepoConfig:
    """A project with our online store, whose settings are `online`."""
    return repo(project, versioned, {"type": "streamflow.feast.StreamflowOnlineStore", **online})


def stock_config(project: str = "shop") -> RepoConfig:
    """The same project with stock Feast's online store."""
    return repo(project, False, {"type": "postgres", **where(), "db_schema": STOCK})


def where() -> dict[str, Any]:
    """The test database as stock Feast's stores want it named."""
    return {
        "host": os.environ["PGHOST"],
        "port": int(os.environ["PGPORT"]),
        "user": os.environ["PGUSER"],
        "database": os.environ["PGDATABASE"],
        "password": "",
        "sslmode": "prefer",
    }


def repo(project: str, versioned: bool, online_store: dict[str, Any]) -> RepoConfig:
    """A project whose registry is in the test database."""
    return RepoConfig(
        project=project,
        provider="local",
        registry={
            "registry_type": "sql",
            "path": "postgresql+psycopg://?options=-csearch_path%3Dregistry",
            "cache_ttl_seconds": 3600,
            "sqlalchemy_config_kwargs": {"echo": False, "pool_pre_ping": True},
            "enable_online_feature_view_versioning": versioned,
        },
        offline_store={"type": "postgres", **where(), "db_schema": "source"},
        online_store=online_store,
        entity_key_serialization_version=3,
    )


@contextmanager
def opened(config: RepoConfig) -> Iterator[FeatureStore]:
    """A FeatureStore whose connections are all closed at the end."""
    store = FeatureStore(config=config)
    online = store._get_provider().online_store
    if isinstance(online, StreamflowOnlineStore):
        with closing_store(store):
            yield store
        return
    online.release = lambda: None
    try:
        with closing_store(store):
            yield store
    finally:
        for connection in (online._conn, online._conn_async):
            if connection is not None:
                connection.pgconn.finish()


@contextmanager
def applied(*objects: Any, **config: Any) -> Iterator[FeatureStore]:
    """A project of ours with `objects`."""
    with opened(config_of(**config)) as store:
        apply(store, *objects)
        yield store


def apply(store: FeatureStore, *objects: Any, **options: Any) -> None:
    """Applies objects, without Feast's warning that on-demand views are experimental."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        store.apply(list(objects), **options)


def view_of(
    name: str, features: Mapping[str, Any], *entities: Entity, **options: Any
) -> FeatureView:
    """A feature view with Feast's types by feature; its source is never read."""
    return FeatureView(
        name=name,
        entities=list(entities),
        schema=[Field(name=feature, dtype=dtype) for feature, dtype in features.items()],
        source=options.pop(
            "source",
            PostgreSQLSource(
                name=f"{name}_source",
                table="source.nothing",
                timestamp_field="event_timestamp",
                created_timestamp_column="created",
            ),
        ),
        **{"ttl": None, **options},
    )


def prices(**options: Any) -> FeatureView:
    """A view with two features."""
    return view_of("prices", {"price": Int64, "name": String}, USER, **options)


PRICES = {
    "user_id": "text",
    "prices@event_ts": "timestamp with time zone",
    "prices@created_ts": "timestamp with time zone",
    "prices:price": "bigint",
    "prices:name": "text",
}
"""The columns of a table that has the view `prices` alone."""


def one_price(store: FeatureStore, **keys: Any) -> None:
    """Writes a row of user `u`."""
    write(store, "prices", [(keys or {"user_id": "u"}, {"price": 5, "name": "x"}, T0, None)])


def stored(store: FeatureStore, *features: str) -> list[Any]:
    """The values of user `u`."""
    references = [f"prices:{name}" for name in features]
    found = values(store, references, {"user_id": ["u"]})
    return [found[name][0] for name in features]


def write(store: FeatureStore, view: str, rows: Iterable[Row]) -> None:
    """Writes rows with Python values (or Feast's) through Feast's provider."""
    found = store.registry.get_any_feature_view(view, store.project)
    store._get_provider().online_write_batch(store.config, found, feast_rows(found, rows), None)


def feast_rows(view: FeatureView, rows: Iterable[Row]) -> list[Any]:
    """Rows as Feast's provider hands them to the online store."""
    types = {one.name: one.dtype.to_value_type() for one in view.features + view.entity_columns}
    return [
        (
            EntityKey(
                join_keys=list(keys),
                entity_values=[value_of(one, types[name]) for name, one in keys.items()],
            ),
            {name: value_of(one, types[name]) for name, one in values.items()},
            event,
            created,
        )
        for keys, values, event, created in rows
    ]


def value_of(value: Any, type_: ValueType) -> Value:
    """A Python value as Feast's; one that is so already stays."""
    if isinstance(value, Value):
        return value
    found: Value = python_values_to_proto_values([value], type_)[0]
    return found


def read(
    store: FeatureStore, features: Any, keys: Any, *, later: bool = False, **options: Any
) -> dict[str, list[tuple[bytes, int, datetime]]]:
    """Online features by name: for each row the value's bytes, its status, its event time.

    Args:
        later: read with the async form.
    """
    if later:
        answer = asyncio.run(store.get_online_features_async(features, keys, **options)).proto
    else:
        answer = store.get_online_features(features, keys, **options).proto
    columns = zip(answer.metadata.feature_names.val, answer.results, strict=True)
    return {
        name: [
            (value.SerializeToString(deterministic=True), status, time.ToDatetime(UTC))
            for value, status, time in zip(
                column.values, column.statuses, column.event_timestamps, strict=True
            )
        ]
        for name, column in columns
    }


def values(store: FeatureStore, features: Any, keys: Any, **options: Any) -> dict[str, list[Any]]:
    """Online features as Feast gives them to people."""
    return dict(store.get_online_features(features, keys, **options).to_dict())


def tables() -> dict[str, dict[str, str]]:
    """The types of the columns of the online tables, by table."""
    with psycopg.connect() as connection:
        found = connection.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)"
            " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = 'online'::regnamespace AND c.relkind = 'r'"
            " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2"
        ).fetchall()
    return {
        table: {column: kind for other, column, kind in found if other == table}
        for table in {row[0] for row in found}
    }


def catalog() -> tuple[int, str] | None:
    """The version of the catalog and its project."""
    with psycopg.connect() as connection:
        return connection.execute(
            "SELECT version, document->>'project' FROM ops.catalog"
        ).fetchone()


def truncate(schema: str) -> None:
    """Empties all tables of a schema."""
    with psycopg.connect() as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]
        ).fetchall()
        names = [sql.Identifier(schema, table) for (table,) in found]
        if names:
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
