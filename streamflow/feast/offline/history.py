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
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.utils import (
    _get_requested_feature_views_to_features_dict,
    _get_requested_on_demand_feature_views,
)
from psycopg import Connection, sql

from streamflow.errors import SourceMismatch
from streamflow.feast.offline import names as offline_names
from streamflow.feast.offline.entities import EVENT_TIMESTAMP, Entities, QueryEntities
from streamflow.feast.offline.features import typed
from streamflow.offline.joins import FEW_ROWS, grouped, newest, timeline
from streamflow.offline.keys import SourceKey, joined_by
from streamflow.offline.lookup import lookup, pays
from streamflow.offline.select import Select
from streamflow.offline.sql import (
    ENTITIES,
    EntityRows,
    View,
    embedded,
    listed,
    most_rows_of_an_entity,
    point_in_time,
    rows_seen,
)
from streamflow.sources import columns as sources
from streamflow.sources.row_order import deciding

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
    full_names: bool = False
    """Whether features are called `view__feature`."""
    computed: Sequence[str] = ()
    """What the features are called that Feast computes from the rows."""

    def __call__(self, connection: Connection[Any]) -> Select:
        """Loads the entity rows and gives the query that joins them.

        Raises:
            SourceMismatch: sources do not have what their views ask for; names all of it.
        """
        keys = source_keys(connection, self.views)
        loaded = self.entities.load(connection, keys, self.embed)
        self.require_distinct([one.name for one in loaded.outputs])
        joined = joined_by(self.views, keys, loaded.rows.columns)
        views = [with_order(connection, view) for view in joined]
        rows, few = self.measured(connection, loaded.rows, views)
        forms = [
            timeline
            if view.join_keys not in few
            else lookup
            if pays(connection, view, rows)
            else newest
            for view in views
        ]
        joins = [
            form(view, number, rows)
            for number, (form, view) in enumerate(zip(forms, views, strict=True), 1)
        ]
        before = [embedded(rows.embedded)] if rows.embedded else []
        before += [
            grouped(join_keys, rows)
            for join_keys in dict.fromkeys(view.join_keys for view in views)
            if join_keys not in few
        ]
        features, checks = typed(connection, views)
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

    def require_distinct(self, columns: Sequence[str]) -> None:
        """Returns when no column of the entity rows is called as a feature; see offline_names."""
        names = [name for view in self.views for _, name in view.features]
        offline_names.require_distinct(columns, [*names, *self.computed], self.full_names)

    def measured(
        self, connection: Connection[Any], rows: EntityRows, views: Sequence[View]
    ) -> tuple[EntityRows, set[tuple[str, ...]]]:
        """What the rows are like, and the join keys of which no entity has many rows.

        Rows that stay inside the query are not looked at, since that would run them twice.
        """
        if rows.embedded:
            return rows, set()
        keys = list(dict.fromkeys(view.join_keys for view in views))
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
        return replace(rows, bounds=bounds, count=count, small=small), few


def source_keys(connection: Connection[Any], views: Sequence[View]) -> list[SourceKey]:
    """The join keys of all views, when every source has the columns that the join reads.

    Raises:
        SourceMismatch: naming the views, their sources and the columns that are not there.
    """
    keys, faults = [], []
    for view in views:
        try:
            has = sources.require_columns(
                connection, view.source_name, view.source, view.columns, view.timestamp
            )
        except SourceMismatch as error:
            faults += [f"feature view {view.name}: {one}" for one in error.faults]
            continue
        columns = {one.name: one for one in has}
        keys += [SourceKey(view, ours, columns[theirs]) for ours, theirs in view.keys]
    if faults:
        raise SourceMismatch(faults)
    return keys


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
    ordered = inputs_in_order(refs, views, on_demand)
    wanted, _ = _get_requested_feature_views_to_features_dict(ordered, list(views), on_demand)
    return [view_of(view, names, full_names, known_only) for view, names in wanted.items()]


def inputs_in_order(
    refs: Sequence[str], views: Sequence[FeatureView], on_demand: Sequence[OnDemandFeatureView]
) -> list[str]:
    """`refs`, those at their end that are inputs of on-demand views by view and in its order.

    Feast adds these from sets and from maps of protobuf, whose order differs in each process.
    """
    inputs = {
        f"{source.name}:{feature.name}"
        for view in on_demand
        for source in view.source_feature_view_projections.values()
        for feature in source.features
    }
    asked = list(refs)
    while asked and asked[-1] in inputs:
        asked.pop()
    places = {
        f"{view.projection.name_to_use()}:{feature.name}": (view.projection.name_to_use(), place)
        for view in views
        for place, feature in enumerate(view.features)
    }
    return [*asked, *sorted(refs[len(asked) :], key=lambda ref: places.get(ref, (ref, 0)))]


def view_of(view: FeatureView, features: Sequence[str], full_names: bool, known_only: bool) -> View:
    """A feature view with its own names turned into those of its source."""
    source = postgres_source(view.batch_source)
    column = {mapped: own for own, mapped in source.field_mapping.items()}
    prefix = f"{view.projection.name_to_use()}__" if full_names else ""
    types = {one.name: one.dtype for one in view.features}
    return View(
        name=view.projection.name_to_use(),
        source=sources.relation(source),
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
        declared={
            one.name: (column.get(one.name, one.name), one.dtype.to_value_type().name)
            for one in view.features
        },
        source_name=source.name,
    )


def with_order(connection: Connection[Any], view: View) -> View:
    """The view with the features that decide between rows of its source which are equally new."""
    keys = [theirs for _, theirs in view.keys]
    order = deciding(connection, view.source, keys, view.timestamp, view.declared)
    return replace(view, order=order)


def postgres_source(source: DataSource | None) -> PostgreSQLSource:
    """The source as PostgreSQL's, else FeastOfflineStoreUnsupportedDataSource."""
    if not isinstance(source, PostgreSQLSource):
        name = type(source).__name__
        raise FeastOfflineStoreUnsupportedDataSource("StreamflowOfflineStore", name)
    return source
