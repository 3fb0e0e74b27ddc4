"""Feast's sources and fields, made of declared snapshots."""

import textwrap

from feast import Field
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Bool, FeastType, Float32, Float64, Int64, String

from streamflow.errors import ConfigurationError
from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.snapshots import KEY, LOADED, TIME, Snapshot

TYPES: dict[str, FeastType] = {
    "bigint": Int64,
    "real": Float32,
    "double precision": Float64,
    "boolean": Bool,
    "text": String,
    "date": String,
}
"""Feast's type of a column, by PostgreSQL's; Feast has none of days."""


def source(name: str, snapshot: Snapshot, features: tuple[str, ...]) -> PostgreSQLSource:
    """The source with these columns of a snapshot: a row describes the instant `as_of`."""
    require_declared(snapshot, features)
    columns = [f"{one}::text" if snapshot.columns[one].type == "date" else one for one in features]
    selected = textwrap.fill(
        f"SELECT {', '.join((KEY, TIME, LOADED, *columns))}",
        width=98,
        initial_indent=" " * 8,
        subsequent_indent=" " * 15,
    )
    return PostgreSQLSource(
        name=name,
        query=f"\n{selected}\n        FROM {SCHEMA}.{snapshot.table}",
        timestamp_field=TIME,
        created_timestamp_column=LOADED,
        description=f"{snapshot.meaning}, one row per user and month.",
    )


def fields(snapshot: Snapshot, features: tuple[str, ...]) -> list[Field]:
    """These columns as the schema of a feature view, each with its meaning."""
    require_declared(snapshot, features)
    return [
        Field(
            name=one,
            dtype=TYPES[snapshot.columns[one].type],
            description=snapshot.columns[one].meaning,
        )
        for one in features
    ]


def require_declared(snapshot: Snapshot, features: tuple[str, ...]) -> None:
    """Returns when the snapshot has all these columns.

    Raises:
        ConfigurationError: it has not; names the first.
    """
    for one in features:
        if one not in snapshot.columns:
            raise ConfigurationError(
                f"{snapshot.file} of snapshots.py has no column {one}; it has"
                f" {', '.join(snapshot.columns)}"
            )
