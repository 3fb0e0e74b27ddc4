"""Feast's materialization tasks as the library plans them, and why some have to go Feast's way."""

from datetime import UTC, datetime, timedelta

from feast import FeatureView, StreamFeatureView
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from feast.repo_config import RepoConfig
from psycopg import Connection

from streamflow.catalog.layout import NO_KEY
from streamflow.engine import plan as library
from streamflow.engine.plan import NO_LIMIT, Window
from streamflow.engine.source import Source
from streamflow.feast.connection import search_path
from streamflow.feast.engine.compute import computed_by
from streamflow.feast.offline.store import StreamflowOfflineStoreConfig
from streamflow.feast.registry import source_check
from streamflow.feast.registry.compile import ttl_of
from streamflow.feast.registry.layouts import layout_in, version_of
from streamflow.feast.sources import source_table
from streamflow.registry.plain import PlainView
from streamflow.registry.views import NO_ENTITY


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
    try:
        view = plain_view(config, task.feature_view)
    except NotInside:
        source_check.require_view(connection, config, task.feature_view)
        raise
    window = Window(in_utc(task.start_time), in_utc(task.end_time), seen_at, lookback, limit)
    return library.source_of(connection, search_path(config.offline_store), view, window, recorded)


def plain_view(config: RepoConfig, view: FeatureView) -> PlainView:
    """A view in the library's terms.

    Raises:
        NotInside: its values are not its source's columns.
    """
    require_plain(view)
    keys, features = (
        {one.name: one.dtype.to_value_type().name for one in columns if one.name != NO_KEY}
        for columns in (view.entity_columns, view.features)
    )
    names = [getattr(one, "name", one) for one in view.entities or ()]
    ttl, policy = ttl_of(view, getattr(config.online_store, "ttl_policy", "serve"))
    return PlainView(
        name=view.name,
        kind=source_check.kind_of(view),
        layout=layout_in(config, view),
        source=source_table(view.batch_source),
        types=keys | features | keys,
        entities=tuple(one for one in names if one != NO_ENTITY),
        is_online=view.online,
        entries=table_of(view),
        ttl=ttl,
        ttl_policy=policy,
    )


def table_of(view: FeatureView) -> str:
    """The registry's table that has the view."""
    return "stream_feature_views" if isinstance(view, StreamFeatureView) else "feature_views"


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
    library.look_in(connection, search_path(config.offline_store))


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
