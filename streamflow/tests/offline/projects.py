"""Feature views over tables of the test database, read by our offline store and by stock's."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, RepoConfig, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.types import Float32, Int64, String
from psycopg import sql

from streamflow.offline.copy import postgres_type

OURS = "streamflow.feast.StreamflowOfflineStore"
T0 = datetime(2024, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
USER = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
ITEM = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
KEYS = {"user_id": String, "item_id": Int64}
FEATURES = {"clicks": Int64, "score": Float32, "note": String}
COLUMNS = (
    "user_id text, item_id bigint, at timestamptz, created timestamptz,"
    " clicks bigint, score real, note text"
)


def config_of(folder: Path, kind: str = OURS, **options: Any) -> RepoConfig:
    """A project whose registry is a file in `folder`, without an online store."""
    where: dict[str, Any] = {}
    if kind != OURS:
        where = {
            "host": os.environ["PGHOST"],
            "port": int(os.environ["PGPORT"]),
            "user": os.environ["PGUSER"],
            "database": os.environ["PGDATABASE"],
            "password": "",
            "sslmode": "prefer",
        }
    return RepoConfig(
        project="shop",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": kind, "db_schema": "source", **where, **options},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )


def store_of(folder: Path, *objects: Any, kind: str = OURS, **options: Any) -> FeatureStore:
    """A FeatureStore with `objects`."""
    store = FeatureStore(config=config_of(folder, kind, **options))
    store.apply([USER, ITEM, *objects])
    return store


def view_of(
    name: str, keys: Sequence[str] = ("user_id",), table: str = "", **options: Any
) -> FeatureView:
    """A view with the three features over `table`, which is called as the view otherwise."""
    entities = {"user_id": USER, "item_id": ITEM}
    source = options.pop("source", None) or PostgreSQLSource(
        name=f"{name}_source",
        table=table or f"source.{name}",
        timestamp_field="at",
        created_timestamp_column=options.pop("created", "created"),
    )
    features = options.pop("features", FEATURES)
    return FeatureView(
        name=name,
        entities=[entities[key] for key in keys],
        schema=[Field(name=key, dtype=KEYS[key]) for key in keys]
        + [Field(name=feature, dtype=kind) for feature, kind in features.items()],
        source=source,
        **{"ttl": timedelta(0), **options},
    )


def execute(*statements: str) -> None:
    """Runs statements, each in a transaction of its own."""
    with psycopg.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def table(name: str, rows: Iterable[Mapping[str, Any]] = (), columns: str = COLUMNS) -> None:
    """Makes `source.NAME` anew with these rows; what a row leaves out is null."""
    target = sql.Identifier("source", name)
    with psycopg.connect() as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(target))
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(target, sql.SQL(columns)))
        for row in rows:
            connection.execute(
                sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                    target,
                    sql.SQL(", ").join(map(sql.Identifier, row)),
                    sql.SQL(", ").join(map(literal, row.values())),
                )
            )


def literal(value: Any) -> sql.Literal:
    """A value in a statement; a float as text, since -0.0 as a number there is 0."""
    return sql.Literal(repr(value) if isinstance(value, float) else value)


def row(user: str | None, at: datetime | None, clicks: int | None, **more: Any) -> dict[str, Any]:
    """A row of a source."""
    return {"user_id": user, "at": at, "clicks": clicks, **more}


def asked(*rows: tuple[str | None, datetime | None]) -> pd.DataFrame:
    """Entity rows: users with their times."""
    frame = pd.DataFrame(rows, columns=["user_id", "event_timestamp"])
    return frame.astype({"event_timestamp": "datetime64[us, UTC]"})


def query_of(frame: pd.DataFrame) -> str:
    """The same entity rows as SQL, in the same order."""
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    names = sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    kinds = [
        sql.SQL("bigint" if name == "item_id" else postgres_type(kind))
        for name, kind in zip(rows.column_names, rows.schema.types, strict=True)
    ]
    parts = [[sql.SQL("NULL::{}").format(kind) for kind in kinds]]
    for row in rows.to_pylist():
        typed = zip(row.values(), kinds, strict=True)
        parts.append([sql.SQL("CAST({} AS {})").format(one, kind) for one, kind in typed])
    selects = [
        sql.SQL("SELECT {}, {}").format(number, sql.SQL(", ").join(part))
        for number, part in enumerate(parts)
    ]
    query = sql.SQL("SELECT {} FROM ({}) AS rows (n_th, {}) WHERE n_th > 0 ORDER BY n_th")
    return query.format(names, sql.SQL(" UNION ALL ").join(selects), names).as_string()


def values(job: RetrievalJob, *names: str) -> list[Any]:
    """The rows of a job as tuples, or of one column its values."""
    columns = [job.to_arrow()[name].to_pylist() for name in names]
    return columns[0] if len(names) == 1 else list(zip(*columns, strict=True))
