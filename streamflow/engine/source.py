"""The rows of a source that a materialization means, as SQL.

They are the rows of its window, and late ones: those before it that were loaded since the last
materialization. With an index of the event times and one of the times of loading, PostgreSQL reads
the two ranges and nothing else of a history, if they are asked for one by one (`narrowed`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg import Connection, sql

from streamflow.catalog.layout import Layout
from streamflow.sources.row_order import Feature
from streamflow.sources.values import SourceValue

INSTANTS = {
    "timestamp with time zone": "{}",
    "timestamp without time zone": "{} AT TIME ZONE 'UTC'",
    "date": "{}::timestamp AT TIME ZONE 'UTC'",
}
"""The instant that a column of each type is, as SQL; without a zone it is UTC."""


class Table(NamedTuple):
    """A table of the database."""

    oid: int
    name: str
    """With its schema, as SQL."""


class Counted(NamedTuple):
    """Rows of a source that were counted where they come from."""

    read: int
    """Those that are meant."""
    late: int
    """Of those, how many came when a materialization had passed their time."""
    ahead: int
    """Rows that are too far ahead; not among those read."""


@dataclass(frozen=True)
class Source:
    """The rows of one view, and which of them are meant."""

    layout: Layout
    query: str
    """A table's name or a query in parentheses."""
    keys: tuple[sql.Composed, ...]
    """The join keys as expressions over the source's columns, in the layout's order."""
    event: sql.Composed
    created: sql.Composed
    """An instant; null where the source has no created time."""
    features: tuple[SourceValue, ...]
    """In the layout's order."""
    start: datetime
    end: datetime
    limit: datetime
    """Rows after it are too far ahead of the database's clock: they are counted, and not meant."""
    seen_at: datetime | None
    """When the view was materialized last: rows loaded after it are late ones. None for never,
    or where late rows are not wanted."""
    lookback: timedelta = timedelta(0)
    """Rows loaded so long before `seen_at` are meant as well."""
    recorded: str = ""
    """The view's name in ops.materializations."""
    order: tuple[Feature, ...] = ()
    """The features that decide between rows of the same times; see row_order.deciding."""
    is_narrowed: bool = False
    """True where the query has no other rows than those that are meant or too far ahead; see
    `narrowed`."""
    table: Table | None = None
    """The one that the source is; None where it is a query, or anything else than a table."""
    online: Table | None = None
    """The one where its values go."""
    fingerprint: str = ""
    """A hash of what rows become, whatever the window; see unchanged.py."""
    is_unique: bool = False
    """True where the query has one row of each key at most, so that none has to be sorted."""
    counted: Counted | None = None
    """The counts of all rows that are meant, of a query that has the newest of each key alone."""

    @property
    def window(self) -> sql.Composed:
        """The condition, in SQL, for a row that is meant."""
        if self.is_narrowed:
            return sql.SQL("{} <= {}").format(self.event, sql.Literal(self.limit))
        since = self.seen_at and self.seen_at - self.lookback
        late = sql.SQL(" OR {} > {}").format(self.created, sql.Literal(since))
        return sql.SQL("{event} <= {end} AND ({event} >= {start}{late})").format(
            event=self.event,
            start=sql.Literal(self.start),
            end=sql.Literal(min(self.end, self.limit)),
            late=late if since else sql.SQL(""),
        )

    @property
    def ahead(self) -> sql.Composed:
        """The condition, in SQL, for a row that is too far ahead."""
        return sql.SQL("{} > {}").format(self.event, sql.Literal(self.limit))

    @property
    def late(self) -> sql.Composed:
        """The condition, in SQL, for a row that came when a materialization had passed its time."""
        if not self.seen_at:
            return sql.Composed([sql.SQL("false")])
        return sql.SQL(
            "{} > {} AND {} <= (SELECT max(window_end) FROM ops.materializations"
            " WHERE project = {} AND view = {})"
        ).format(
            self.created,
            sql.Literal(self.seen_at),
            self.event,
            sql.Literal(self.layout.project),
            sql.Literal(self.recorded),
        )


def instant(column: str, kind: str) -> sql.Composed | None:
    """A source's column as an instant; None where its type is none."""
    form = INSTANTS.get(kind)
    return sql.SQL(form).format(sql.Identifier(column)) if form else None


def shown(event: sql.Composed) -> sql.Composed:
    """An event time that answers can show: one before the year 1, as -infinity, is its begin."""
    return sql.SQL("greatest({}, '0001-01-01 00:00:00+00'::timestamptz)").format(event)


def narrowed(connection: Connection, source: Source) -> Source:
    """The source with its late rows asked for apart, if PostgreSQL expects that to cost less.

    It does not where it would have to go through the whole source for either.
    """
    if source.seen_at is None:
        return source
    return min(source, apart(source), key=lambda one: cost(connection, one))


def apart(source: Source) -> Source:
    """The same rows, each once: those of the window, late ones before it, those too far ahead."""
    assert source.seen_at is not None  # noqa: S101  # by the caller
    query = sql.SQL(
        "(SELECT * FROM {query} AS s WHERE {event} BETWEEN {start} AND {end}"
        " UNION ALL SELECT * FROM {query} AS s WHERE {event} < {start} AND {created} > {since}"
        " AND NOT {ahead} UNION ALL SELECT * FROM {query} AS s WHERE {ahead})"
    ).format(
        query=sql.SQL(source.query),
        event=source.event,
        created=source.created,
        start=sql.Literal(source.start),
        end=sql.Literal(min(source.end, source.limit)),
        since=sql.Literal(source.seen_at - source.lookback),
        ahead=source.ahead,
    )
    return replace(source, query=query.as_string(None), is_narrowed=True)


def cost(connection: Connection, source: Source) -> float:
    """PostgreSQL's estimate of the cost of reading the source's rows, in its own unit."""
    query = sql.SQL("EXPLAIN (FORMAT json) SELECT * FROM {} AS s WHERE {} OR {}").format(
        sql.SQL(source.query), source.window, source.ahead
    )
    row = connection.execute(query).fetchone()
    assert row is not None  # noqa: S101  # EXPLAIN gives one
    return float(row[0][0]["Plan"]["Total Cost"])
