"""Whether a view can be materialized inside PostgreSQL, and the expressions for it if so."""

from datetime import UTC, datetime, timedelta

from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.common.materialization_job import MaterializationTask
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from feast.repo_config import RepoConfig
from psycopg import Connection, sql

from feature_repo import engine_sql, source_check
from feature_repo.engine_sql import Source
from feature_repo.online_plan import layout_in
from feature_repo.sources import relation


class NotInside(Exception):
    """Says why a view has to go Feast's own way."""


def source_of(
    connection: Connection,
    config: RepoConfig,
    task: MaterializationTask,
    seen_at: datetime | None,
    lookback: timedelta,
) -> Source:
    """The task's rows as SQL; `seen_at` and `lookback` as in Source.

    Raises:
        NotInside: Feast has to compute or convert them, or they are somewhere else.
        SourceMismatch: the source does not have what the view asks for.
    """
    view = task.feature_view
    if is_here(config):
        source_check.require_view(connection, config, view)
    require_plain(config, view)
    source = view.batch_source
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

    return Source(
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
    )


def require_plain(config: RepoConfig, view: FeatureView) -> None:
    """Returns when the view's values are its source's columns, in the online store's database."""
    if type(view) is not FeatureView:
        raise NotInside(f"it is a {type(view).__name__}")
    for what in ("feature_transformation", "aggregations", "filter", "source_views", "udf"):
        if getattr(view, what, None):
            raise NotInside(f"it has {what}")
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


def columns_of(connection: Connection, query: str) -> dict[str, str]:
    """The columns of a table or query and PostgreSQL's type of each."""
    cursor = connection.execute(sql.SQL("SELECT * FROM {} AS s LIMIT 0").format(sql.SQL(query)))
    oids = {column.name: column.type_code for column in cursor.description or ()}
    names: dict[int, str] = dict(
        connection.execute(
            "SELECT oid, format_type(oid, NULL) FROM pg_type WHERE oid = ANY(%s)",
            [list(oids.values())],
        ).fetchall()
    )
    return {column: names[oid] for column, oid in oids.items()}


def in_utc(instant: datetime) -> datetime:
    """An aware instant; Feast's naive ones are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
