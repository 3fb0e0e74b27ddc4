"""The statistics of values as they are served now, from the online tables."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from psycopg import Connection, sql

from streamflow.catalog.layout import SCHEMA
from streamflow.postgres import migrate as schema
from streamflow.registry.plain import PlainView
from streamflow.snapshots import Snapshot
from streamflow.statistics.counting import gather
from streamflow.statistics.counting.measured import Column, Measured, column_of
from streamflow.statistics.summary import TableSummary

SECONDS = 86_400
"""Of a day: a calendar day is online as the second that it begins, and a month counts days."""


def summary(
    connection: Connection[Any],
    view: PlainView,
    features: Mapping[str, str],
    snapshot: Snapshot | None,
    like: TableSummary,
) -> TableSummary | None:
    """The statistics of a view's values online, whatever their age; None where there are none.

    Args:
        features: the source's column by feature, of those that are wanted.
        snapshot: the monthly table that the view's source is; None for any other.
        like: has the edges of bins.
    """
    if not schema.exists(
        connection, f'{SCHEMA}."{view.layout.table.replace(chr(34), chr(34) * 2)}"'
    ):
        return None
    rows = measured(view, features, snapshot)
    count, _ = gather.count(connection, rows)
    newest = sql.SQL("SELECT max({})::timestamptz FROM {}").format(
        sql.Identifier(view.layout.event.name), rows.relation
    )
    (instant,) = connection.execute(newest).fetchone() or (None,)
    if instant is None:
        return None
    edges = {name: one.edges for name, one in like.columns.items()}
    columns = gather.summarize(connection, rows, count, edges)
    return TableSummary(view.name, instant, count, columns)


def measured(view: PlainView, features: Mapping[str, str], snapshot: Snapshot | None) -> Measured:
    """The rows of a view's online table that have values of it."""
    layout = view.layout
    columns = {}
    for name, column in features.items():
        online = layout.features[name]
        # Instants are online as whole seconds, and decimals as text.
        numeric = view.types[name] in {"UNIX_TIMESTAMP", "DECIMAL"}
        one = column_of(online.name, "DOUBLE" if numeric else view.types[name])
        is_day = snapshot is not None and snapshot.columns[column].type == "date"
        columns[name] = in_days(one) if is_day and numeric else one
    relation = sql.SQL("(SELECT * FROM {} WHERE {} IS NOT NULL) AS served").format(
        sql.Identifier(SCHEMA, layout.table), sql.Identifier(layout.event.name)
    )
    keys = sql.SQL(", ").join(sql.Identifier(one.name) for one in layout.keys)
    key = sql.SQL("concat_ws(chr(31), {})").format(keys)
    return Measured(view.name, relation, key, columns)


def in_days(column: Column) -> Column:
    """Seconds since 1970 as days."""
    return replace(column, value=sql.SQL("({} / {})").format(column.value, SECONDS))
