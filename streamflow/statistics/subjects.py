"""The feature views and monthly tables that statistics are shown of, and where their values are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from streamflow import settings, snapshots
from streamflow.errors import ConfigurationError, UnknownName
from streamflow.postgres.snapshot_tables import SCHEMA
from streamflow.registry.plain import PlainView
from streamflow.registry.stores import OwnStores
from streamflow.snapshots import TIME, Snapshot
from streamflow.statistics import month, store
from streamflow.statistics.comparison.limits import Limits, table_of, tagged_views
from streamflow.statistics.counting import gather
from streamflow.statistics.counting.measured import view_at
from streamflow.statistics.counting.relations import Label, label_of
from streamflow.statistics.summary import TableSummary


@dataclass(frozen=True)
class Subject:
    """A feature view, or the columns of a monthly table that no view has."""

    name: str
    limits: Limits
    """By feature."""
    snapshot: Snapshot | None
    """The monthly table that has the values; None of a view with any other source."""
    columns: Mapping[str, str]
    """The table's column by feature."""
    view: PlainView | None = None
    label: Label | None = None
    """Of the months; None where none is declared, or the view has another source."""

    def instants(self, connection: Connection[Any]) -> list[datetime]:
        """The months of the table, or the newest time of the view's rows; the oldest first."""
        if self.snapshot is not None:
            query = sql.SQL(MONTHS).format(
                time=sql.Identifier(TIME), table=sql.Identifier(SCHEMA, self.snapshot.table)
            )
            return [one for (one,) in connection.execute(query, [self.snapshot.table])]
        assert self.view is not None  # noqa: S101  # what has no table is a view
        source = self.view.source
        newest = sql.SQL("SELECT max({})::timestamptz FROM {} AS source").format(
            sql.Identifier(source.timestamp_field), sql.SQL(source.relation)
        )
        return [one for (one,) in connection.execute(newest) if one is not None]

    def summary(
        self, connection: Connection[Any], instant: datetime, like: TableSummary | None = None
    ) -> TableSummary:
        """The statistics at an instant: those that are stored, else made of the rows now.

        Args:
            like: has the edges of bins for a view whose statistics are not stored.

        Raises:
            ConfigurationError: there is no row.
        """
        if self.snapshot is not None:
            return self.of_month(connection, self.snapshot, instant)
        assert self.view is not None  # noqa: S101  # what has no table is a view
        rows = view_at(self.view, instant)
        count, _ = gather.count(connection, rows)
        if not count:
            raise ConfigurationError(f"{self.name} has no row at or before {instant.date()}")
        edges = {name: one.edges for name, one in like.columns.items()} if like else {}
        columns = gather.summarize(connection, rows, count, edges)
        return TableSummary(self.name, instant, count, columns)

    def of_month(
        self, connection: Connection[Any], snapshot: Snapshot, instant: datetime
    ) -> TableSummary:
        """The statistics of a month, under the names of the features."""
        found = store.load(connection, snapshot.table, instant)
        if found is None:
            found, _ = month.measured(connection, snapshot, instant, self.label)
        if not found.rows:
            days = [str(one.date()) for one in self.instants(connection)]
            raise ConfigurationError(
                f"{self.name} has no month {instant.date()}; there are: {', '.join(days) or 'none'}"
            )
        columns = {
            feature: found.columns[column]
            for feature, column in self.columns.items()
            if column in found.columns
        }
        return replace(found, name=self.name, columns=columns)


MONTHS = """
    WITH RECURSIVE months AS (
        SELECT min({time}) AS one FROM {table}
        UNION ALL
        SELECT (SELECT min({time}) FROM {table} WHERE {time} > one)
        FROM months WHERE one IS NOT NULL
    )
    SELECT one FROM months WHERE one IS NOT NULL
    UNION SELECT as_of FROM ops.statistics_months WHERE table_name = %s ORDER BY 1"""
"""The months of a table by going from one to the next in the index, and those with statistics."""


def subjects(
    connection: Connection[Any], stores: OwnStores, name: str | None = None
) -> tuple[list[Subject], list[str]]:
    """The subject of a name, or all; and the names of views that are more than columns.

    Raises:
        UnknownName: there is no such view, nor such a file of months.
        ConfigurationError: the view is more than columns of its source.
    """
    declared = snapshots.declared(settings.streamflow().feature_repo)
    label = label_of(declared) if declared else None
    found: dict[str, Subject] = {}
    left_out, covered = [], set()
    for view_name, tagged in tagged_views(connection, stores).items():
        if tagged is None:
            left_out.append(view_name)
            continue
        view, snapshot = tagged.view, table_of(tagged.view, declared)
        columns = {one: view.source.column(one) for one in view.layout.features}
        if snapshot is not None:
            covered |= {(snapshot.file, one) for one in columns.values()}
        found[view_name] = Subject(view_name, tagged.limits, snapshot, columns, view, label)
    for file in declared.files if declared else ():
        more = {one: one for one in file.columns if (file.file, one) not in covered}
        if more and not file.newest_only and file.file not in found:
            found[file.file] = Subject(file.file, Limits(), file, more, None, label)
    if name is None:
        return list(found.values()), left_out
    if name in left_out:
        raise ConfigurationError(
            f"feature view {name} is more than columns of a source in PostgreSQL, so that there are"
            " no statistics of it"
        )
    if name not in found:
        raise UnknownName("feature view", name, [*found, *left_out])
    return [found[name]], []
