"""Plans of materializations: the way of a view, and its source as SQL expressions."""

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

from streamflow.engine.source import Source, instant
from streamflow.errors import ConfigurationError
from streamflow.feast.connection import search_path
from streamflow.feast.engine.compute import computed_by
from streamflow.feast.offline.store import StreamflowOfflineStoreConfig
from streamflow.feast.registry import source_check
from streamflow.feast.registry.layouts import layout_in, version_of
from streamflow.feast.sources import own_names, relation
from streamflow.postgres import options as connection_options
from streamflow.sources.columns import kinds_of
from streamflow.sources.row_order import deciding
from streamflow.sources.types import TEXT_FORMS
from streamflow.sources.values import SourceValue, value_of

NO_LIMIT = datetime.max.replace(tzinfo=UTC)


class NotInside(Exception):
    """Says why a view has to go Feast's own way."""


def source_of(
    connection: Connection,
    config: RepoConfig,
    task: MaterializationTask,
    seen_at: datetime | None,
    lookback: timedelta,
    recorded: str = "",
    limit: datetime = NO_LIMIT,
) -> Source:
    """The task's rows as SQL; `seen_at`, `lookback` and `limit` as in Source.

    Args:
        connection: to the database of the view's source, in a transaction.
        recorded: what the view is called in ops.materializations, if not by its name.

    Raises:
        NotInside: Feast has to compute them.
        SourceMismatch: the source does not have what the view asks for.
        ConfigurationError: a column cannot be what is declared.
    """
    view = task.feature_view
    source_check.require_view(connection, config, view)
    require_plain(view)
    source = view.batch_source
    look_in(connection, config)
    query = relation(source)
    kinds = kinds_of(connection, query)
    reverse = own_names(source)
    layout = layout_in(config, view)
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    types |= {one.name: one.dtype.to_value_type().name for one in view.entity_columns}

    def value(name: str) -> SourceValue:
        column = reverse.get(name, name)
        return value_of(view.name, name, column, kinds[column], types[name])

    def time(name: str) -> sql.Composed:
        column = reverse.get(name, name)
        found = instant(column, kinds[column])
        if found is None:
            raise ConfigurationError(
                f"feature view {view.name}, column {column} is {kinds[column]}, not an instant"
            )
        return found

    keys = [value(name) for name in layout.join_keys if name != DUMMY_ENTITY_ID]
    when = reverse.get(source.timestamp_field, source.timestamp_field)
    declared = {name: (reverse.get(name, name), types[name]) for name in layout.features}
    found = Source(
        layout=layout,
        query=query,
        keys=tuple(one.stored(sql.Identifier(one.column)) for one in keys)
        or (sql.Composed([sql.SQL("''::text")]),),
        event=time(source.timestamp_field),
        created=(
            time(source.created_timestamp_column)
            if source.created_timestamp_column
            else sql.Composed([sql.SQL("NULL::timestamptz")])
        ),
        features=tuple(map(value, layout.features)),
        start=in_utc(task.start_time),
        end=in_utc(task.end_time),
        limit=limit,
        seen_at=seen_at if source.created_timestamp_column else None,
        lookback=lookback,
        recorded=recorded or view.name,
    )
    columns = [one.column for one in keys]
    return replace(found, order=deciding(connection, query, columns, when, declared))


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
    """Has sources without a schema looked for where the offline store does, in this transaction.

    Values become texts as they do there, too.
    """
    chosen = {"search_path": search_path(config.offline_store), **TEXT_FORMS}
    connection.execute(connection_options.choose(chosen.items()))


def require_plain(view: FeatureView) -> None:
    """Returns when the view's values are its source's columns."""
    if computed := computed_by(view):
        raise NotInside(f"it has {computed}")
    if not view.online:
        raise NotInside("it is not kept online")
    if not isinstance(view.batch_source, PostgreSQLSource):
        raise NotInside(f"its source is a {type(view.batch_source).__name__}")


def is_here(config: RepoConfig) -> bool:
    """True where sources are in the online store's database."""
    stores = (config.offline_store, config.online_store)
    places = [
        (one.host, one.port, one.database) for one in stores if isinstance(one, PostgreSQLConfig)
    ]
    return len(places) == len(stores) and places[0] == places[1]


def is_ours(config: RepoConfig) -> bool:
    """True where the offline store is ours, so that its connections can be opened here."""
    return isinstance(config.offline_store, StreamflowOfflineStoreConfig)


def require_ours(config: RepoConfig) -> None:
    """Returns when the offline store is ours."""
    if not is_ours(config):
        raise NotInside("its source is in another database, which another offline store reads")


def in_utc(instant: datetime) -> datetime:
    """An aware instant; Feast's naive ones are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
