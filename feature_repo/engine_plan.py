"""Plans of materializations: the way of a view, and its source as SQL expressions."""

from datetime import UTC, datetime, timedelta

from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.repo_config import RepoConfig
from psycopg import Connection, sql

from feature_repo.engine_source import Source, instant
from feature_repo.errors import ConfigurationError
from feature_repo.online_plan import layout_in
from feature_repo.source_types import TEXT_FORMS, columns_of
from feature_repo.source_values import SourceValue, value_of

NO_LIMIT = datetime.max.replace(tzinfo=UTC)


class NotInside(Exception):
    """Says why a view has to go Feast's own way."""


def source_of(
    connection: Connection,
    config: RepoConfig,
    task: MaterializationTask,
    seen_at: datetime | None,
    lookback: timedelta,
    limit: datetime = NO_LIMIT,
) -> Source:
    """The task's rows as SQL; `seen_at`, `lookback` and `limit` as in Source.

    Args:
        connection: to the database of the view's source.

    Raises:
        NotInside: Feast has to compute them.
        ConfigurationError: a column is missing, or cannot be what is declared.
    """
    view = task.feature_view
    require_plain(view)
    source = view.batch_source
    search_path = config.offline_store.db_schema or "public"
    settings = {"search_path": f"{search_path}, public", **TEXT_FORMS}
    for setting in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", setting)
    query = source.get_table_query_string()
    kinds = columns_of(connection, query)
    reverse = {mapped: column for column, mapped in (source.field_mapping or {}).items()}
    layout = layout_in(config, view)
    types = {one.name: one.dtype.to_value_type().name for one in view.features}
    types |= {one.name: one.dtype.to_value_type().name for one in view.entity_columns}

    def kind_of(column: str) -> str:
        if column not in kinds:
            raise ConfigurationError(
                f"feature view {view.name}: its source has no column {column}; "
                f"it has {', '.join(kinds)}"
            )
        return kinds[column]

    def value(name: str) -> SourceValue:
        column = reverse.get(name, name)
        return value_of(view.name, name, column, kind_of(column), types[name])

    def time(name: str) -> sql.Composed:
        column = reverse.get(name, name)
        found = instant(column, kind_of(column))
        if found is None:
            raise ConfigurationError(
                f"feature view {view.name}, column {column} is {kinds[column]}, not an instant"
            )
        return found

    keys = [value(name) for name in layout.join_keys if name != DUMMY_ENTITY_ID]
    return Source(
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
    )


def require_plain(view: FeatureView) -> None:
    """Returns when the view's values are its source's columns."""
    if type(view) is not FeatureView:
        raise NotInside(f"it is a {type(view).__name__}")
    for what in ("feature_transformation", "aggregations", "filter", "source_views", "udf"):
        if getattr(view, what, None):
            raise NotInside(f"it has {what}")
    if not isinstance(view.batch_source, PostgreSQLSource):
        raise NotInside(f"its source is a {type(view.batch_source).__name__}")


def is_here(config: RepoConfig) -> bool:
    """True where sources are in the online store's database."""
    places = [
        (one.host, one.port, one.database) for one in (config.offline_store, config.online_store)
    ]
    return places[0] == places[1]


def in_utc(instant: datetime) -> datetime:
    """An aware instant; Feast's naive ones are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
