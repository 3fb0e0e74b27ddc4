"""A point-in-time request: one query that joins entity rows with the features of views."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg import Connection, sql

from streamflow.errors import SourceMismatch
from streamflow.offline.compose import listed
from streamflow.offline.join.entities import EVENT_TIMESTAMP, Entities, Output, QueryEntities
from streamflow.offline.join.keys import SourceKey, joined_by
from streamflow.offline.join.lookup import lookup, pays
from streamflow.offline.join.newest import FEW_ROWS, grouped, newest, timeline
from streamflow.offline.join.refusals import EqualNames
from streamflow.offline.join.sql import (
    ENTITIES,
    EntityRows,
    View,
    embedded,
    feature,
    most_rows_of_an_entity,
    point_in_time,
    rows_seen,
)
from streamflow.offline.select import Select
from streamflow.sources import columns as sources
from streamflow.sources.row_order import deciding
from streamflow.sources.values import value_of

Checks = Mapping[str, Callable[[pa.Array], None]]
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
    """True where an SQL entity query stays inside the query, so that nothing is ever created."""
    full_names: bool = False
    """True where features are called `view__feature`."""
    computed: Sequence[str] = ()
    """The names of the features that Feast computes from the rows."""

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
            self.disabled_joins(rows.small and timeline not in forms),
            loaded.local_columns,
            checks,
        )

    def disabled_joins(self, loops: bool) -> list[str]:
        """The join methods that PostgreSQL must not use, whatever it believes of the sizes.

        Only a hash join compares all columns of a key at once; the others may take one of them
        and go through all rows that have it.
        """
        if any(len(view.keys) > 1 for view in self.views):
            return ["nestloop", "mergejoin"]
        return [] if loops else ["nestloop"]

    def require_distinct(self, columns: Sequence[str]) -> None:
        """Returns when no column of the entity rows is called as a feature.

        Raises:
            EqualNames: naming those that are.
        """
        features = [name for view in self.views for _, name in view.features]
        names = dict.fromkeys([*features, *self.computed])
        if twice := [name for name in names if name in columns]:
            raise EqualNames(twice, self.full_names)

    def measured(
        self, connection: Connection[Any], rows: EntityRows, views: Sequence[View]
    ) -> tuple[EntityRows, set[tuple[str, ...]]]:
        """Measures the entity rows, and finds the join keys of which no entity has many rows.

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


def with_order(connection: Connection[Any], view: View) -> View:
    """The view with the features that decide between rows of its source which are equally new."""
    keys = [theirs for _, theirs in view.keys]
    order = deciding(connection, view.source, keys, view.timestamp, view.declared)
    return replace(view, order=order)


def typed(connection: Connection[Any], views: Sequence[View]) -> tuple[list[Output], Checks]:
    """The features of all views in their order and declared types, and their checks by name.

    They are taken from the joined rows alone: a row that a newer one replaced may hold anything.

    Raises:
        ConfigurationError: a source's column cannot be a feature of the type.
    """
    outputs: list[Output] = []
    checks: dict[str, Callable[[pa.Array], None]] = {}
    for at, view in enumerate(views, 1):
        kinds = sources.kinds_of(connection, view.source)
        for number, (column, name) in enumerate(view.features, 1):
            given, value_type = feature(at, number), view.types.get(name)
            if value_type is None or column not in kinds:
                outputs.append(Output(given, name))
                continue
            value = value_of(view.name, name, column, kinds[column], value_type)
            outputs.append(Output(value.trained(given), name))
            if value.is_message and value.stored_type == "text":
                checks[name] = each_of(view.makers[name](value.label))
    return outputs, checks


def each_of(make: Callable[[str], Any]) -> Callable[[pa.Array], None]:
    """Looks at each text of a column by making of it what is served; raises as `make` does."""

    def check(column: pa.Array) -> None:
        for text in column.drop_null().unique().to_pylist():
            make(text)

    return check
