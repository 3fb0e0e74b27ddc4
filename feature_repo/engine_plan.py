"""Whether a view can be materialized inside PostgreSQL, and the expressions for it if so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from feast.repo_config import RepoConfig
from psycopg import Connection, sql

from feature_repo import engine_sql, source_check
from feature_repo.engine_feast import computed_by
from feature_repo.engine_sql import Source
from feature_repo.feast_connection import search_path
from feature_repo.online_layout import version_of
from feature_repo.online_plan import layout_in
from feature_repo.row_order import columns_of, deciding
from feature_repo.sources import relation


class NotInside(Exception):
    """Says why a view has to go Feast's own way."""


def source_of(
    connection: Connection,
    config: RepoConfig,
    task: MaterializationTask,
    seen_at: datetime | None,
    lookback: timedelta,
    recorded: str = "",
) -> Source:
    """The task's rows as SQL; `seen_at` and `lookback` as in Source.

    Args:
        connection: in a transaction.
        recorded: what the view is called in ops.materializations, if not by its name.

    Raises:
        NotInside: Feast has to compute or convert them, or they are somewhere else.
        SourceMismatch: the source does not have what the view asks for.
    """
    view = task.feature_view
    if is_here(config):
        source_check.require_view(connection, config, view)
    require_plain(config, view)
    source = view.batch_source
    look_in(connection, config)
    query = relation(source)
    kinds = columns_of(connection, query)
    reverse = {mapped: column for column, mapped in (source.field_mapping or {}).items()}
    layout = layout_in(config, view)
    types = {one.name: one.dtype.to_value_type().name for one in view.features}

    def expression(name: str, value_type: str, wanted: str) -> sql.Composed:
        column = reverse.get(name, name)
        kind = kinds.get(column)
        if kind is None:
            raise NotInside(f"its source has no column {column}")
        found = (
            engine_sql.seconds(column, kind)
            if value_type == "UNIX_TIMESTAMP" and kind in engine_sql.INSTANTS
            else engine_sql.value(column, kind, wanted)
        )
        if found is None:
            raise NotInside(f"{column} is {kind} in the source and {wanted} online")
        return found

    def instant(name: str) -> sql.Composed:
        column = reverse.get(name, name)
        found = engine_sql.instant(column, kinds.get(column, "missing"))
        if found is None:
            raise NotInside(f"{column} is {kinds.get(column, 'missing')}, not an instant")
        return found

    keys = [reverse.get(name, name) for name in layout.join_keys if name != DUMMY_ENTITY_ID]
    time = reverse.get(source.timestamp_field, source.timestamp_field)
    declared = {
        name: (reverse.get(name, name), column.type) for name, column in layout.features.items()
    }
    found = Source(
        layout=layout,
        query=query,
        keys=tuple(
            expression(name, "", column.type)
            for name, column in zip(layout.join_keys, layout.keys, strict=True)
        )
        if layout.join_keys != (DUMMY_ENTITY_ID,)
        else (sql.Composed([sql.SQL("''::text")]),),
        event=instant(source.timestamp_field),
        created=(
            instant(source.created_timestamp_column)
            if source.created_timestamp_column
            else sql.Composed([sql.SQL("NULL::timestamptz")])
        ),
        features=tuple(
            expression(name, types[name], column.type) for name, column in layout.features.items()
        ),
        start=in_utc(task.start_time),
        end=in_utc(task.end_time),
        seen_at=seen_at if source.created_timestamp_column else None,
        lookback=lookback,
        recorded=recorded or view.name,
    )
    return replace(found, order=deciding(connection, query, keys, time, declared))


def recorded_as(config: RepoConfig, registry: BaseRegistry, task: MaterializationTask) -> str:
    """The view's name in ops.materializations: with its version, where that is not the current one.

    Each version has columns of its own, which were filled at other times than those of another.
    """
    name, asked = task.feature_view.name, version_of(task.feature_view)
    if not config.registry.enable_online_feature_view_versioning:
        return str(name)
    current = version_of(registry.get_any_feature_view(name, task.project))
    return name if asked == current else f"{name}@v{asked}"


def look_in(connection: Connection, config: RepoConfig) -> None:
    """Has sources without a schema looked for where the offline store does, in this transaction."""
    path = search_path(config.offline_store)
    connection.execute("SELECT set_config('search_path', %s, true)", [path])


def require_plain(config: RepoConfig, view: FeatureView) -> None:
    """Returns when the view's values are its source's columns, in the online store's database."""
    if computed := computed_by(view):
        raise NotInside(f"it has {computed}")
    if not view.online:
        raise NotInside("it is not kept online")
    if not isinstance(view.batch_source, PostgreSQLSource):
        raise NotInside(f"its source is a {type(view.batch_source).__name__}")
    if not is_here(config):
        raise NotInside("its source is in another database")


def is_here(config: RepoConfig) -> bool:
    """Whether sources are in the online store's database."""
    stores = (config.offline_store, config.online_store)
    places = [
        (one.host, one.port, one.database) for one in stores if isinstance(one, PostgreSQLConfig)
    ]
    return len(places) == len(stores) and places[0] == places[1]


def in_utc(instant: datetime) -> datetime:
    """An aware instant; Feast's naive ones are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
