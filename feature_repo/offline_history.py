"""A point-in-time request: from Feast's feature views and entity rows to one query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from feast import FeatureView
from feast.data_source import DataSource
from feast.errors import FeastOfflineStoreUnsupportedDataSource
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.utils import (
    _get_requested_feature_views_to_features_dict,
    _get_requested_on_demand_feature_views,
)
from psycopg import Connection, sql

from feature_repo.offline_entities import EVENT_TIMESTAMP, Entities, QueryEntities
from feature_repo.offline_features import typed
from feature_repo.offline_joins import FEW_ROWS, grouped, newest, timeline
from feature_repo.offline_select import Select
from feature_repo.offline_sql import (
    ENTITIES,
    EntityRows,
    View,
    embedded,
    listed,
    most_rows_of_an_entity,
    point_in_time,
    rows_seen,
    typed_null,
)

SMALL = 10_000
"""Up to so many entity rows, PostgreSQL may look each up in the source, or the other way round.

With more it must not: it would, where it takes a source for much smaller than it is, as it does
without statistics, and compare every row with every other.
"""


@dataclass(frozen=True)
class History:
    """Features of entity rows at their times."""

    views: Sequence[View]
    entities: Entities
    embed: bool = False
    """Whether an SQL entity query stays inside the query, so that nothing is ever created."""

    def __call__(self, connection: Connection[Any]) -> Select:
        """Loads the entity rows and gives the query that joins them."""
        nulls = {
            ours: typed_null(view.source, theirs)
            for view in reversed(self.views)
            for ours, theirs in view.keys
        }
        loaded = self.entities.load(connection, nulls, self.embed)
        rows, few = self.measured(connection, loaded.rows)
        forms = [newest if view.join_keys in few else timeline for view in self.views]
        joins = [
            form(view, number, rows)
            for number, (form, view) in enumerate(zip(forms, self.views, strict=True), 1)
        ]
        before = [embedded(rows.embedded)] if rows.embedded else []
        before += [
            grouped(keys, rows)
            for keys in dict.fromkeys(view.join_keys for view in self.views)
            if keys not in few
        ]
        features, checks = typed(connection, self.views)
        outputs = [*loaded.outputs, *features]
        return Select(
            point_in_time([one.expression for one in outputs], joins, before),
            [(one.name, one.utc) for one in outputs],
            self.not_by(rows.small and timeline not in forms),
            loaded.beside,
            checks,
        )

    def not_by(self, loops: bool) -> list[str]:
        """How PostgreSQL must not join, whatever it believes of the sizes.

        Only a hash join compares all columns of a key at once; the others may take one of them
        and go through all rows that have it.
        """
        if any(len(view.keys) > 1 for view in self.views):
            return ["nestloop", "mergejoin"]
        return [] if loops else ["nestloop"]

    def measured(
        self, connection: Connection[Any], rows: EntityRows
    ) -> tuple[EntityRows, set[tuple[str, ...]]]:
        """What the rows are like, and the join keys of which no entity has many rows.

        Rows that stay inside the query are not looked at, since that would run them twice.
        """
        if rows.embedded:
            return rows, set()
        keys = list(dict.fromkeys(view.join_keys for view in self.views))
        facts = [sql.SQL("count(*), min(ts)::text, max(ts)::text")]
        most = [most_rows_of_an_entity(one, rows) for one in keys]
        query = sql.SQL("SELECT {} FROM {}").format(listed([*facts, *most]), ENTITIES)
        count, first, last, *counts = connection.execute(query).fetchone() or (0, None, None)
        small = count <= SMALL
        if small:
            for one in filter(None, keys):
                columns = listed([sql.Identifier(rows.columns[key]) for key in one])
                statement = sql.SQL("CREATE INDEX ON {} ({})").format(ENTITIES, columns)
                connection.execute(statement)
        connection.execute(sql.SQL("ANALYZE {}").format(ENTITIES))
        few = {key for key, found in zip(keys, counts, strict=True) if (found or 0) <= FEW_ROWS}
        bounds = (first, last) if first and last else None
        return replace(rows, bounds=bounds, small=small), few


def rows_of_window(
    views: Sequence[View], start: datetime, end: datetime
) -> tuple[list[View], QueryEntities]:
    """The views limited to a window, and entity rows for each time and entity in it.

    A single view gives its created column, too, as `created_timestamp`.
    """
    window = (start.isoformat(), end.isoformat())
    limited = [replace(view, window=window) for view in views]
    keys = dict.fromkeys(key for view in views for key in view.join_keys)
    rows = QueryEntities(rows_seen(limited), [EVENT_TIMESTAMP, *keys])
    if len(limited) == 1 and limited[0].created:
        created = (limited[0].created, "created_timestamp")
        limited = [replace(limited[0], features=(created, *limited[0].features))]
    return limited, rows


def requested(
    refs: Sequence[str],
    views: Sequence[FeatureView],
    registry: BaseRegistry,
    project: str,
    full_names: bool,
    known_only: bool,
) -> list[View]:
    """Feast's views with the features that `refs` ask of them.

    Raises:
        FeastOfflineStoreUnsupportedDataSource: a view's source is not PostgreSQL's.
    """
    on_demand = _get_requested_on_demand_feature_views(list(refs), project, registry)
    wanted, _ = _get_requested_feature_views_to_features_dict(list(refs), list(views), on_demand)
    return [view_of(view, names, full_names, known_only) for view, names in wanted.items()]


def view_of(view: FeatureView, features: Sequence[str], full_names: bool, known_only: bool) -> View:
    """A feature view with its own names turned into those of its source."""
    source = postgres_source(view.batch_source)
    column = {mapped: own for own, mapped in source.field_mapping.items()}
    prefix = f"{view.projection.name_to_use()}__" if full_names else ""
    types = {one.name: one.dtype for one in view.features}
    return View(
        name=view.name,
        source=source.get_table_query_string(),
        keys=tuple(
            (
                view.projection.join_key_map.get(entity.name, entity.name),
                column.get(entity.name, entity.name),
            )
            for entity in view.entity_columns
            if entity.name != DUMMY_ENTITY_ID
        ),
        features=tuple((column.get(name, name), prefix + name) for name in features),
        timestamp=column.get(source.timestamp_field, source.timestamp_field),
        created=column.get(source.created_timestamp_column, source.created_timestamp_column),
        ttl=view.ttl or timedelta(0),
        known_only=known_only,
        types={prefix + name: types[name] for name in features if name in types},
    )


def postgres_source(source: DataSource | None) -> PostgreSQLSource:
    """The source as PostgreSQL's, else FeastOfflineStoreUnsupportedDataSource."""
    if not isinstance(source, PostgreSQLSource):
        name = type(source).__name__
        raise FeastOfflineStoreUnsupportedDataSource("StreamflowOfflineStore", name)
    return source
